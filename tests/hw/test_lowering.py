from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from nomul.hw.area_model import graph_area
from nomul.hw.graph import Constant, Input, Table
from nomul.hw.lowering import METHODS, Lowering, lower
from nomul.hw.targets import TARGETS
from nomul.network import Dense, Network, Output, UserError
from nomul.network import Input as InputSpecification
from nomul.network.model import OutputKind
from tests.hw.benches import check_graphs, dense, network_of
from tests.hw.layers import LAYERS, MIXED, THRESHOLDS, with_thresholds
from tests.hw.strategies import networks
from tests.networks import random_lookup, random_network

ICE40 = TARGETS["ice40"]
FEW_LEVELS = (2, 3, 4, 5, 8, 13, 17)
MANY_LEVELS = (2, 3, 4, 16, 33, 100, 256)


@pytest.mark.parametrize("case", LAYERS)
def test_accumulators_are_the_golden_models_by_every_method(case: str) -> None:
    check_graphs(network_of(LAYERS[case]))


@pytest.mark.parametrize("case", LAYERS)
def test_classes_are_the_golden_models_by_every_method(case: str) -> None:
    network = network_of(LAYERS[case])
    check_graphs(Network(network.input, network.layers, Output("class")))


@pytest.mark.parametrize("case", LAYERS)
def test_thresholds_absorb_the_constant_of_any_layer(case: str) -> None:
    check_graphs(network_of(with_thresholds(LAYERS[case], [-9, -1, 0, 1, 6, 12])))


@pytest.mark.parametrize("case", THRESHOLDS)
def test_levels_are_the_golden_models_by_every_method(case: str) -> None:
    check_graphs(network_of(with_thresholds(MIXED, THRESHOLDS[case])))


@pytest.mark.parametrize("n_levels", [2, 3, 9, 40])
@pytest.mark.parametrize("n_levels_in", [2, 3, 6, 17, 256])
def test_any_number_of_levels_comes_in_and_goes_out(n_levels_in: int, n_levels: int) -> None:
    rng = np.random.default_rng([n_levels_in, n_levels])
    columns = rng.integers(-20, 21, (2, n_levels_in)).tolist()
    thresholds = np.sort(rng.integers(-45, 46, n_levels - 1)).tolist()
    check_graphs(network_of(dense(columns, [[0, 1], [1, 1]], thresholds=thresholds)))


@settings(
    max_examples=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(FEW_LEVELS))
def test_any_network_is_the_golden_model_by_every_method(network: Network) -> None:
    check_graphs(network)


@pytest.mark.slow
@settings(
    max_examples=1000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(MANY_LEVELS))
def test_any_of_many_networks_is_the_golden_model_by_every_method(network: Network) -> None:
    check_graphs(network)


@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
def test_a_larger_network_is_the_golden_model_by_every_method(output: OutputKind) -> None:
    levels = (4, 3, 4, 5) if output == "levels" else (4, 3, 4)
    sizes = (12, 8, 5, 4)
    check_graphs(random_network(sizes, levels, output=output, factored=True, magnitude=3), 64)


def chain(*layers: Dense, output: OutputKind = "levels") -> Network:
    """Return a network of inputs of 4 levels."""
    linked = [
        Dense(
            layer.weight_index,
            layer.product_table,
            layer.bias,
            layer.thresholds,
            source=f"layers.{number - 1}" if number else "input",
        )
        for number, layer in enumerate(layers)
    ]
    source = InputSpecification((layers[0].n_inputs,), np.array([0.5, 1.5, 2.5]))
    return Network(source, tuple(linked), Output(output))


def total(n_inputs: int, n_neurons: int, thresholds: list[list[int]]) -> Dense:
    """Return neurons that add all their levels, of which there are 4, up."""
    layer = dense([[0, 1, 2, 3]], [[0] * n_inputs] * n_neurons)
    return with_thresholds(layer, thresholds)


# What reads the levels of layers.0, of which some do not occur: its tables are no lines.
READER = dense([[0, 5, 1, 7], [3, 0, 3, 1]], [[0, 1], [1, 0], [1, 1]], bias=[1, -2, 0])
DEAD = {
    "the greatest do not occur": [[1, 100, 101], [2, 3, 100]],
    "the least do not occur": [[-2, -1, 3], [-1, 2, 4]],
    "a single one occurs": [[-2, -1, 100], [1, 2, 3]],
    "level 0 alone occurs": [[99, 100, 101], [99, 100, 101]],
    "the greatest level alone occurs": [[-3, -2, -1], [-3, -2, -1]],
    "the same ones, twice": [[1, 3, 5], [1, 3, 5]],
}


@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
@pytest.mark.parametrize("case", DEAD)
def test_levels_that_do_not_occur_change_nothing(case: str, output: OutputKind) -> None:
    first = total(2, 2, DEAD[case])
    last = with_thresholds(READER, [0, 4, 9]) if output == "levels" else READER
    check_graphs(chain(first, last, output=output))


def test_addends_that_are_alike_all_count() -> None:
    """Both neurons of layers.0 are one node, which each neuron of layers.1 adds twice."""
    last = dense([[0, 1, 2, 3], [0, -1, -2, -3]], [[0, 0], [1, 1], [0, 1]], bias=[3, -9, 5])
    check_graphs(chain(total(2, 2, [[1, 3, 5]] * 2), last, output="class"))


def area(network: Network, **forced: str) -> float:
    methods = {f"layers.{name.removeprefix('layer_')}": method for name, method in forced.items()}
    return graph_area(lower(network, ICE40, methods).graph, ICE40)


@pytest.mark.parametrize("method", METHODS)
def test_neurons_that_are_alike_cost_as_much_as_one(method: str) -> None:
    one, five = (chain(total(3, n, [[2, 4, 7]] * n)) for n in (1, 5))
    graphs = [lower(network, ICE40, {"layers.0": method}).graph for network in (one, five)]
    assert len(graphs[0].nodes) == len(graphs[1].nodes) > 3
    assert len(set(graphs[1].outputs)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_not_used_cost_nothing(method: str) -> None:
    columns = [[0, 1, 2, 3], [6, 6, 6, 6]]
    few = dense(columns, [[0, 0]], thresholds=[2, 4, 5])
    many = dense(columns, [[1] * 30 + [0, 0]], bias=[-6 * 30], thresholds=[2, 4, 5])
    assert area(network_of(few), layer_0=method) == area(network_of(many), layer_0=method) > 0


def test_neurons_that_nothing_reads_cost_nothing() -> None:
    wire = [0, 1, 2, 3]
    alone, both = (
        chain(total(3, n, [[2, 4, 7], [1, 2, 3]][:n]), last, output="accumulators")
        for n, last in ((1, dense([wire], [[0]])), (2, dense([wire, [0] * 4], [[0, 1]])))
    )
    assert area(both, layer_0="plain") == area(alone, layer_0="plain") > 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_cheapest_method_is_chosen(name: str) -> None:
    for seed in range(4):
        network = random_network((6, 5, 3), (3, 4), seed=seed)
        for choice in lower(network, TARGETS[name]).choices:
            assert choice.areas[choice.method] == min(choice.areas.values())


def test_the_choices_name_every_layer_and_its_methods() -> None:
    network = random_network((3, 4, 2), (2, 2))
    first, last = lower(network, ICE40, {"layers.0": "shared"}).choices
    assert (first.layer, first.method, set(first.areas)) == ("layers.0", "shared", set(METHODS))
    assert (last.layer, set(last.areas)) == ("layers.1", set(METHODS) - {"lookup"})


def test_sharing_is_cheaper_where_there_is_much_to_share() -> None:
    """Of ten neurons that add or subtract each of twelve inputs, many have parts in common."""
    columns = [list(range(16)), [-level for level in range(16)]]
    rows = np.random.default_rng(0).integers(0, 2, (10, 12)).tolist()
    (choice,) = lower(network_of(dense(columns, rows)), ICE40).choices
    assert choice.areas["shared"] < 0.8 * choice.areas["plain"]


def node_kinds(lowering: Lowering) -> set[type]:
    return {type(node) for node in lowering.graph.nodes}


@pytest.mark.parametrize("target", ["ice40", "xilinx"])
def test_a_neuron_of_few_level_bits_is_a_table(target: str) -> None:
    layer = dense([[0, 1], [0, -1]], [[0, 1, 0, 0], [1, 1, 0, 0]], thresholds=[1])
    lowering = lower(network_of(layer), TARGETS[target])
    assert node_kinds(lowering) == {Input, Table}
    assert len(lowering.graph.nodes) == 4 + 2


def test_a_constant_network_is_constants() -> None:
    lowering = lower(network_of(dense([[0] * 4], [[0, 0]] * 2, bias=[4, -4])), ICE40)
    assert node_kinds(lowering) <= {Constant, Input} | {
        type(lowering.graph.nodes[number]) for number in lowering.graph.outputs
    }
    assert graph_area(lowering.graph, ICE40) <= 4


WIDE = dense([list(range(16))], [[0] * 4, [0] * 4], thresholds=[20])
LOOKUP = Network(
    InputSpecification((3,), np.array([0.5])), (random_lookup(2, 3, 3, 2),), Output("levels")
)
SUMS = ", ".join(method for method in METHODS if method != "lookup")
REFUSED: dict[str, tuple[Network, dict[str, str], str]] = {
    "an unknown method": (
        network_of(MIXED),
        {"layers.0": "shard"},
        "Unknown method 'shard': did you mean 'shared'? The known ones are "
        f"{', '.join(sorted(METHODS))}.",
    ),
    "an unknown layer": (
        network_of(MIXED),
        {"layer.0": "plain"},
        "Unknown layer 'layer.0': did you mean 'layers.0'? The known ones are layers.0.",
    ),
    "accumulators looked up": (
        network_of(MIXED),
        {"layers.0": "lookup"},
        "layers.0 cannot be lowered as 'lookup': it ends in accumulators, and a table holds "
        f"levels; {SUMS} can be forced.",
    ),
    "too many level bits": (
        network_of(WIDE),
        {"layers.0": "lookup"},
        "layers.0 cannot be lowered as 'lookup': a neuron of it has 16 level bits, and a table "
        f"at most 12; {SUMS} can be forced.",
    ),
    "tables added up": (
        LOOKUP,
        {"layers.0": "plain"},
        "layers.0 cannot be lowered as 'plain': its neurons are tables, not sums; lookup can be "
        "forced.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_method_that_does_not_apply_is_refused(case: str) -> None:
    network, forced, sentence = REFUSED[case]
    with pytest.raises(UserError) as caught:
        lower(network, ICE40, forced)
    assert str(caught.value) == sentence


def test_twelve_level_bits_can_be_looked_up() -> None:
    layer = dense([list(range(16))], [[0] * 3], thresholds=[20])
    check_graphs(network_of(layer), n_samples_max=4096)
    assert "lookup" in lower(network_of(layer), ICE40).choices[0].areas
