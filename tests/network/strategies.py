"""Random networks of every form, small enough for plain Python."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    Layer,
    MaxPool2d,
    Network,
    Output,
)
from nomul.network.model import Encoding, OutputKind
from tests.networks import random_lookup, random_network, random_tables

__all__ = ["graphs", "networks"]

OUTPUT_KINDS: tuple[OutputKind, ...] = ("class", "accumulators", "levels")
STAGES = ("dense", "conv", "transposed", "residual", "pool", "lookup")
WITH_LEVELS = ("pool", "lookup")
ENCODINGS: tuple[Encoding, ...] = ("level", "thermometer")


@st.composite
def networks(draw: st.DrawFn, max_layers: int = 3, max_size: int = 4) -> Network:
    """Draw a chain: every output kind, shared thresholds or each feature's own, repeats too."""
    kind = draw(st.sampled_from(OUTPUT_KINDS))
    size = st.integers(1, max_size)
    sizes = draw(st.lists(size, min_size=2, max_size=max_layers + 1))
    n_level_counts = len(sizes) - (0 if kind == "levels" else 1)
    level_count = st.sampled_from((2, 3, 4, 256))
    counts = draw(st.lists(level_count, min_size=n_level_counts, max_size=n_level_counts))
    network = random_network(
        tuple(sizes),
        tuple(counts),
        seed=draw(st.integers(0, 1000)),
        n_centres=draw(st.integers(1, 6)),
        output=kind,
        factored=draw(st.booleans()),
    )
    prefix = draw(st.sampled_from(((), (1,), (sizes[0],))))
    step = st.sampled_from((0.0, 0.25, 1.0))
    n_thresholds = int(np.prod(prefix, dtype=int)) * (counts[0] - 1)
    steps = draw(st.lists(step, min_size=n_thresholds, max_size=n_thresholds))
    thresholds = np.array(steps).reshape(*prefix, counts[0] - 1).cumsum(-1) - 1.0
    return dataclasses.replace(network, input=Input((sizes[0],), thresholds))


@st.composite
def graphs(
    draw: st.DrawFn,
    max_stages: int = 3,
    max_size: int = 5,
    max_levels: int = 5,
    kinds: tuple[str, ...] = STAGES,
) -> Network:
    """Draw a network of layers of ``kinds``, one after the other but for residual additions."""
    features = draw(st.lists(st.integers(1, max_size), min_size=1, max_size=3))
    prefix = draw(st.sampled_from(((), tuple(features), (features[0], 1, 1)[: len(features)])))
    n_thresholds = draw(st.integers(1, max_levels - 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    thresholds = np.sort(rng.integers(-4, 5, (*prefix, n_thresholds)) / 2, -1)
    source = Input(tuple(features), thresholds, draw(st.sampled_from(ENCODINGS)))

    output = draw(st.sampled_from(OUTPUT_KINDS))
    layers: list[Layer] = []
    shape, n_levels_in, name = _seen(source.level_shape), source.n_levels, "input"
    n_stages = draw(st.integers(1, max_stages))
    for stage in range(n_stages):
        is_last = stage == n_stages - 1
        n_levels = None if is_last and output != "levels" else draw(st.integers(2, max_levels))
        possible = [kind for kind in kinds if n_levels is not None or kind not in WITH_LEVELS]
        kind = draw(st.sampled_from(possible))
        made, shape, gives = draw(_stages(kind, shape, n_levels_in, n_levels, name, len(layers)))
        layers += made
        n_levels_in, name = gives or 0, f"layers.{len(layers) - 1}"
    return Network(source, tuple(layers), Output(output))


def _pair(numbers: Iterable[int]) -> tuple[int, int]:
    first, second = numbers
    return first, second


def _seen(shape: tuple[int, ...]) -> tuple[int, int, int]:
    match shape:
        case (channels,):
            return channels, 1, 1
        case (channels, width):
            return channels, 1, width
        case (channels, height, width):
            return channels, height, width
    raise AssertionError(shape)


@st.composite
def _stages(
    draw: st.DrawFn,
    kind: str,
    shape: tuple[int, int, int],
    n_levels_in: int,
    n_levels: int | None,
    source: str,
    number: int,
) -> tuple[list[Layer], tuple[int, int, int], int | None]:
    """Draw the layers of a stage, the shape that they give and the levels that they give."""
    n_channels, height, width = shape
    sizes = (height, width)

    def tables(weights: tuple[int, ...], n_out: int, n_levels: int | None) -> dict[str, Any]:
        return random_tables(
            weights,
            n_out,
            n_levels_in,
            n_levels,
            seed=draw(st.integers(0, 99)),
            n_centres=draw(st.integers(1, 6)),
            factored=draw(st.booleans()),
            shared=draw(st.booleans()),
        )

    def pair(least: int, greatest: int) -> tuple[int, int]:
        return draw(st.integers(least, greatest)), draw(st.integers(least, greatest))

    if kind == "dense":
        n_out = draw(st.integers(1, 4))
        made = Dense(**tables((n_out, n_channels * height * width), n_out, n_levels), source=source)
        return [made], (n_out, 1, 1), n_levels
    if kind == "lookup":
        assert n_levels is not None, "a lookup layer gives levels"
        n_out = draw(st.integers(1, 6))
        lookup = random_lookup(
            n_out,
            draw(st.integers(1, 5)),
            n_channels * height * width * math.ceil(math.log2(n_levels_in)),
            n_levels,
            seed=draw(st.integers(0, 99)),
            source=source,
        )
        return [lookup], (n_out, 1, 1), n_levels
    if kind == "residual":
        kernel, padding = draw(st.sampled_from((((1, 1), (0, 0)), ((3, 1), (1, 0)))))
        main = Conv2d(
            **tables((n_channels, n_channels, *kernel), n_channels, None),
            source=source,
            padding=padding,
        )
        identity = Conv2d(
            **tables((n_channels, 1, 1, 1), n_channels, None), source=source, groups=n_channels
        )
        both = tables((1,), n_channels, n_levels)
        names = (f"layers.{number}", f"layers.{number + 1}")
        twice = draw(st.booleans())
        added = Add(both["bias"], both.get("thresholds"), (*names, names[0]) if twice else names)
        return [main, identity, added], shape, n_levels
    padding = pair(0, 2)
    stride = pair(1, 3)
    if kind == "pool":
        padding = (min(padding[0], height), min(padding[1], width))
        size = _pair(
            draw(st.integers(max(1, 2 * p), min(4, n + 2 * p)))
            if max(1, 2 * p) <= min(4, n + 2 * p)
            else max(1, 2 * p)
            for n, p in zip(sizes, padding, strict=True)
        )
        pool = MaxPool2d(size, stride, padding, source)
        out = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(sizes, padding, size, stride, strict=True)
        ]
        return [pool], (n_channels, out[0], out[1]), n_levels_in
    groups = draw(st.sampled_from([g for g in range(1, n_channels + 1) if n_channels % g == 0]))
    per_group = draw(st.integers(1, 2))
    n_out = groups * per_group
    if kind == "conv":
        window = _pair(
            draw(st.integers(1, min(3, n + 2 * p))) for n, p in zip(sizes, padding, strict=True)
        )
        conv = Conv2d(
            **tables((n_out, n_channels // groups, *window), n_out, n_levels),
            source=source,
            stride=stride,
            padding=padding,
            groups=groups,
        )
        out = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(sizes, padding, window, stride, strict=True)
        ]
        return [conv], (n_out, out[0], out[1]), n_levels
    window = pair(1, 3)
    added_size = _pair(draw(st.integers(0, s - 1)) for s in stride)
    whole = [
        (n - 1) * s + k + a for n, s, k, a in zip(sizes, stride, window, added_size, strict=True)
    ]
    cut = _pair(min(p, (n - 1) // 2) for p, n in zip(padding, whole, strict=True))
    transposed = ConvTranspose2d(
        **tables((n_channels, per_group, *window), n_out, n_levels),
        source=source,
        stride=stride,
        padding=cut,
        output_padding=added_size,
        groups=groups,
    )
    return [transposed], (n_out, whole[0] - 2 * cut[0], whole[1] - 2 * cut[1]), n_levels
