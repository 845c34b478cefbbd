"""What an unrolled network is made of, counted from its tables alone.

The same sums and trees that :mod:`nomul.hw.dense` turns into hardware are walked here with
numbers in place of signals. :mod:`nomul.hw.estimate` prices the counts for a device.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nomul.hw.chain import dense_chain
from nomul.hw.sums import (
    NARROW_WIDTH,
    Constant,
    NeuronSum,
    Term,
    add_tree,
    layer_tree_stages,
    neuron_sums,
)
from nomul.hw.widths import accumulator_width, class_width, level_width
from nomul.network import Dense, Network

__all__ = ["KINDS", "count_parts", "widest_sum"]

KINDS = (
    "link",  # the serial link: one
    "input_bits",  # bits of a sample, which the link buffers
    "table_luts",  # LUT4 of the product tables
    "gate_luts",  # LUT4 of adders made of gates
    "chain_bits",  # bits of adders on carry chains
    "adders",  # two-operand adders of either make
    "comparison_bits",  # bits of comparators with thresholds
    "arg_max_bits",  # bits that the arg-max compares and passes on
    "waiting_bits",  # bits of registers with no logic before them
    "register_bits",  # bits of all registers of the datapath
)

# LUT4 for one bit of a table of 1 to 8 address bits: one bit is wires, 4 fill a LUT, and each
# further bit doubles the LUTs and adds multiplexers.
_TABLE_LUTS = (0, 1, 1, 1, 2, 5, 10, 21)

# LUT4 for the narrow part of an adder made of gates: two operands of 1, 2 and 3 bits and their
# carry. Each bit above takes one LUT more.
_GATE_LUTS = (2, 3, 5)


def count_parts(network: Network) -> dict[str, int]:
    """Return how many of each of :data:`KINDS` the unrolled ``network`` has."""
    parts: Counter[str] = Counter(
        link=1, input_bits=network.n_inputs * level_width(network.input.n_levels)
    )
    layers = dense_chain(network)
    for layer in layers:
        _count_layer(layer, parts)
    if network.output.kind == "class":
        _count_arg_max(accumulator_width(layers[-1]), network.n_outputs, parts)
    return {kind: parts[kind] for kind in KINDS}


def widest_sum(network: Network) -> int:
    """Return the bits of the widest accumulator: the longest carry chain."""
    return max(accumulator_width(layer) for layer in dense_chain(network))


@dataclass(frozen=True)
class _Number:
    """Stands for a number of the datapath: where its lowest bit is, and how large it gets."""

    shift: int
    maximum: int
    is_constant: bool = False
    is_plain: bool = False

    @property
    def width(self) -> int:
        return self.maximum.bit_length() - self.shift


class _Trees:
    """Counts the parts of one neuron's trees."""

    def __init__(self, parts: Counter[str]) -> None:
        self._parts = parts

    def add(self, a: _Number, b: _Number) -> _Number:
        low, high = sorted((a, b), key=lambda number: number.shift)
        distance = high.shift - low.shift
        total = _Number(low.shift, a.maximum + b.maximum)
        if distance < low.width:
            self._parts["adders"] += 1
            n_bits = total.width - distance
            narrow = min(low.width - distance, high.width)
            if narrow <= NARROW_WIDTH:
                self._parts["gate_luts"] += _GATE_LUTS[narrow - 1] + n_bits - narrow - 1
            else:
                self._parts["chain_bits"] += n_bits
        return total

    def register(self, number: _Number) -> _Number:
        if number.is_constant:
            return number
        self._parts["register_bits"] += number.width
        if number.is_plain:
            self._parts["waiting_bits"] += number.width
        return _Number(number.shift, number.maximum, is_plain=True)


def _count_layer(layer: Dense, parts: Counter[str]) -> None:
    sums = neuron_sums(layer)
    n_tree_stages = layer_tree_stages(sums)
    tables = {
        term
        for total in sums
        for term in total.positive + total.negative
        if isinstance(term, Term) and not term.is_wire
    }
    for term in tables:
        width = term.maximum.bit_length() - term.shift
        parts["table_luts"] += width * _TABLE_LUTS[level_width(layer.n_levels_in) - 1]
    for neuron, total in enumerate(sums):
        _count_neuron(total, n_tree_stages, parts)
        if layer.thresholds is not None:
            thresholds = set(layer.neuron_thresholds()[neuron].tolist())
            inner = [
                threshold
                for threshold in thresholds
                if -total.negative_maximum < threshold - total.offset <= total.positive_maximum
            ]
            width = (total.positive_maximum + total.negative_maximum).bit_length()
            parts["comparison_bits"] += len(inner) * width
            parts["register_bits"] += level_width(len(inner) + 1)


def _count_neuron(total: NeuronSum, n_tree_stages: int, parts: Counter[str]) -> None:
    trees = _Trees(parts)
    for operands in (total.positive, total.negative):
        numbers = [
            _Number(0, operand.maximum, is_constant=True)
            if isinstance(operand, Constant)
            else _Number(operand.shift, operand.maximum, is_plain=operand.is_wire)
            for operand in operands
        ]
        whole = add_tree(numbers, n_tree_stages, trees.add, trees.register)
        if whole is not None:
            trees.register(whole)
    width = (total.positive_maximum + total.negative_maximum).bit_length()
    parts["register_bits"] += width
    if total.positive and total.negative:
        parts["chain_bits"] += width
        parts["adders"] += 1
    else:
        parts["waiting_bits"] += width


def _count_arg_max(width: int, n_values: int, parts: Counter[str]) -> None:
    n_entries, index_width = n_values, class_width(n_values)
    while n_entries > 1:
        matches = n_entries // 2
        n_entries -= matches
        parts["arg_max_bits"] += matches * (2 * width + index_width)
        parts["register_bits"] += n_entries * (width + index_width)
        parts["waiting_bits"] += (n_entries - matches) * (width + index_width)
