"""Networks and settings that the tests of the folded engine share."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.hw.engine_settings import EngineSettings
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
from nomul.network.layers import Weighted
from nomul.network.model import OutputKind
from tests.network.strategies import graphs
from tests.networks import random_tables
from tests.strategies import rectified

__all__ = [
    "NETWORKS",
    "SMALL",
    "SPARSE",
    "chain",
    "chains",
    "residual",
    "sparse_levels",
    "sparse_networks",
    "with_opposites",
]

SMALL = EngineSettings(
    channel_lanes=4,
    position_lanes=2,
    map_depth=1024,
    pages=8,
    threshold_depth=64,
    bias_depth=128,
    weight_depth=2048,
    program_depth=4096,
    weight_memory="block",
    shortcuts=True,
)
"""For builds of seconds, with room for nearly all of :func:`chains`."""


def chain(
    shape: tuple[int, ...],
    levels: tuple[int, ...],
    output: OutputKind,
    layers: list[tuple[Any, ...]],
    *,
    shared: bool = False,
) -> Network:
    """Return a network of layers, one behind the other, with random tables.

    ``levels`` counts those of the input and of each layer with thresholds; a layer is its kind, the
    shape of its weights, or None, its channels out, and its geometry.
    """
    counts = itertools.chain(levels[1:], [None])
    made: list[Layer] = []
    n_levels: int | None = levels[0]
    for number, (kind, weights, n_out, geometry) in enumerate(layers):
        source = f"layers.{number - 1}" if number else "input"
        if weights is None:
            made.append(kind(**geometry, source=source))
            continue
        assert n_levels is not None, "only the last layer has no thresholds"
        following = next(counts)
        tables = random_tables(weights, n_out, n_levels, following, seed=number, shared=shared)
        made.append(kind(**tables, **geometry, source=source))
        n_levels = following
    return Network(Input(shape, np.arange(levels[0] - 1.0)), tuple(made), Output(output))


def with_opposites(network: Network) -> Network:
    """Return the network with every second weight value the negative of the one before it."""

    def changed(layer: Layer) -> Layer:
        if not isinstance(layer, Weighted):
            return layer
        table = layer.product_table.copy()
        table[:, 1::2] = -table[:, : table.shape[1] - 1 : 2]
        return dataclasses.replace(layer, product_table=table, level_value=None, centre=None)

    return dataclasses.replace(network, layers=tuple(map(changed, network.layers)))


def sparse_levels(network: Network, n_samples: int, seed: int = 0) -> NDArray[np.int64]:
    """Return levels, shape (samples, inputs), of which none are 0, then ever more, then all."""
    rng = np.random.default_rng([seed, n_samples])
    shape = n_samples, network.n_inputs
    levels = rng.integers(1, network.input.n_levels, shape)
    is_zero = rng.random(shape) < np.linspace(0, 1, n_samples)[:, None]
    return np.where(is_zero, 0, levels)


def residual(
    shape: tuple[int, ...],
    body: tuple[Any, ...],
    shortcut: tuple[Any, ...],
    output: OutputKind = "accumulators",
    *,
    swapped: bool = False,
    shared: bool = False,
) -> Network:
    """Return a convolution of the input, and a residual of two layers that see what it gives.

    ``body`` and ``shortcut`` are as layers in :func:`chain`; both have as many channels out.
    """
    n_levels = 6 if output == "levels" else None
    first = random_tables((shape[0], 1, 1, 1), shape[0], 16, 13, seed=9)
    layers: list[Layer] = [Conv2d(**first, groups=shape[0])]
    for seed, (kind, weights, n_out, geometry) in enumerate((body, shortcut)):
        tables = random_tables(weights, n_out, 13, None, seed=seed)
        layers.append(kind(**tables, **geometry, source="layers.0"))
    both = random_tables((1,), body[2], 13, n_levels, shared=shared)
    sources = ("layers.2", "layers.1") if swapped else ("layers.1", "layers.2")
    layers.append(Add(both["bias"], both.get("thresholds"), sources))
    return Network(Input(shape, np.arange(15.0)), tuple(layers), Output(output))


NETWORKS = {
    "one neuron": chain((1,), (2,), "accumulators", [(Dense, (1, 1), 1, {})]),
    "dense": chain(
        (13,), (16, 3), "class", [(Dense, (9, 13), 9, {}), (Dense, (10, 9), 10, {})], shared=True
    ),
    "pictures": with_opposites(
        chain(
            (2, 7, 9),
            (4, 16, 5),
            "class",
            [
                (Conv2d, (6, 2, 3, 3), 6, {"stride": (1, 2), "padding": (1, 1)}),
                (MaxPool2d, None, 6, {"size": (3, 2), "stride": (2, 2), "padding": (1, 0)}),
                (Conv2d, (6, 3, 2, 1), 6, {"groups": 2}),
                (Dense, (5, 6 * 3 * 2), 5, {}),
            ],
        )
    ),
    "a line, depthwise": chain(
        (3, 11),
        (5, 7),
        "accumulators",
        [
            (Conv2d, (6, 1, 1, 4), 6, {"stride": (1, 3), "padding": (0, 2), "groups": 3}),
            (Conv2d, (2, 6, 1, 1), 2, {}),
        ],
    ),
    "transposed": with_opposites(
        chain(
            (4, 3, 2),
            (3, 16, 4),
            "levels",
            [
                (
                    ConvTranspose2d,
                    (4, 3, 3, 2),
                    6,
                    {
                        "stride": (2, 3),
                        "padding": (1, 0),
                        "output_padding": (1, 2),
                        "groups": 2,
                    },
                ),
                (ConvTranspose2d, (6, 2, 1, 1), 2, {"stride": (1, 2)}),
            ],
        )
    ),
    "nothing but a maximum": chain(
        (5, 4, 4), (13,), "levels", [(MaxPool2d, None, 5, {"size": (2, 2), "stride": (1, 3)})]
    ),
    "a channel goes straight on": with_opposites(
        residual(
            (6, 3, 5),
            (Conv2d, (6, 6, 3, 3), 6, {"padding": (1, 1)}),
            (Conv2d, (6, 1, 1, 1), 6, {"groups": 6}),
            "levels",
        )
    ),
    "a shortcut with strides": residual(
        (3, 5, 8),
        (Conv2d, (7, 3, 3, 2), 7, {"padding": (1, 0), "stride": (2, 3)}),
        (Conv2d, (7, 3, 1, 1), 7, {"stride": (2, 3)}),
        swapped=True,
    ),
    "a shortcut in groups": residual(
        (4, 2, 3),
        (Conv2d, (6, 4, 1, 3), 6, {"padding": (0, 1)}),
        (Conv2d, (6, 2, 1, 1), 6, {"groups": 2}),
        "levels",
        shared=True,
    ),
    "a body in groups": residual(
        (10, 4, 3),
        (Conv2d, (10, 5, 3, 1), 10, {"padding": (1, 0), "groups": 2}),
        (Conv2d, (10, 1, 1, 1), 10, {"groups": 10}),
    ),
    "a body that is transposed": residual(
        (3, 2, 3),
        (ConvTranspose2d, (3, 2, 1, 2), 2, {"stride": (1, 2), "padding": (0, 2)}),
        (Conv2d, (2, 3, 1, 1), 2, {"stride": (1, 2)}),
    ),
    "neurons of two sums": residual(
        (11,), (Dense, (5, 11), 5, {}), (Dense, (5, 11), 5, {}), "class"
    ),
}
"""A few of every kind: edges of maps, blocks that are not full, outputs without a tap."""


SPARSE = {
    "groups of levels": with_opposites(
        rectified(
            chain(
                (8, 4, 5),
                (16, 7, 5),
                "class",
                [
                    (Conv2d, (12, 4, 3, 2), 12, {"padding": (1, 1), "groups": 2}),
                    (Conv2d, (4, 12, 2, 3), 4, {"stride": (1, 2)}),
                    (Dense, (5, 4 * 3 * 2), 5, {}),
                ],
                shared=True,
            )
        )
    ),
    "one level a time, then groups": with_opposites(
        rectified(
            chain(
                (1, 5, 6),
                (4, 16, 3),
                "levels",
                [
                    (Conv2d, (4, 1, 3, 3), 4, {"stride": (2, 1)}),
                    (MaxPool2d, None, 4, {"size": (2, 2), "stride": (1, 1)}),
                    (
                        ConvTranspose2d,
                        (4, 3, 2, 3),
                        3,
                        {"stride": (2, 2), "padding": (0, 1), "output_padding": (1, 0)},
                    ),
                ],
            )
        )
    ),
    "groups, and straight on": rectified(
        residual(
            (8, 3, 5),
            (Conv2d, (8, 8, 3, 3), 8, {"padding": (1, 1)}),
            (Conv2d, (8, 1, 1, 1), 8, {"groups": 8}),
            "levels",
        )
    ),
    "groups, and a shortcut with strides": rectified(
        residual(
            (4, 5, 7),
            (Conv2d, (6, 4, 3, 3), 6, {"padding": (1, 1), "stride": (2, 2)}),
            (Conv2d, (6, 4, 1, 1), 6, {"stride": (2, 2)}),
            swapped=True,
        )
    ),
    "groups, and two sums": rectified(
        residual((12,), (Dense, (9, 12), 9, {}), (Dense, (9, 12), 9, {}), "class")
    ),
}
"""Networks with passes that can skip zeros, and with some that cannot."""


@st.composite
def sparse_networks(draw: st.DrawFn) -> Network:
    """Draw a network of convolutions, perhaps before a dense layer, that may skip most zeros."""
    n_levels = st.integers(2, 16)
    shape = n_in, height, width = (
        draw(st.sampled_from((4, 8, 3, 12))),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 5)),
    )
    layers: list[tuple[Any, ...]] = []
    counts = [draw(n_levels)]
    for _ in range(draw(st.integers(1, 3))):
        padding = draw(st.integers(0, 1)), draw(st.integers(0, 1))
        stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
        sizes = height + 2 * padding[0], width + 2 * padding[1]
        kernel = [draw(st.integers(1, min(3, size))) for size in sizes]
        groups = draw(st.sampled_from([g for g in (1, 2, n_in) if n_in % g == 0]))
        n_out = groups * draw(st.sampled_from((1, 4, 3, 8) if groups < 3 else (1, 2)))
        geometry = {"stride": stride, "padding": padding, "groups": groups}
        layers.append((Conv2d, (n_out, n_in // groups, *kernel), n_out, geometry))
        counts.append(draw(n_levels))
        height, width = (
            (size - k) // s + 1 for size, k, s in zip(sizes, kernel, stride, strict=True)
        )
        n_in = n_out
    if draw(st.booleans()):
        layers.append((Dense, (5, n_in * height * width), 5, {}))
        counts.append(draw(n_levels))
    network = rectified(chain(shape, tuple(counts), "levels", layers, shared=draw(st.booleans())))
    return with_opposites(network) if draw(st.booleans()) else network


@st.composite
def chains(draw: st.DrawFn, max_stages: int = 3, max_size: int = 5) -> Network:
    """Draw a network that an engine can do: up to 16 levels, and weights with opposites or not."""
    kinds = ("dense", "conv", "transposed", "pool", "residual")
    network = draw(graphs(max_stages, max_size, max_levels=16, kinds=kinds))
    # An engine adds two branches, not more.
    layers = (
        dataclasses.replace(layer, sources=layer.sources[:2]) if isinstance(layer, Add) else layer
        for layer in network.layers
    )
    network = dataclasses.replace(network, layers=tuple(layers))
    if draw(st.booleans()):
        network = with_opposites(network)
    last = network.layers[-1]
    _, height, width = network.shapes[f"layers.{len(network.layers) - 1}"]
    if network.output.kind == "class" and height * width * getattr(last, "groups", 1) > 1:
        network = dataclasses.replace(network, output=Output("accumulators"))
    return network
