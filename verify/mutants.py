"""Hardware that is broken in exactly one known place, to see which checks notice.

A function for the graph and one for the folded program list all places where a kind of fault can
sit, and a seed draws some of them. What comes behind, :mod:`nomul.verify.schemata` and
:mod:`nomul.verify.netlist_mutants` break.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nomul.hw.graph import (
    Choice,
    Complement,
    Count,
    Graph,
    Greater,
    Node,
    Offset,
    Sum,
    Table,
)
from nomul.hw.program import LOOPS, RESULTS, Pass, Program, Shortcut

__all__ = ["Mutant", "drawn", "graph_mutants", "program_mutants"]

T = TypeVar("T")


@dataclass(frozen=True)
class Mutant(Generic[T]):
    """One fault.

    Attributes
    ----------
    kind
        Such as ``"table bit"``.
    place
        Where: a node, word or cell by its name, and its bit or field.
    make
        Returns the broken thing; what it is made of stays as it is.
    """

    kind: str
    place: str
    make: Callable[[], T]


def drawn(mutants: Iterable[Mutant[T]], n_each: int, seed: int) -> list[Mutant[T]]:
    """Return up to ``n_each`` mutants of each kind; a seed always draws the same ones."""
    kinds: dict[str, list[Mutant[T]]] = {}
    for mutant in mutants:
        kinds.setdefault(mutant.kind, []).append(mutant)
    rng = np.random.default_rng(seed)
    chosen: list[Mutant[T]] = []
    for found in kinds.values():
        places = rng.choice(len(found), min(n_each, len(found)), replace=False)
        chosen += [found[place] for place in sorted(places.tolist())]
    return chosen


def graph_mutants(graph: Graph) -> Iterator[Mutant[Graph]]:
    """Yield the faults of each node of an unrolled network's graph."""
    for number, node in enumerate(graph.nodes):
        name = graph.names[number]
        for kind, what, broken in _broken_nodes(graph, number, node):
            yield Mutant(kind, f"{name}, {what}", partial(_with_node, graph, number, broken))
        if not isinstance(node, Sum | Count | Choice | Greater):
            continue
        n_bits = graph.width(number)
        for bit in range(n_bits):
            flipped = [value ^ 1 << bit for value in range(1 << n_bits)]
            made = partial(_followed, graph, number, flipped)
            yield Mutant("inverted bit", f"{name}, bit {bit}", made)
        if isinstance(node, Sum) and n_bits > 1:
            lost = [value & (1 << n_bits - 1) - 1 for value in range(1 << n_bits)]
            made = partial(_followed, graph, number, lost)
            yield Mutant("narrowed adder", f"{name}, bit {n_bits - 1}", made)


def _broken_nodes(graph: Graph, number: int, node: Node) -> Iterator[tuple[str, str, Node]]:
    """Yield kind, place in the node, and what stands where it stood."""
    match node:
        case Table(bits=bits, entries=entries):
            for address, entry in enumerate(entries):
                for bit in range(graph.width(number)):
                    changed = (*entries[:address], entry ^ 1 << bit, *entries[address + 1 :])
                    yield "table bit", f"entry {address}, bit {bit}", Table(bits, changed)
        case Count(number=operand, bounds=bounds):
            for j, bound in enumerate(bounds):
                for other in (bound - 1, bound + 1):
                    changed = tuple(sorted((*bounds[:j], other, *bounds[j + 1 :])))
                    what = f"threshold {j}, {other} for {bound}"
                    yield "threshold off by one", what, Count(operand, changed)
        case Sum(low=low, high=high, shift=shift, carry=carry):
            if shift:
                swapped = dataclasses.replace(node, low=high, high=low)
                yield "swapped operands", "low and high", swapped
            for amount in (shift - 1, shift + 1):
                if amount >= 0 and carry is None:
                    moved = dataclasses.replace(node, shift=amount)
                    yield "wrong shift", f"{amount} for {shift}", moved
            if carry is not None:
                yield "lost carry", graph.names[carry], dataclasses.replace(node, carry=None)
            turned = dataclasses.replace(node, complemented=not node.complemented)
            yield "complemented sum", "all bits", turned
            if number > 1 + max(low, high):
                what = f"{graph.names[high + 1]} for {graph.names[high]}"
                yield "wrong operand", what, dataclasses.replace(node, high=high + 1)
        case Greater(left=left, right=right):
            yield "swapped operands", "left and right", Greater(right, left)
        case Choice(condition=condition, if_true=if_true, if_false=if_false):
            yield "swapped operands", "true and false", Choice(condition, if_false, if_true)


def _with_node(graph: Graph, number: int, node: Node) -> Graph:
    nodes = (*graph.nodes[:number], node, *graph.nodes[number + 1 :])
    return dataclasses.replace(graph, nodes=nodes)


def _followed(graph: Graph, number: int, entries: list[int]) -> Graph:
    """Return the graph in which all readers of a node see the entry of its value in its place."""
    table = Table(tuple((number, bit) for bit in range(graph.width(number))), tuple(entries))
    place = [n + (n >= number) for n in range(len(graph.nodes))]
    after = number + 1
    return Graph(
        (*graph.nodes[:after], table, *(_moved(node, place) for node in graph.nodes[after:])),
        (*graph.maxima[:after], max(entries), *graph.maxima[after:]),
        (*graph.names[:after], f"{graph.names[number]}_broken", *graph.names[after:]),
        tuple(place[output] for output in graph.outputs),
    )


_OPERANDS: Mapping[type, tuple[str, ...]] = {
    Complement: ("number",),
    Count: ("number",),
    Offset: ("number",),
    Sum: ("low", "high", "carry"),
    Greater: ("left", "right"),
    Choice: ("condition", "if_true", "if_false"),
}


def _moved(node: Node, place: list[int]) -> Node:
    if isinstance(node, Table):
        return Table(tuple((place[number], bit) for number, bit in node.bits), node.entries)
    read = {name: getattr(node, name) for name in _OPERANDS.get(type(node), ())}
    moved = {name: place[number] for name, number in read.items() if number is not None}
    return dataclasses.replace(node, **moved)


def program_mutants(program: Program) -> Iterator[Mutant[Program]]:
    """Yield each field of each pass off by one, and the bits of all that the passes read.

    What a pass does not read does not count: lanes beyond the channels of a block, columns that no
    weight has, rows behind the last that is not 0, steps of loops that never advance, edges that no
    tap comes near. Nor does a weight of the same products.
    """
    for number, made in enumerate(program.passes):
        for group, what, broken in _broken_passes(made):
            passes = (*program.passes[:number], broken, *program.passes[number + 1 :])
            with_passes = partial(dataclasses.replace, program, passes=passes)
            yield Mutant(group, f"pass {number}, {what}", with_passes)
    settings = program.settings
    kinds = {
        "weights": ("weight bit", settings.weight_bits, _read_weights(program)),
        "tables": ("table bit", settings.product_bits, _read_columns(program)),
        "biases": ("bias bit", settings.sum_bits, np.ones(program.biases.shape, np.bool_)),
    }
    for name, (kind, n_bits, is_read) in kinds.items():
        for place in map(tuple, np.argwhere(is_read).tolist()):
            value = int(getattr(program, name)[place])
            for bit in range(n_bits):
                flipped = value ^ 1 << bit if name == "weights" else _flipped(value, bit, n_bits)
                if name == "weights" and _mean_the_same(program, place[0], value, flipped):
                    continue
                made_word = partial(_with_word, program, name, place, flipped)
                yield Mutant(kind, f"{name}{list(place)}, bit {bit}", made_word)
    highest = (1 << settings.sum_bits - 1) - 1
    for place in map(tuple, np.argwhere(program.thresholds < highest).tolist()):
        value = int(program.thresholds[place])
        for other in (value - 1, value + 1):
            made_word = partial(_with_word, program, "thresholds", place, other)
            what = f"thresholds{list(place)}, {other} for {value}"
            yield Mutant("threshold off by one", what, made_word)


def _broken_passes(made: Pass) -> Iterator[tuple[str, str, Pass]]:
    """Yield kind, field, and the pass with that field off by one."""

    def changed(name: str, value: Any) -> Pass:
        return dataclasses.replace(made, **{name: value})

    unread, beyond = _unread_fields(made), _edges_beyond(made)
    loops = {"last": LOOPS, "address_step": LOOPS, "out_step": LOOPS[3:]}
    for field in dataclasses.fields(made):
        name, value = field.name, getattr(made, field.name)
        if value is None or name in unread:
            continue
        if isinstance(value, Shortcut):
            for own in ("start_address", "lane_address", "page"):
                for other in (getattr(value, own) - 1, getattr(value, own) + 1):
                    shortcut = dataclasses.replace(value, **{own: other})
                    yield (
                        "start or edge",
                        f"{own} of its shortcut, {other}",
                        changed(name, shortcut),
                    )
        elif isinstance(value, str):
            following = RESULTS[(RESULTS.index(made.result) + 1) % len(RESULTS)]
            yield "pass flag", name, changed(name, following)
        elif isinstance(value, bool):
            yield "pass flag", name, changed(name, not value)
        elif isinstance(value, tuple):
            kind = "loop count" if name == "last" else "loop step"
            for k, loop in enumerate(loops[name]):
                if name != "last" and made.last[LOOPS.index(loop)] == 0:
                    continue  # the loop never advances
                for other in (value[k] - 1, value[k] + 1):
                    if other >= 0 or name != "last":
                        numbers = (*value[:k], other, *value[k + 1 :])
                        yield (
                            kind,
                            f"{name} of {loop}, {other} for {value[k]}",
                            changed(name, numbers),
                        )
        else:
            for other in (value - 1, value + 1):
                # More idle cycles than needed cost time alone, and no tap is in a farther edge.
                is_same = other > value and (name == "idle" or name in beyond)
                if (other >= 0 or name in _SIGNED) and not is_same:
                    yield _KINDS[name], f"{name}, {other} for {value}", changed(name, other)


_SIGNED = ("start_address", "start_x", "start_y", "lane_address", "out_lane", "lane_x")
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("n_channels", "n_channels_last", "n_positions_last"), "loop count"),
    **dict.fromkeys(("x_stride", "y_stride", "lane_address", "lane_x", "out_lane"), "loop step"),
    **dict.fromkeys(("start_address", "start_x", "start_y", "width", "height"), "start or edge"),
    **dict.fromkeys(("page", "weight_start", "out_start", "bias_start"), "start or edge"),
    **{"threshold_start": "start or edge", "idle": "idle cycles"},
}


def _unread_fields(made: Pass) -> set[str]:
    """Return the fields that mean nothing where a loop never advances or nothing reaches a map."""
    unread = set()
    if made.last[3] == 0:
        unread.add("x_stride")
    if made.last[4] == 0:
        unread.add("y_stride")
    if made.last[3] == 0 and made.n_positions_last == 1:
        unread |= {"lane_address", "lane_x", "out_lane"}
    if made.result != "map":
        unread |= {"out_start", "out_step", "out_lane"}
    if made.result in ("class", "sums"):
        unread |= {"threshold_start", "thresholds_per_channel"}
    return unread


def _edges_beyond(made: Pass) -> set[str]:
    """Return which of width and height no tap of an output ever reaches."""
    n_columns, n_rows = made.last[1] + 1, made.last[2] + 1
    # Lanes behind the last position of a line count too: that they are dropped is another matter.
    x = made.start_x + made.last[3] * made.x_stride + n_columns - 1
    y = made.start_y + made.last[4] * made.y_stride + n_rows - 1
    x += (made.n_positions_last - 1) * made.lane_x
    return {
        name
        for name, end, far in (("width", made.width, x), ("height", made.height, y))
        if far < end
    }


def _read_weights(program: Program) -> NDArray[np.bool_]:
    """Return which weights meet a level, shape (words, channel lanes)."""
    is_read = np.zeros(program.weights.shape, np.bool_)
    for made in program.passes:
        if made.is_greatest:
            continue
        for block in range(made.last[5] + 1):
            first = made.weight_start + block * made.taps
            n_channels = made.n_channels_last if block == made.last[5] else made.n_channels
            is_read[first : first + made.taps, :n_channels] = True
    return is_read


def _mean_the_same(program: Program, word: int, one: int, other: int) -> bool:
    """Whether two weights have the same sign and products, as all columns without weights have."""
    columns = program.settings.columns
    page = max(
        (made.weight_start, made.page)
        for made in program.passes
        if not made.is_greatest and made.weight_start <= word
    )[1]
    products = program.tables[page]
    same = bool((products[:, one % columns] == products[:, other % columns]).all())
    return same and one // columns == other // columns


def _read_columns(program: Program) -> NDArray[np.bool_]:
    """Return which entries some weight of their page chooses, shape (pages, levels, columns)."""
    is_read = np.zeros(program.tables.shape, np.bool_)
    read_weights = _read_weights(program)
    for made in program.passes:
        if not made.is_greatest:
            words = slice(made.weight_start, made.weight_start + made.taps * (made.last[5] + 1))
            weights = program.weights[words][read_weights[words]]
            n_rows = 1 + np.flatnonzero(program.tables[made.page].any(axis=1)).max(initial=0)
            is_read[made.page][:n_rows, np.unique(weights % program.settings.columns)] = True
    return is_read


def _flipped(value: int, bit: int, n_bits: int) -> int:
    """Return a number with a bit of its two's complement turned over."""
    word = (value ^ 1 << bit) & (1 << n_bits) - 1
    return word - (word >> n_bits - 1 << n_bits)


def _with_word(program: Program, name: str, place: tuple[int, ...], value: int) -> Program:
    words = getattr(program, name).copy()
    words[place] = value
    return dataclasses.replace(program, **{name: words})
