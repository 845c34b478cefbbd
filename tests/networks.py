"""Small networks that the tests share; each follows from its parameters."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network import Dense, Input, Lookup, Network, Output
from nomul.network.model import OutputKind

__all__ = [
    "dense_layers",
    "random_levels",
    "random_lookup",
    "random_network",
    "random_tables",
]


def random_network(
    sizes: tuple[int, ...],
    levels: tuple[int, ...],
    *,
    seed: int = 0,
    n_centres: int = 5,
    output: OutputKind = "class",
    factored: bool = False,
    magnitude: int = 9,
) -> Network:
    """Return a network of dense layers with random tables.

    ``sizes`` counts the inputs and then each layer's neurons; ``levels`` counts the levels of the
    inputs and then of each layer that has thresholds.
    """
    rng = np.random.default_rng([seed, *sizes, *levels, n_centres, magnitude])
    n_thresholded = len(sizes) - (1 if output == "levels" else 2)
    assert len(levels) == 1 + n_thresholded, "one level count for the inputs and each thresholds"
    layers = []
    for number, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        if factored:
            level_value = 2 * np.arange(levels[number]) - (levels[number] - 1)
            centre = rng.integers(-magnitude, magnitude + 1, n_centres)
            factors = {
                "level_value": level_value.astype(np.int32),
                "centre": centre.astype(np.int32),
            }
            table = np.outer(level_value, centre)
        else:
            factors = {}
            table = rng.integers(-magnitude, magnitude + 1, (levels[number], n_centres))
            table[:, 0] = 0
        weight_index = rng.integers(0, n_centres, (n_out, n_in)).astype(np.uint8)
        bias = rng.integers(-magnitude, magnitude + 1, n_out).astype(np.int32)
        thresholds = None
        if number < n_thresholded:
            spread = int(magnitude * np.sqrt(n_in)) + 1
            shape = (n_out, levels[number + 1] - 1) if number % 2 == 0 else (levels[number + 1] - 1)
            thresholds = np.sort(rng.integers(-spread, spread + 1, shape), -1).astype(np.int32)
        layers.append(
            Dense(
                weight_index,
                table.astype(np.int32),
                bias,
                thresholds,
                **factors,
                source="input" if number == 0 else f"layers.{number - 1}",
            )
        )
    thresholds_in = np.arange(1, levels[0], dtype=np.float64) - 0.5
    return Network(Input((sizes[0],), thresholds_in), tuple(layers), Output(output))


def random_levels(network: Network, n_samples: int, seed: int = 0) -> NDArray[np.int64]:
    """Return input levels for ``network``, shape (samples, inputs)."""
    rng = np.random.default_rng([seed, n_samples])
    return rng.integers(0, network.input.n_levels, (n_samples, network.n_inputs))


def dense_layers(network: Network) -> list[Dense]:
    """Return the layers of a network that has dense ones alone."""
    layers = [layer for layer in network.layers if isinstance(layer, Dense)]
    assert len(layers) == len(network.layers)
    return layers


def random_tables(
    shape: tuple[int, ...],
    n_channels: int,
    n_levels_in: int,
    n_levels: int | None,
    *,
    seed: int = 0,
    n_centres: int = 5,
    factored: bool = False,
    shared: bool = False,
    magnitude: int = 9,
) -> dict[str, Any]:
    """Return random tensors of a layer with weights.

    ``shape`` is that of the weight indices; ``n_levels`` counts the levels that leave, of which
    None has none; ``shared`` thresholds are those of all channels.
    """
    rng = np.random.default_rng([seed, *shape, n_channels, n_levels_in, n_levels or 0, n_centres])
    level_value = rng.integers(-magnitude, magnitude + 1, n_levels_in)
    centre = rng.integers(-magnitude, magnitude + 1, n_centres)
    table = rng.integers(-magnitude, magnitude + 1, (n_levels_in, n_centres))
    tables = {"product_table": np.outer(level_value, centre) if factored else table}
    if factored:
        tables |= {"level_value": level_value, "centre": centre}
    tables["bias"] = rng.integers(-magnitude, magnitude + 1, n_channels)
    if n_levels is not None:
        spread = magnitude * (magnitude if factored else 1)
        n_thresholds = (n_levels - 1,) if shared else (n_channels, n_levels - 1)
        tables["thresholds"] = np.sort(rng.integers(-spread, spread + 1, n_thresholds), -1)
    return {
        "weight_index": rng.integers(0, n_centres, shape).astype(np.uint8),
        **{name: tensor.astype(np.int32) for name, tensor in tables.items()},
    }


def random_lookup(
    n_neurons: int,
    n_address_bits: int,
    n_level_bits: int,
    n_levels: int,
    *,
    seed: int = 0,
    source: str = "input",
) -> Lookup:
    """Return a lookup layer with random connections to ``n_level_bits`` and random tables."""
    rng = np.random.default_rng([seed, n_neurons, n_address_bits, n_level_bits, n_levels])
    return Lookup(
        rng.integers(0, n_level_bits, (n_neurons, n_address_bits)).astype(np.int32),
        rng.integers(0, n_levels, (n_neurons, 1 << n_address_bits)).astype(np.uint8),
        n_levels,
        source,
    )
