"""Random networks over all that ``Network`` can say, small enough for plain Python.

Every number is drawn by Hypothesis, large arrays by their few numbers that differ, so that what
fails shrinks. Tables, biases and thresholds are drawn by the sums that they make possible: some
lie at the very ends of what is allowed, on every edge of the sums, and beyond.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    Layer,
    Lookup,
    MaxPool2d,
    Network,
    Output,
    Weighted,
)
from nomul.network.bounds import weighted_bounds
from nomul.network.model import Encoding, OutputKind
from nomul.network.shapes import Shape, input_shape, layer_shape

__all__ = [
    "ANY",
    "ENGINE",
    "FOLDED",
    "KINDS",
    "OUTPUT_KINDS",
    "UNROLLED",
    "Limits",
    "feature_arrays",
    "folded_networks",
    "networks",
    "rectified",
    "sample_levels",
]

KINDS = ("dense", "conv", "transposed", "pool", "lookup", "residual")
UNROLLED = ("dense", "lookup")
FOLDED = ("dense", "conv", "transposed", "pool", "residual")
OUTPUT_KINDS: tuple[OutputKind, ...] = ("class", "accumulators", "levels")

_WITHOUT_SUMS = ("pool", "lookup")
_FLAT = ("dense", "lookup")
_ENCODINGS: tuple[Encoding, ...] = ("level", "thermometer")
_MOVING = ("line", "ends", "line", "any")
_STILL = ("constant", "zero")
_INT32 = np.iinfo(np.int32)
_DRAWN_ONE_BY_ONE = 80
_GROWING_MAX = 48  # numbers beyond which no transposed convolution makes more of them


_WithWeights = Dense | Conv2d | ConvTranspose2d


@dataclass(frozen=True)
class Limits:
    """What networks are drawn within.

    Attributes
    ----------
    level_counts
        From which the levels of the input and of each layer are drawn.
    least_sum, greatest_sum
        Of any accumulator.
    greatest_product
        Entries of a product table range from one less than its negative to it.
    columns
        Different columns of a product table, apart from their signs.
    """

    level_counts: tuple[int, ...] = (2, 3, 4, 5, 7, 16, 17, 100, 255, 256)
    least_sum: int = int(_INT32.min)
    greatest_sum: int = int(_INT32.max)
    greatest_product: int = int(_INT32.max)
    columns: int = 6


ANY = Limits()
ENGINE = Limits((2, 3, 4, 5, 7, 13, 16), -(1 << 15), (1 << 15) - 2, 127)
"""What an engine of 4 level bits, 8 product bits and 16 sum bits can hold."""


@dataclass
class _Drawing:
    """A network while it is drawn: its layers so far, and who gives what."""

    limits: Limits
    shape: Shape
    n_levels: int
    has_plain_residuals: bool
    source: str = "input"
    layers: list[Layer] = field(default_factory=list)

    def add(self, layer: Layer) -> str:
        self.layers.append(layer)
        return f"layers.{len(self.layers) - 1}"


@st.composite
def networks(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = KINDS,
    limits: Limits = ANY,
    *,
    max_stages: int = 3,
    max_size: int = 4,
    has_plain_residuals: bool = False,
) -> Network:
    """Draw a network of stages of ``kinds``, one behind the other; a residual is one stage.

    Plain residuals are two branches, of which the second sees single positions alone.
    """
    level_count = st.sampled_from(limits.level_counts)
    output = draw(st.sampled_from(OUTPUT_KINDS))
    n_stages = draw(st.integers(1, max_stages))
    stages = []
    for number in range(n_stages):
        ends_in_sums = number == n_stages - 1 and output != "levels"
        possible = [kind for kind in kinds if not (ends_in_sums and kind in _WITHOUT_SUMS)]
        n_levels = None if ends_in_sums else draw(level_count)
        stages.append((draw(st.sampled_from(possible)), n_levels))

    axes_max = 4 if stages[0][0] in _FLAT else 3
    sizes = st.lists(st.integers(1, max_size), min_size=1, max_size=axes_max)
    features = tuple(draw(sizes))
    own = draw(st.sampled_from(((), (1,) * len(features), features)))
    n_levels_in = draw(level_count)
    encoding = draw(st.sampled_from(_ENCODINGS))
    if encoding == "thermometer":
        n_levels_in = min(n_levels_in, 4)
    quarters = _array(np.int64, (*own, n_levels_in - 1), st.integers(-20, 20))
    source = Input(features, np.sort(draw(quarters), -1) / 4, encoding)

    drawing = _Drawing(
        limits, input_shape(source.level_shape), source.n_levels, has_plain_residuals
    )
    for kind, n_levels in stages:
        _draw_stage(draw, drawing, kind, n_levels)
    made = Output(output)
    if output == "accumulators":
        made = Output(
            output, draw(st.sampled_from((1.0, -0.25))), draw(st.sampled_from((0.0, 3.0)))
        )
    return Network(source, tuple(drawing.layers), made)


@st.composite
def folded_networks(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = FOLDED,
    limits: Limits = ENGINE,
    *,
    max_stages: int = 3,
    max_size: int = 4,
) -> Network:
    """Draw a network that is meant to fold: a class comes from one pass alone.

    Half of them have products of 0 for level 0, which an engine may skip.
    """
    sizes = {"max_stages": max_stages, "max_size": max_size}
    network = draw(networks(kinds, limits, has_plain_residuals=True, **sizes))
    if draw(st.booleans()):
        network = rectified(network)
    last = network.layers[-1]
    _, height, width = network.shapes[f"layers.{len(network.layers) - 1}"]
    if network.output.kind == "class" and height * width * getattr(last, "groups", 1) > 1:
        network = dataclasses.replace(network, output=Output("accumulators"))
    return network


def rectified(network: Network) -> Network:
    """Return the network with products of 0 for level 0, as of a sum that is rectified."""

    def changed(layer: Layer) -> Layer:
        if not isinstance(layer, Weighted):
            return layer
        table = layer.product_table.copy()
        table[0] = 0
        return dataclasses.replace(layer, product_table=table, level_value=None, centre=None)

    return dataclasses.replace(network, layers=tuple(map(changed, network.layers)))


def sample_levels(network: Network, n_samples: int, seed: int = 0) -> NDArray[np.int64]:
    """Return levels, shape (samples, inputs): the least, the greatest, then random ones."""
    rng = np.random.default_rng([seed, n_samples])
    levels = rng.integers(0, network.input.n_levels, (n_samples, network.n_inputs))
    levels[:1], levels[1:2] = 0, network.input.n_levels - 1
    # Half of what follows has the ends alone, which make extreme sums.
    levels[2::2] = rng.integers(0, 2, levels[2::2].shape) * (network.input.n_levels - 1)
    return levels


@st.composite
def feature_arrays(draw: st.DrawFn, network: Network, n_samples: int = 3) -> NDArray[np.float64]:
    """Draw features on the thresholds of the input, just below them, and beyond all."""
    on = np.unique(network.input.thresholds)
    places = np.concatenate([[-np.inf], on, np.nextafter(on, -np.inf), [on[-1] + 1, np.inf]])
    shape = (n_samples, *network.input.shape)
    drawn = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, len(places) - 1)))
    features: NDArray[np.float64] = places[drawn]
    return features


def _draw_stage(draw: st.DrawFn, drawing: _Drawing, kind: str, n_levels: int | None) -> None:
    """Add the layers of a stage, and note what they give."""
    shape = drawing.shape
    if kind == "pool":
        pool = _draw_pool(draw, shape, drawing.source)
        drawing.shape, drawing.source = layer_shape(pool, shape), drawing.add(pool)
        return
    assert n_levels is not None or kind != "lookup", "a lookup layer gives levels"
    if kind == "lookup" and n_levels is not None:
        layer: Layer = _draw_lookup(draw, drawing, n_levels)
        drawing.shape, drawing.source = layer_shape(layer, shape), drawing.add(layer)
    elif kind == "residual":
        _draw_residual(draw, drawing, n_levels)
    else:
        geometry = _draw_geometry(draw, kind, shape)
        made = _draw_weighted(draw, drawing, geometry, n_levels)
        drawing.shape, drawing.source = layer_shape(made, shape), drawing.add(made)
    drawing.n_levels = n_levels or 0


def _draw_pool(draw: st.DrawFn, shape: Shape, source: str) -> MaxPool2d:
    axes = []
    for n in shape[1:]:
        padding = draw(st.integers(0, 2))
        # A window holds twice its padding, and fits.
        padding = min(padding, n)
        size = draw(st.integers(max(1, 2 * padding), max(1, 2 * padding, min(4, n + 2 * padding))))
        axes.append((size, draw(st.integers(1, 3)), padding))
    (h, y, p), (w, x, q) = axes
    return MaxPool2d((h, w), (y, x), (p, q), source)


def _draw_lookup(draw: st.DrawFn, drawing: _Drawing, n_levels: int) -> Lookup:
    n_bits = math.prod(drawing.shape) * (drawing.n_levels - 1).bit_length()
    n_neurons, n_address_bits = draw(st.integers(1, 5)), draw(st.sampled_from((2, 1, 3, 4, 6)))
    address = _array(np.int32, (n_neurons, n_address_bits), st.integers(0, n_bits - 1))
    table = _array(np.uint8, (n_neurons, 1 << n_address_bits), st.integers(0, n_levels - 1))
    return Lookup(draw(address), draw(table), n_levels, drawing.source)


@dataclass(frozen=True)
class _Geometry:
    """A layer with weights, but for its tensors.

    Attributes
    ----------
    n_out, n_taps
        Channels out, and the products of an accumulator, at most.
    """

    kind: type[_WithWeights]
    weights: tuple[int, ...]
    n_out: int
    n_taps: int
    more: dict[str, Any] = field(default_factory=dict)


def _draw_geometry(draw: st.DrawFn, kind: str, shape: Shape) -> _Geometry:
    n_in, *sizes = shape
    if kind == "transposed" and math.prod(shape) > _GROWING_MAX:
        kind = "conv"
    if kind == "dense":
        n_out = draw(st.integers(1, 5))
        return _Geometry(Dense, (n_out, math.prod(shape)), n_out, math.prod(shape))
    groups = draw(st.sampled_from([g for g in range(1, n_in + 1) if n_in % g == 0]))
    per_group = draw(st.integers(1, 3))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = [draw(st.integers(0, 2)), draw(st.integers(0, 2))]
    more: dict[str, Any] = {"stride": stride, "groups": groups}
    if kind in ("conv", "same"):
        if kind == "same":  # a window around each position, or around each stride-th
            kernel = [2 * p + 1 for p in padding]
        else:
            kernel = [
                draw(st.integers(1, min(3, n + 2 * p))) for n, p in zip(sizes, padding, strict=True)
            ]
        more["padding"] = tuple(padding)
        weights = (groups * per_group, n_in // groups, *kernel)
        return _Geometry(Conv2d, weights, groups * per_group, math.prod(weights[1:]), more)
    kernel = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    added = [draw(st.integers(0, s - 1)) for s in stride]
    whole = [(n - 1) * s + k + a for n, s, k, a in zip(sizes, stride, kernel, added, strict=True)]
    cut = [min(p, (n - 1) // 2) for p, n in zip(padding, whole, strict=True)]
    more |= {"padding": tuple(cut), "output_padding": tuple(added)}
    weights = (n_in, per_group, *kernel)
    n_taps = n_in // groups * math.prod(kernel)
    return _Geometry(ConvTranspose2d, weights, groups * per_group, n_taps, more)


def _draw_residual(draw: st.DrawFn, drawing: _Drawing, n_levels: int | None) -> None:
    """Add two or three branches and what adds them up, one of them perhaps twice, or in two steps.

    The first may lie behind a layer of its own; a second one may see single positions alone, and
    does so in plain residuals, which are two branches.
    """
    shape, n_levels_in = drawing.shape, drawing.n_levels
    is_plain = drawing.has_plain_residuals
    kinds = ("same", "dense") if is_plain else ("same", "conv", "transposed", "dense")
    n_branches, twice, is_nested = 2, False, False
    if not is_plain:
        n_branches = draw(st.integers(2, 3))
        twice, is_nested = draw(st.booleans()), draw(st.booleans())
    n_terms = n_branches + twice
    geometry = _draw_geometry(draw, draw(st.sampled_from(kinds)), shape)
    shortcut = _shortcut(geometry, shape)
    behind = drawing.source
    if draw(st.booleans()):
        inner_geometry = _Geometry(Conv2d, (shape[0], shape[0], 1, 1), shape[0], shape[0])
        between = draw(st.sampled_from(drawing.limits.level_counts))
        inner = _draw_weighted(draw, drawing, inner_geometry, between)
        behind, n_levels_in = drawing.add(inner), between
    layer = _draw_weighted(
        draw, drawing, geometry, None, n_terms, source=behind, n_levels_in=n_levels_in
    )
    branches = [layer]
    for _ in range(n_branches - 1):
        is_short = shortcut is not None and (is_plain or draw(st.booleans()))
        own = shortcut if is_short and shortcut is not None else geometry
        branches.append(_draw_weighted(draw, drawing, own, None, n_terms))
    names = [drawing.add(branch) for branch in branches]
    doubled = names[0]
    if draw(st.booleans()):
        names.reverse()
    bounds = [weighted_bounds(branch, shape) for branch in branches]
    if twice:
        names.append(doubled)
        bounds.append(bounds[0])
    least = np.sum([low for low, _ in bounds], axis=0)
    greatest = np.sum([high for _, high in bounds], axis=0)
    if is_nested and len(names) > 2:
        first = Add(np.zeros(geometry.n_out, np.int32), None, tuple(names[:2]))
        names = [drawing.add(first), *names[2:]]
    bias = _draw_bias(draw, least, greatest, drawing.limits, 1)
    thresholds = _draw_thresholds(draw, least + bias, greatest + bias, n_levels)
    drawing.shape = layer_shape(layer, shape)
    drawing.source = drawing.add(Add(bias, thresholds, tuple(names)))


def _shortcut(geometry: _Geometry, shape: Shape) -> _Geometry | None:
    """Return the geometry of single positions that gives the same shape, if there is one."""
    if geometry.kind is not Conv2d:
        return None
    kernel, padding = geometry.weights[2:], geometry.more["padding"]
    if any(k != 2 * p + 1 for k, p in zip(kernel, padding, strict=True)):
        return None
    weights = (geometry.n_out, shape[0] // geometry.more["groups"], 1, 1)
    return dataclasses.replace(
        geometry, weights=weights, n_taps=weights[1], more={**geometry.more, "padding": (0, 0)}
    )


def _draw_weighted(
    draw: st.DrawFn,
    drawing: _Drawing,
    geometry: _Geometry,
    n_levels: int | None,
    n_terms: int = 1,
    *,
    source: str | None = None,
    n_levels_in: int | None = None,
) -> _WithWeights:
    """Draw the tensors of a layer whose sums, ``n_terms`` of them, are within the limits."""
    limits = drawing.limits
    rows = n_levels_in or drawing.n_levels
    low = max(-limits.greatest_product - 1, -(-limits.least_sum // n_terms // geometry.n_taps))
    high = min(limits.greatest_product, limits.greatest_sum // n_terms // geometry.n_taps)
    tables = _draw_table(draw, rows, low, high, limits.columns)
    n_columns = tables["product_table"].shape[1]
    dtype = draw(st.sampled_from((np.uint8, np.uint16)))
    index = _array(dtype, geometry.weights, st.integers(0, n_columns - 1))
    others: dict[str, Any] = {**tables, **geometry.more, "source": source or drawing.source}
    layer = geometry.kind(draw(index), bias=np.zeros(geometry.n_out, np.int32), **others)
    least, greatest = weighted_bounds(layer, drawing.shape)
    bias = _draw_bias(draw, least, greatest, limits, n_terms)
    thresholds = _draw_thresholds(draw, least + bias, greatest + bias, n_levels)
    return dataclasses.replace(layer, bias=bias, thresholds=thresholds)


def _draw_table(
    draw: st.DrawFn, n_levels: int, low: int, high: int, n_columns: int
) -> dict[str, NDArray[np.int32]]:
    """Draw a product table of entries from ``low`` to ``high``, perhaps of factors.

    Its first column moves, where the second and later ones need not: or most of what is drawn
    would be constant.
    """
    count = draw(st.sampled_from([n for n in (2, 1, 3, 4, 6) if n <= n_columns]))
    if draw(st.booleans()):
        most = min(draw(st.sampled_from((3, 40, math.isqrt(high)))), math.isqrt(high))
        centres = [1, *draw(_list(st.integers(-most, most), count - 1))]
        factors = {
            "level_value": _draw_column(draw, _MOVING, n_levels, -most, most).astype(np.int32),
            "centre": np.array(centres, np.int32),
        }
        table = np.outer(*(factor.astype(np.int64) for factor in factors.values()))
        return {**factors, "product_table": table.astype(np.int32)}
    most = draw(st.sampled_from((3, 60, high)))
    ends = max(low, -most - 1), min(high, most)
    columns = [
        _draw_column(draw, _MOVING + (_STILL if number else ()), n_levels, *ends)
        for number in range(count)
    ]
    if draw(st.booleans()):
        columns += [np.clip(-column, low, high) for column in columns]
    return {"product_table": np.stack(columns, axis=1).astype(np.int32)}


def _draw_column(
    draw: st.DrawFn, forms: tuple[str, ...], n_levels: int, low: int, high: int
) -> NDArray[np.int64]:
    """Draw the products of one weight value; all zeros are those of no connection."""
    match draw(st.sampled_from(forms)):
        case "line":
            steepest = st.integers(1, max(1, high // n_levels)) | st.integers(low // n_levels, -1)
            return np.clip(draw(steepest) * np.arange(n_levels), low, high)
        case "any":
            return draw(_array(np.int64, (n_levels,), st.integers(low, high)))
        case "ends":
            first = draw(st.sampled_from(((low, high), (high, low), (0, high), (low, 0))))
            rest = draw(_array(np.int64, (n_levels - 2,), st.sampled_from((low, high, 0))))
            return np.array([*first, *rest])
        case "constant":
            return np.full(n_levels, draw(st.integers(low, high)))
        case _:
            return np.zeros(n_levels, np.int64)


def _draw_bias(
    draw: st.DrawFn,
    least: NDArray[np.int64],
    greatest: NDArray[np.int64],
    limits: Limits,
    n_terms: int,
) -> NDArray[np.int32]:
    """Draw biases near 0, and those that move sums to the very ends of what is allowed."""
    lowest = np.maximum(-(-limits.least_sum // n_terms) - least, _INT32.min)
    highest = np.minimum(limits.greatest_sum // n_terms - greatest, _INT32.max)
    near = np.array(draw(_list(st.integers(-60, 60), len(least))))
    at_ends = draw(st.sampled_from((False, False, False, True)))
    end = np.array(draw(_list(st.integers(-1, 1), len(least)))) * at_ends
    wanted = np.where(end == 0, near, np.where(end < 0, lowest, highest))
    return np.clip(wanted, lowest, highest).astype(np.int32)


def _draw_thresholds(
    draw: st.DrawFn, least: NDArray[np.int64], greatest: NDArray[np.int64], n_levels: int | None
) -> NDArray[np.int32] | None:
    """Draw thresholds among the sums that there can be, on their ends, and beyond them."""
    if n_levels is None:
        return None
    is_shared = draw(st.booleans())
    if is_shared:
        least, greatest = np.min(least, keepdims=True), np.max(greatest, keepdims=True)
    low, high = least[:, None], greatest[:, None]
    count = n_levels - 1
    if draw(st.sampled_from((True, True, True, False))):
        # Evenly; the first may be the least sum, which all reach, or the last one the greatest.
        places = 4 * np.arange(count) + draw(st.sampled_from((2, 0, 4)))
        thresholds = low + (high - low) * places // (4 * count)
    else:
        place = _array(np.int64, (len(least), count), st.integers(-1, 34))
        places = draw(place)
        thresholds = low + (high - low) * np.clip(places, 0, 32) // 32 + (places == 33)
        thresholds[places == -1] = _INT32.min
        thresholds[places == 34] = _INT32.max
    ordered = np.sort(np.clip(thresholds, _INT32.min, _INT32.max), axis=-1).astype(np.int32)
    return ordered[0] if is_shared else ordered


def _array(
    dtype: Any, shape: tuple[int, ...], elements: st.SearchStrategy[int]
) -> st.SearchStrategy[NDArray[Any]]:
    """Draw each number of a small array, and of a large one those that differ from the rest."""
    fill = st.nothing() if math.prod(shape) <= _DRAWN_ONE_BY_ONE else None
    return hnp.arrays(dtype, shape, elements=elements, fill=fill)


def _list(elements: st.SearchStrategy[int], size: int) -> st.SearchStrategy[Sequence[int]]:
    return st.lists(elements, min_size=size, max_size=size)
