from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from nomul.hw.sums import (
    TREE_RADIX,
    Constant,
    NeuronSum,
    Term,
    add_tree,
    layer_tree_stages,
    neuron_sums,
    tree_stages,
)
from nomul.network import Dense
from nomul.sim.golden import evaluate_levels
from tests.hw.benches import dense, network_of

RISING, FALLING, PEAK = [-2, 0, 1, 5], [3, 1, 1, -6], [0, 4, -4, 2]
ZERO, CONSTANT = [0, 0, 0, 0], [6, 6, 6, 6]

LAYERS = {
    "every form of column": dense(
        [RISING, FALLING, PEAK, ZERO, CONSTANT],
        [[0, 1, 2, 3], [1, 1, 2, 4], [3, 3, 4, 4]],
        bias=[-1, 0, 7],
    ),
    "all products zero": dense([ZERO], [[0, 0], [0, 0]], bias=[4, -4]),
    "two levels": dense([[1, -1], [-1, 1]], [[0, 1, 0, 1]], bias=[2]),
    "five levels": dense([[4, 2, 0, -2, -4], [0, 0, 0, 0, 1]], [[0, 1, 1], [0, 0, 0]]),
    "the widest entries": dense([[-(2**30), 2**30 - 1], [2**30 - 1, -(2**30)]], [[0, 1]]),
}


def with_thresholds(layer: Dense) -> Dense:
    return Dense(layer.weight_index, layer.product_table, layer.bias, np.array([0], np.int32))


def total(operands: tuple[Term | Constant, ...], levels: tuple[int, ...]) -> int:
    return sum(
        operand.maximum if isinstance(operand, Constant) else operand.column[levels[operand.source]]
        for operand in operands
    )


@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("case", LAYERS)
def test_offset_and_operands_make_the_accumulator(case: str, absorbed: bool) -> None:
    layer = LAYERS[case]
    sums = neuron_sums(with_thresholds(layer) if absorbed else layer)
    inputs = list(itertools.product(range(layer.n_levels_in), repeat=layer.n_inputs))
    expected = evaluate_levels(network_of(layer), np.array(inputs))
    for levels, accumulators in zip(inputs, expected.tolist(), strict=True):
        assert accumulators == [
            part.offset + total(part.positive, levels) - total(part.negative, levels)
            for part in sums
        ]


@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("case", LAYERS)
def test_operands_are_from_zero_up_and_vary(case: str, absorbed: bool) -> None:
    layer = LAYERS[case]
    for part in neuron_sums(with_thresholds(layer) if absorbed else layer):
        operands = part.positive + part.negative
        columns = [operand.column for operand in operands if isinstance(operand, Term)]
        assert all(min(column) == 0 < max(column) for column in columns)
        constants = [operand.maximum for operand in operands if isinstance(operand, Constant)]
        assert len(constants) == 0 if absorbed else len(constants) <= 1
        assert all(maximum > 0 for maximum in constants)
        assert absorbed or part.offset == 0


def test_zero_and_constant_products_give_no_term() -> None:
    assert neuron_sums(dense([ZERO], [[0, 0]])) == (NeuronSum((), (), 0),)
    assert neuron_sums(dense([CONSTANT], [[0, 0]], bias=[-12])) == (NeuronSum((), (), 0),)
    assert neuron_sums(dense([CONSTANT], [[0, 0]])) == (NeuronSum((Constant(12),), (), 0),)


def test_falling_columns_are_subtracted() -> None:
    sums = neuron_sums(dense([[3, 1, 1, -6]], [[0]], bias=[1]))
    assert sums == (NeuronSum((Constant(4),), (Term(0, (0, 2, 2, 9)),), 0),)


def test_a_constant_joins_the_tree_of_its_sign() -> None:
    column = [0, 1]
    term = Term(0, (0, 1))
    assert neuron_sums(dense([column], [[0]], bias=[-3])) == (
        NeuronSum((term,), (Constant(3),), 0),
    )
    assert neuron_sums(with_thresholds(dense([column], [[0]], bias=[-3]))) == (
        NeuronSum((term,), (), -3),
    )


@pytest.mark.parametrize(
    ("column", "shift", "is_wire"),
    [
        ((0, 1), 0, True),
        ((0, 1, 2, 3), 0, True),
        ((0, 8, 16), 3, True),
        ((0, 3), 0, False),
        ((0, 6, 12), 1, False),
        ((2, 0), 1, False),
        ((0, 4, 4, 12), 2, False),
        ((0, 2**31), 31, True),
    ],
)
def test_a_column_that_is_the_shifted_level_is_a_wire(
    column: tuple[int, ...], shift: int, is_wire: bool
) -> None:
    term = Term(0, column)
    assert (term.shift, term.is_wire, term.maximum) == (shift, is_wire, max(column))


@dataclass(frozen=True)
class Node:
    """An operand that remembers how it came about."""

    maximum: int
    leaves: tuple[int, ...]
    n_registers: int = 0
    n_adders: int = 0  # in a row since the last register


def add(a: Node, b: Node) -> Node:
    assert a.n_registers == b.n_registers, "samples do not overtake each other"
    n_adders = 1 + max(a.n_adders, b.n_adders)
    assert 2**n_adders <= TREE_RADIX
    return Node(a.maximum + b.maximum, a.leaves + b.leaves, a.n_registers, n_adders)


def register(node: Node) -> Node:
    return Node(node.maximum, node.leaves, node.n_registers + 1)


@pytest.mark.parametrize("n_spare", range(4))
def test_a_tree_adds_every_operand_once_in_its_stages(n_spare: int) -> None:
    for n_operands in [*range(1, 300), 1023, 1024, 1025]:
        n_stages = max(1, tree_stages(n_operands)) + n_spare
        maxima = [1 + number * 37 % 11 for number in range(n_operands)]
        leaves = [Node(maximum, (number,)) for number, maximum in enumerate(maxima)]
        root = add_tree(leaves, n_stages, add, register)
        assert root is not None
        assert Counter(root.leaves) == Counter(range(n_operands))
        assert root.maximum == sum(maxima)
        assert root.n_registers == n_stages - 1


def test_small_operands_meet_first() -> None:
    leaves = [Node(maximum, (maximum,)) for maximum in (8, 1, 9, 2)]
    pairs: list[tuple[int, ...]] = []

    def note(a: Node, b: Node) -> Node:
        pairs.append((a.maximum, b.maximum))
        return add(a, b)

    add_tree(leaves, 1, note, register)
    assert pairs == [(1, 2), (8, 9), (3, 17)]


def test_a_tree_of_nothing_is_nothing() -> None:
    assert add_tree([], 3, add, register) is None


@pytest.mark.parametrize(
    ("n_operands", "n_stages"), [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2), (16, 2), (17, 3), (257, 5)]
)
def test_each_stage_adds_four_to_one(n_operands: int, n_stages: int) -> None:
    assert tree_stages(n_operands) == n_stages


def test_a_layer_has_the_stages_of_its_largest_tree() -> None:
    rising, falling = (Term(0, (0, 1)),), (Term(0, (0, 1)),) * 5
    assert layer_tree_stages([NeuronSum((), (), 0)]) == 1
    assert layer_tree_stages([NeuronSum(rising, (), 0), NeuronSum(rising, falling, 0)]) == 2
