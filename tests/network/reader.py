"""What docs/network-file.md says, in plain Python: a description and tensors in, answers out.

It imports nothing of ours, and writes every sum out tap by tap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["answer", "enter"]

Place = tuple[int, int, int]
Grid = dict[Place, int]
Description = dict[str, Any]
Tensors = dict[str, NDArray[Any]]


def enter(description: Description, tensors: Tensors, features: NDArray[np.float64]) -> list[int]:
    """Return the levels that the features of one sample make, flattened."""
    shape = description["input"]["shape"]
    thresholds = tensors["input.thresholds"]
    own = np.broadcast_to(thresholds, (*shape, thresholds.shape[-1]))
    if description["input"].get("encoding", "level") == "level":
        return [
            sum(features[at] >= threshold for threshold in own[at].tolist())
            for at in itertools.product(*map(range, shape))
        ]
    bits = [
        (channel, j, *rest)
        for channel, j, *rest in itertools.product(
            range(shape[0]), range(own.shape[-1]), *map(range, shape[1:])
        )
    ]
    return [int(features[c, *rest] >= own[c, *rest, j]) for c, j, *rest in bits]


def answer(description: Description, tensors: Tensors, levels: list[int]) -> int | list[int]:
    """Return what the network answers to the levels of one sample."""
    shape = list(description["input"]["shape"])
    if description["input"].get("encoding") == "thermometer":
        shape[0] *= tensors["input.thresholds"].shape[-1]
    match shape:
        case [channels, width]:
            seen = (channels, 1, width)
        case [channels, height, width]:
            seen = (channels, height, width)
        case _:
            seen = (math.prod(shape), 1, 1)
    grids: dict[str, Grid] = {"input": dict(zip(_places(seen), levels, strict=True))}
    counts = {"input": 1 + tensors["input.thresholds"].shape[-1]}
    if description["input"].get("encoding") == "thermometer":
        counts["input"] = 2
    for number, entry in enumerate(description["layers"]):
        name = f"layers.{number}"
        own = {
            tensor: tensors[f"{name}.{tensor}"]
            for tensor in _TENSORS
            if f"{name}.{tensor}" in tensors
        }
        names = entry["inputs"] if entry["kind"] == "add" else [entry["input"]]
        if entry["kind"] == "lookup":
            grid = _lookup(own, grids[names[0]], counts[names[0]])
            counts[name] = entry["levels"]
        else:
            grid = _KINDS[entry["kind"]](entry, own, *(grids[source] for source in names))
        if entry["kind"] == "max_pool2d":
            counts[name] = counts[names[0]]
        if "bias" in own:
            grid = {at: total + int(own["bias"][at[0]]) for at, total in grid.items()}
        if "thresholds" in own:
            n_channels = len(own["bias"])
            counts[name] = 1 + own["thresholds"].shape[-1]
            thresholds = np.broadcast_to(
                own["thresholds"], (n_channels, own["thresholds"].shape[-1])
            ).tolist()
            grid = {
                at: sum(threshold <= value for threshold in thresholds[at[0]])
                for at, value in grid.items()
            }
        grids[name] = grid
    values = list(grid.values())
    return values.index(max(values)) if description["output"]["kind"] == "class" else values


def _places(shape: Place) -> list[Place]:
    channels, rows, columns = map(range, shape)
    return list(itertools.product(channels, rows, columns))


def _shape(grid: Grid) -> Place:
    channels, rows, columns = (1 + max(at[axis] for at in grid) for axis in range(3))
    return channels, rows, columns


def _dense(_: Description, own: Tensors, source: Grid) -> Grid:
    return {
        (o, 0, 0): sum(
            int(own["product_table"][level, index])
            for level, index in zip(source.values(), indices, strict=True)
        )
        for o, indices in enumerate(own["weight_index"].tolist())
    }


def _conv(entry: Description, own: Tensors, source: Grid) -> Grid:
    weights, groups = own["weight_index"], entry["groups"]
    n_in, *sizes = _shape(source)
    n_out, per_group, *kernel = weights.shape
    rows, columns = _n_windows(entry, sizes, kernel)
    grid: Grid = {}
    for o, y, x in _places((n_out, rows, columns)):
        part = o // (n_out // groups)
        grid[o, y, x] = 0
        for k, i, j in _places((per_group, kernel[0], kernel[1])):
            v = y * entry["stride"][0] - entry["padding"][0] + i
            u = x * entry["stride"][1] - entry["padding"][1] + j
            at = (part * (n_in // groups) + k, v, u)
            if at in source:
                grid[o, y, x] += int(own["product_table"][source[at], weights[o, k, i, j]])
    return grid


def _conv_transpose(entry: Description, own: Tensors, source: Grid) -> Grid:
    weights, groups = own["weight_index"], entry["groups"]
    n_in, *sizes = _shape(source)
    _, per_group, *kernel = weights.shape
    rows, columns = (
        (size - 1) * entry["stride"][axis]
        - 2 * entry["padding"][axis]
        + kernel[axis]
        + entry["output_padding"][axis]
        for axis, size in enumerate(sizes)
    )
    grid: Grid = dict.fromkeys(_places((per_group * groups, rows, columns)), 0)
    for (c, v, u), level in source.items():
        part = c // (n_in // groups)
        for k, i, j in _places((per_group, kernel[0], kernel[1])):
            y = v * entry["stride"][0] - entry["padding"][0] + i
            x = u * entry["stride"][1] - entry["padding"][1] + j
            at = (part * per_group + k, y, x)
            if at in grid:
                grid[at] += int(own["product_table"][level, weights[c, k, i, j]])
    return grid


def _max_pool(entry: Description, _: Tensors, source: Grid) -> Grid:
    n_channels, *sizes = _shape(source)
    rows, columns = _n_windows(entry, sizes, entry["size"])
    grid: Grid = {}
    for o, y, x in _places((n_channels, rows, columns)):
        top = y * entry["stride"][0] - entry["padding"][0]
        left = x * entry["stride"][1] - entry["padding"][1]
        window = itertools.product(
            range(top, top + entry["size"][0]), range(left, left + entry["size"][1])
        )
        grid[o, y, x] = max(source[o, v, u] for v, u in window if (o, v, u) in source)
    return grid


def _lookup(own: Tensors, source: Grid, n_levels: int) -> Grid:
    width = math.ceil(math.log2(n_levels))
    bits = "".join(format(level, f"0{width}b")[::-1] for level in source.values())
    assert len(bits) == width * len(source)
    return {
        (o, 0, 0): int(table[int("".join(bits[b] for b in reversed(places)), 2)])
        for o, (places, table) in enumerate(
            zip(own["address_bit"].tolist(), own["level_table"], strict=True)
        )
    }


def _add(_entry: Description, _own: Tensors, *sources: Grid) -> Grid:
    return {at: sum(source[at] for source in sources) for at in sources[0]}


def _n_windows(entry: Description, sizes: list[int], window: list[int]) -> list[int]:
    return [
        math.floor((size + 2 * entry["padding"][axis] - window[axis]) / entry["stride"][axis]) + 1
        for axis, size in enumerate(sizes)
    ]


_TENSORS = (
    "weight_index",
    "product_table",
    "bias",
    "thresholds",
    "address_bit",
    "level_table",
)
_KINDS: dict[str, Callable[..., Grid]] = {
    "dense": _dense,
    "conv2d": _conv,
    "conv_transpose2d": _conv_transpose,
    "max_pool2d": _max_pool,
    "add": _add,
}
