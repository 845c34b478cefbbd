"""Networks for Hypothesis, of every form that the hardware treats in its own way."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.network import Dense, Input, Lookup, Network, Output
from nomul.network.model import OutputKind
from tests.networks import random_lookup

__all__ = ["KINDS", "columns", "networks"]

KINDS: tuple[OutputKind, ...] = ("class", "accumulators", "levels")
LARGE = (-(2**28), 2**28 - 1)  # six of them stay within 32 bits


@st.composite
def columns(draw: st.DrawFn, n_levels: int) -> list[int]:
    """Draw one column of a product table."""
    form = draw(st.sampled_from(("zero", "constant", "linear", "random", "extreme")))
    if form == "zero":
        return [0] * n_levels
    if form == "constant":
        return [draw(st.integers(-50, 50))] * n_levels
    if form == "linear":
        slope = draw(st.integers(-60, 60)) << draw(st.integers(0, 12))
        first = draw(st.integers(-100, 100))
        return [first + slope * level for level in range(n_levels)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if form == "random":
        return [int(entry) for entry in rng.integers(-15, 16, n_levels)]
    return [int(entry) for entry in rng.choice([*LARGE, 0], n_levels)]


@st.composite
def product_tables(draw: st.DrawFn, n_levels: int) -> dict[str, NDArray[np.int32]]:
    """Draw a product table, of any columns or of factors, which then come with it."""
    if draw(st.booleans()):
        table = draw(st.lists(columns(n_levels), min_size=1, max_size=4))
        return {"product_table": np.array(table, np.int32).T}
    value = draw(st.lists(st.integers(-9, 9), min_size=n_levels, max_size=n_levels))
    centre = draw(st.lists(st.integers(-99, 99), min_size=1, max_size=6))
    factors = {"level_value": np.array(value, np.int32), "centre": np.array(centre, np.int32)}
    return factors | {"product_table": np.outer(*factors.values()).astype(np.int32)}


@st.composite
def dense_layers(
    draw: st.DrawFn, n_inputs: int, n_levels_in: int, n_levels: int | None, source: str
) -> Dense:
    """Draw a layer; neurons may be alike, thresholds repeated, never or always reached."""
    n_neurons = draw(st.integers(1, 4))
    tables = draw(product_tables(n_levels_in))
    index = st.integers(0, tables["product_table"].shape[1] - 1)
    row = st.lists(index, min_size=n_inputs, max_size=n_inputs)
    rows = draw(st.lists(row, min_size=1, max_size=n_neurons))
    weight_index = [rows[neuron % len(rows)] for neuron in range(n_neurons)]
    number_near_zero = st.integers(-60, 60) | st.sampled_from(LARGE)
    bias = draw(st.lists(number_near_zero, min_size=n_neurons, max_size=n_neurons))
    thresholds = None
    if n_levels is not None:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        spread = draw(st.sampled_from((0, 2, 40, 400, 2**31 - 1)))
        shape = (n_levels - 1,) if draw(st.booleans()) else (n_neurons, n_levels - 1)
        unsorted = rng.integers(-spread, spread + 1, shape)
        thresholds = np.sort(unsorted, axis=-1).astype(np.int32)
    return Dense(
        np.array(weight_index, np.uint8),
        **tables,
        bias=np.array(bias, np.int32),
        thresholds=thresholds,
        source=source,
    )


@st.composite
def lookup_layers(
    draw: st.DrawFn, n_inputs: int, n_levels_in: int, n_levels: int, source: str
) -> Lookup:
    """Draw a layer; one level bit may be two address bits."""
    n_level_bits = n_inputs * (n_levels_in - 1).bit_length()
    n_neurons, n_address_bits = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    seed = draw(st.integers(0, 99))
    return random_lookup(
        n_neurons, n_address_bits, n_level_bits, n_levels, seed=seed, source=source
    )


@st.composite
def networks(draw: st.DrawFn, level_counts: tuple[int, ...]) -> Network:
    """Draw a chain of dense and lookup layers."""
    kind = draw(st.sampled_from(KINDS))
    n_layers = draw(st.integers(1, 3))
    n_inputs = draw(st.integers(1, 5))
    n_levels_in = draw(st.sampled_from(level_counts))
    source = Input((n_inputs,), np.arange(1, n_levels_in, dtype=np.float64) - 0.5)
    made: list[Dense | Lookup] = []
    for number in range(n_layers):
        name = f"layers.{number - 1}" if number else "input"
        if number == n_layers - 1 and kind != "levels":
            made.append(draw(dense_layers(n_inputs, n_levels_in, None, name)))
            break
        n_levels = draw(st.sampled_from(level_counts))
        geometry = n_inputs, n_levels_in, n_levels, name
        if draw(st.booleans()):
            made.append(draw(lookup_layers(*geometry)))
        else:
            made.append(draw(dense_layers(*geometry)))
        n_inputs, n_levels_in = made[-1].n_outputs, n_levels
    return Network(source, tuple(made), Output(kind))
