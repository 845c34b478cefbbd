from __future__ import annotations

import pytest

from nomul.hw.area_model import graph_area
from nomul.hw.cost import KINDS, count_parts
from nomul.hw.plan import plan
from nomul.hw.targets import TARGETS
from nomul.network import Dense, Network
from tests.hw.benches import dense, network_of
from tests.networks import random_network

WIRE, TABLE = [0, 1, 2, 3], [0, 3, 1, 2]
LOGIC = ("table_luts", "gate_luts", "chain_bits", "comparison_luts", "arg_max_bits")


def count(layer: Dense, n_stages: int = 0, method: str = "plain") -> dict[str, float]:
    parts = count_parts(plan(network_of(layer), n_stages=n_stages, methods={"layers.0": method}))
    assert tuple(parts) == KINDS
    assert parts.pop("link") == 1
    return {kind: number for kind, number in parts.items() if number}


def with_input_bits(n_bits: int, **parts: float) -> dict[str, float]:
    return {"input_bits": n_bits} | parts


def test_a_wire_costs_its_registers_alone() -> None:
    layer = dense([WIRE], [[0]], thresholds=[1, 2, 3])
    assert count(layer) == with_input_bits(2)
    assert count(layer, 1) == with_input_bits(2, register_bits=2, waiting_bits=2)


@pytest.mark.parametrize("n_stages", [0, 1])
def test_all_products_zero_cost_nothing(n_stages: int) -> None:
    layer = dense([[0] * 4], [[0, 0], [0, 0]], thresholds=[0])
    assert count(layer, n_stages) == with_input_bits(4)


def test_a_table_is_counted_once_for_all_neurons_that_use_it() -> None:
    thresholds = [1, 2, 3]
    once = count(dense([TABLE], [[0]], thresholds=thresholds))
    # Bit 0 of 0, 3, 1, 2 is the XOR of both level bits, and bit 1 is level bit 0.
    assert once == with_input_bits(2, table_luts=1)
    assert count(dense([TABLE], [[0]] * 5, thresholds=thresholds)) == once
    assert count(dense([TABLE], [[0, 0]], thresholds=[1]))["table_luts"] == 2


def test_narrow_adders_are_gates_and_wide_ones_chains() -> None:
    bounds = list(range(1, 31))
    narrow = count(dense([[0, 1]], [[0, 0]], thresholds=[1, 2]))  # a half adder
    assert narrow == with_input_bits(2, gate_luts=2)
    wide = count(dense([list(range(16))], [[0, 0]], thresholds=bounds))  # 4 and 4 bits make 5
    start = TARGETS["ice40"].chain_start
    assert wide == with_input_bits(8, chain_bits=5 + start, chains=1)


def test_operands_that_do_not_overlap_need_no_adder() -> None:
    layer = dense([WIRE, [0, 4, 8, 12]], [[0, 1]], thresholds=list(range(1, 16)))
    assert count(layer) == with_input_bits(4)


def test_a_register_behind_logic_waits_for_nothing() -> None:
    """The sum of 5 bits in a stage of its own; and the level that waits for it, of 4."""
    layer = dense([list(range(16))], [[0, 0, 0]], thresholds=list(range(1, 46)))
    parts = count(layer, 2)
    assert parts["register_bits"] == 5 + 4 + 6
    assert parts["waiting_bits"] == 4


@pytest.mark.parametrize("n_stages", [0, 1, 3])
@pytest.mark.parametrize("factored", [False, True])
def test_the_parts_are_the_graphs_area(n_stages: int, factored: bool) -> None:
    network = random_network((6, 5, 3), (4, 3), factored=factored)
    found = plan(network, n_stages=n_stages)
    parts = count_parts(found)
    area = graph_area(found.graph, found.device.target)
    assert sum(parts[kind] for kind in LOGIC) == pytest.approx(area)
    assert parts["input_bits"] == 6 * 2
    assert (parts["register_bits"] > 0) == (n_stages > 0)
    assert parts["waiting_bits"] <= parts["register_bits"]


def test_only_classes_have_an_arg_max() -> None:
    def arg_max_bits(network: Network) -> float:
        return count_parts(plan(network))["arg_max_bits"]

    assert arg_max_bits(random_network((3, 4), (4,), output="accumulators")) == 0
    few, many = (arg_max_bits(random_network((3, n), (4,))) for n in (2, 9))
    assert many > few > 0


def test_more_stages_are_more_registers() -> None:
    network = random_network((6, 5, 3), (4, 3))
    counts = [count_parts(plan(network, n_stages=n)) for n in range(5)]
    registers = [parts["register_bits"] for parts in counts]
    assert registers[0] == 0
    assert sorted(set(registers)) == registers
    logic = [[parts[kind] for kind in LOGIC] for parts in counts]
    assert all(parts == logic[0] for parts in logic), "cut in stages, it is the same logic"
