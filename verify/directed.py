"""Samples for verification, where a test set says too little.

What a test set never reaches, a check by it cannot miss: the highest bit of a sum that is always
small, a threshold between values that no sum takes, a level that only strange inputs give. These
samples go there: to every row of the product tables, to both ends of every sum, to both sides of
every threshold, and to the ties of the classes. At a threshold or a tie alone a fault need not
show: so the search goes on until the answer depends on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network import Input, Layer, Network, Output
from nomul.network.bounds import all_bounds
from nomul.network.layers import INPUT_NAME, Weighted, layer_name
from nomul.sim.golden import evaluate_levels

__all__ = ["N_RANDOM", "Crossings", "directed_levels", "threshold_crossings"]

Levels = NDArray[np.int64]

N_RANDOM = 8192
ROUNDS = 400
VARIANTS = 12
CROSSINGS_WANTED = 4
ENDS_WANTED = 8
TIES_WANTED = 16
HEIGHTS_WANTED = 8
"""Samples of each goal; a search ends with fewer where it finds no more in ``ROUNDS``."""

HEIGHTS = 12


@dataclass(frozen=True, eq=False)
class Crossings:
    """Samples at the thresholds of a layer.

    Attributes
    ----------
    layer
        Its number.
    samples
        Input levels, shape (samples, inputs).
    reached, shown
        bool, shape (channels, thresholds, 2): whether a sample has a sum of exactly 1 less than
        the threshold, and of exactly the threshold; whether in one of them the network's answer
        depends on the side of this threshold.
    """

    layer: int
    samples: Levels
    reached: NDArray[np.bool_]
    shown: NDArray[np.bool_]


def directed_levels(network: Network, seed: int = 0) -> Levels:
    """Return input levels that lead a network to its edges, int64, shape (samples, inputs).

    First all inputs at each level; then :data:`N_RANDOM` samples of uniform levels, and as many of
    levels that are mostly the least or the greatest. Of chains of layers, there follow samples in
    which each sum is at the ends of its range, and those of :func:`threshold_crossings`. Where the
    answer is a class, in more of them the two greatest sums differ by -1, 0 or 1: those of each
    pair, and each one at heights from its least to its greatest value.

    Parameters
    ----------
    network
        Any; a search takes seconds for dense layers, and minutes for convolutions.
    seed
        The same seed gives the same samples.
    """
    rng = np.random.default_rng(seed)
    n_inputs, top = network.n_inputs, network.input.n_levels - 1
    uniform = rng.integers(0, top + 1, (N_RANDOM, n_inputs))
    share = rng.random((N_RANDOM, 1))
    extreme = np.where(rng.random((N_RANDOM, n_inputs)) < share, top, 0)
    kept = rng.random((N_RANDOM, n_inputs)) < rng.random((N_RANDOM, 1)) / 2
    parts = [
        np.repeat(np.arange(top + 1)[:, None], n_inputs, axis=1),
        uniform,
        np.where(kept, uniform, extreme),
    ]
    names = [INPUT_NAME, *map(layer_name, range(len(network.layers)))]
    if any(own.sources != (name,) for own, name in zip(network.layers, names[:-1], strict=True)):
        return np.concatenate(parts)
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Weighted):
            parts.append(_ends(network, number, rng))
            if layer.thresholds is not None:
                parts.append(threshold_crossings(network, number, rng).samples)
    if network.output.kind == "class":
        parts += [_ties(network, rng), _heights(network, rng)]
    return np.concatenate(parts)


def threshold_crossings(network: Network, number: int, rng: np.random.Generator) -> Crossings:
    """Search samples at each threshold of a layer, from both sides.

    Of a layer with several positions, those of a channel count as one.
    """
    layer = network.layers[number]
    assert isinstance(layer, Weighted), "only sums have thresholds"
    assert layer.thresholds is not None, "only sums have thresholds"
    n_channels, n_thresholds = layer.n_channels, layer.thresholds.shape[-1]
    sums, rest = _until(network, number), _behind(network, number)
    bounds = _thresholds(layer)
    # Goal (channel, threshold, side): the sum is the threshold less 1, or the threshold.
    channels, numbers, sides = (
        grid.ravel() for grid in np.indices((n_channels, n_thresholds, 2), np.int64)
    )
    wanted = bounds[channels, numbers] - 1 + sides
    reached = np.zeros(len(channels), np.bool_)

    def score(levels: Levels, goals: NDArray[np.int64]) -> NDArray[np.int64]:
        found = evaluate_levels(sums, levels).reshape(len(levels), n_channels, -1)
        rows = np.arange(len(levels))
        away = np.abs(found[rows, channels[goals]] - wanted[goals, None])
        position = away.argmin(axis=1)
        distance = away[rows, position]
        at = np.flatnonzero(distance == 0)
        reached[goals[at]] = True
        hidden = np.ones(len(levels), np.int64)
        own = _levels(found[at], bounds)
        places = np.arange(len(at)), channels[goals[at]], position[at]
        hidden[at] = _is_hidden(rest, own, places, own[places] + 1 - 2 * sides[goals[at]])
        total: NDArray[np.int64] = 2 * distance + hidden
        return total

    samples, shown = _climbed(network, len(channels), score, rng, CROSSINGS_WANTED)
    shape = (n_channels, n_thresholds, 2)
    return Crossings(number, samples, reached.reshape(shape), shown.reshape(shape))


def _ends(network: Network, number: int, rng: np.random.Generator) -> Levels:
    """Return samples that bring each channel of a layer to its least and greatest sum.

    Where that can be found, the answer is another one if the level of that sum is at the other end.
    """
    layer = network.layers[number]
    assert isinstance(layer, Weighted), "only sums have ends"
    sums, rest = _until(network, number), _behind(network, number)
    ends = np.array(all_bounds(network.shapes, network.layers)[layer_name(number)])
    bounds = _thresholds(layer)

    def score(levels: Levels, goals: NDArray[np.int64]) -> NDArray[np.int64]:
        found = evaluate_levels(sums, levels).reshape(len(levels), layer.n_channels, -1)
        side, channel = np.divmod(goals, layer.n_channels)
        rows = np.arange(len(levels))
        away = np.abs(found[rows, channel] - ends[side, channel, None])
        position = away.argmin(axis=1)
        distance: NDArray[np.int64] = away[rows, position]
        if rest is None:
            return distance
        at = np.flatnonzero(distance == 0)
        hidden = np.ones(len(levels), np.int64)
        own = _levels(found[at], bounds)
        places = np.arange(len(at)), channel[at], position[at]
        n_thresholds = bounds.shape[1]
        other = np.where(2 * own[places] > n_thresholds, 0, n_thresholds)
        hidden[at] = _is_hidden(rest, own, places, other)
        total: NDArray[np.int64] = 2 * distance + hidden
        return total

    return _climbed(network, ends.size, score, rng, ENDS_WANTED)[0]


def _thresholds(layer: Weighted) -> NDArray[np.int64]:
    """Return the thresholds of each channel, shape (channels, thresholds)."""
    if layer.thresholds is None:
        return np.empty((layer.n_channels, 0), np.int64)
    n_thresholds = layer.thresholds.shape[-1]
    return np.broadcast_to(layer.thresholds, (layer.n_channels, n_thresholds)).astype(np.int64)


def _levels(sums: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the levels of sums, shape (samples, channels, positions)."""
    found: NDArray[np.int64] = (sums[:, :, :, None] >= bounds[:, None, :]).sum(axis=-1)
    return found


def _is_hidden(
    rest: Network | None,
    levels: NDArray[np.int64],
    places: tuple[NDArray[Any], ...],
    other: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return whether the answers are the same with another level at one place of each sample."""
    if rest is None or not len(levels):
        return np.zeros(len(levels), np.bool_)
    changed = levels.copy()
    changed[places] = other
    own, others = (
        evaluate_levels(rest, each.reshape(len(each), -1)).reshape(len(each), -1)
        for each in (levels, changed)
    )
    same: NDArray[np.bool_] = (own == others).all(axis=1)
    return same


def _ties(network: Network, rng: np.random.Generator) -> Levels:
    """Return samples in which the two greatest sums are those of each pair, and close."""
    sums = dataclasses.replace(network, output=Output("accumulators"))
    first, second = np.triu_indices(network.n_outputs, 1)
    n_pairs = len(first)

    def score(levels: Levels, goals: NDArray[np.int64]) -> NDArray[np.int64]:
        found = evaluate_levels(sums, levels).reshape(len(levels), -1)
        ahead, pair = np.divmod(goals, n_pairs)
        rows = np.arange(len(levels))
        a, b = found[rows, first[pair]], found[rows, second[pair]]
        found[rows, first[pair]] = found[rows, second[pair]] = np.iinfo(np.int64).min
        above = np.maximum(found.max(axis=1, initial=-(1 << 40)) - np.minimum(a, b), 0)
        distance: NDArray[np.int64] = np.abs(a - b - (ahead - 1)) + above
        return distance

    return _climbed(network, 3 * n_pairs, score, rng, TIES_WANTED)[0]


def _heights(network: Network, rng: np.random.Generator) -> Levels:
    """Return samples in which the greatest sum is low, high and between, and another one close."""
    sums = dataclasses.replace(network, output=Output("accumulators"))
    least, greatest = all_bounds(network.shapes, network.layers)[
        layer_name(len(network.layers) - 1)
    ]
    heights = np.linspace(least, greatest, HEIGHTS).round().astype(np.int64)

    def score(levels: Levels, goals: NDArray[np.int64]) -> NDArray[np.int64]:
        found = evaluate_levels(sums, levels).reshape(len(levels), -1)
        behind, place, channel = np.unravel_index(goals, (2, HEIGHTS, network.n_outputs))
        rows = np.arange(len(levels))
        own = found[rows, channel]
        found[rows, channel] = -(1 << 40)
        other = found.max(axis=1, initial=-(1 << 40))
        wanted = heights[place, channel]
        distance: NDArray[np.int64] = np.abs(own - wanted) + np.abs(other - wanted + behind)
        return distance

    return _climbed(network, 2 * HEIGHTS * network.n_outputs, score, rng, HEIGHTS_WANTED)[0]


def _climbed(
    network: Network,
    n_goals: int,
    score: Callable[[Levels, NDArray[np.int64]], NDArray[np.int64]],
    rng: np.random.Generator,
    n_wanted: int,
) -> tuple[Levels, NDArray[np.bool_]]:
    """Change a few inputs at a time, for all goals at once, as long as no score rises.

    Returns
    -------
    tuple
        Up to ``n_wanted`` samples of each goal whose score is 0, or else the best one; and
        whether there was one with 0.
    """
    n_inputs, n_levels = network.n_inputs, network.input.n_levels
    current = rng.integers(0, n_levels, (n_goals, n_inputs))
    best = score(current, np.arange(n_goals))
    found: list[Levels] = []
    n_found = np.zeros(n_goals, np.int64)
    for _ in range(ROUNDS):
        goals = np.flatnonzero(n_found < n_wanted)
        if not len(goals):
            break
        variants = np.repeat(current[goals], VARIANTS, axis=0)
        rows = np.arange(len(variants))
        for n_changes in range(3):
            place = rng.integers(0, n_inputs, len(variants))
            level = rng.integers(0, n_levels, len(variants))
            some = rng.random(len(variants)) < 0.5**n_changes
            variants[rows[some], place[some]] = level[some]
        scores = score(variants, np.repeat(goals, VARIANTS)).reshape(len(goals), VARIANTS)
        chosen = scores.argmin(axis=1)
        least = scores[np.arange(len(goals)), chosen]
        moved = least <= best[goals]
        taken = variants.reshape(len(goals), VARIANTS, n_inputs)[np.arange(len(goals)), chosen]
        current[goals[moved]], best[goals[moved]] = taken[moved], least[moved]
        found.append(taken[least == 0])
        ended = goals[least == 0]
        n_found[ended] += 1
        # The next one is to be a different one.
        fresh = rng.integers(0, n_levels, (len(ended), n_inputs))
        is_kept = rng.random((len(ended), n_inputs)) < 0.5
        current[ended] = np.where(is_kept, current[ended], fresh)
        if len(ended):
            best[ended] = score(current[ended], ended)
    return np.concatenate([*found, current[n_found == 0]]), n_found > 0


def _until(network: Network, number: int) -> Network:
    """Return the network up to the sums of a layer."""
    last = network.layers[number]
    assert isinstance(last, Weighted), "only these have sums"
    layers = (*network.layers[:number], dataclasses.replace(last, thresholds=None))
    return Network(network.input, layers, Output("accumulators"))


def _behind(network: Network, number: int) -> Network | None:
    """Return the network behind a layer; None behind the last."""
    layer = network.layers[number]
    assert isinstance(layer, Weighted), "only these have sums"
    if layer.n_levels is None:
        return None
    layers: list[Layer] = []
    for place, behind in enumerate(network.layers[number + 1 :]):
        assert behind.sources == (layer_name(number + place),), "a chain of layers"
        moved: Any = behind
        source = layer_name(place - 1) if place else INPUT_NAME
        layers.append(dataclasses.replace(moved, source=source))
    if not layers:
        return None
    shape = network.shapes[layer_name(number)]
    return Network(Input(shape, np.arange(layer.n_levels - 1.0)), tuple(layers), network.output)
