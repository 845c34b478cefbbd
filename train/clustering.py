"""One-dimensional k-means, exact for thousands of weights and close to it for millions.

One-dimensional k-means has an optimum that dynamic programming finds (Wu 1991; Grønlund et al.
2017), so there are no start values and no iterations; but its time is the number of weights times
that of centres. Beyond :data:`EXACT_WORK` it is applied to windows of neighbouring clusters, each
reduced to equal groups of sorted weights; whole clusters move between windows by merging where
that loses least and splitting where it gains most; and Lloyd's iteration on all weights, whose
sums over any cluster are differences of prefix sums, comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import kmeans1d
import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT_WORK", "kmeans_centres"]

Floats = NDArray[np.float64]
Weights = NDArray[np.float32] | NDArray[np.float64]
Places = NDArray[np.int64]

EXACT_WORK = 1_000_000
"""Weights times centres that dynamic programming takes in about 0.2 s."""

CANDIDATES = 1 << 14
"""How many places, evenly spaced in rank, and as many in value, are tried as cuts of clusters."""

WINDOW = 16
"""Clusters of a window."""

GROUPS = 1 << 14
"""Groups of equally many weights that a sweep works on, as far as there are so many."""

SWEEPS = 2
"""How often the windows pass over the weights, every other time shifted by half a window."""

EXCHANGES_MAX = 20
"""How often clusters are exchanged at most before the windows pass again."""

LLOYD_BETWEEN, LLOYD_MAX = 3, 30
"""Steps of Lloyd's iteration before each exchange, and at most at the end."""


def kmeans_centres(weights: Weights, size: int) -> Floats:
    """Return the centres of least squared error.

    Exact if the number of weights times ``size`` is at most :data:`EXACT_WORK`. Otherwise the
    squared error is a few percent above the least at most (Laplacian and Gaussian weights: about
    1 %), the same weights give the same centres, and one more Lloyd step would change hardly
    anything: the iteration ends where no weight changes its cluster, or after 30 steps.

    Parameters
    ----------
    weights
        Any shape; taken as float32 where the result is not exact.
    size
        Number of centres, at least 1.

    Returns
    -------
    NDArray[np.float64]
        Increasing; fewer than ``size`` if there are fewer distinct weights.
    """
    if weights.size * size <= EXACT_WORK:
        distinct = np.unique(weights).astype(np.float64)
        if len(distinct) <= size:
            return distinct
        return np.asarray(kmeans1d.cluster(weights.ravel(), size).centroids, np.float64)
    ordered = np.sort(weights.astype(np.float32, copy=False), axis=None)
    if np.count_nonzero(ordered[1:] != ordered[:-1]) < size:
        return np.unique(ordered).astype(np.float64)
    data = _prepare(ordered)
    cuts = _balance(data, _start(data, size), size)
    for sweep in range(SWEEPS):
        cuts = _balance(data, _sweep(data, cuts, shift=sweep % 2 * WINDOW // 2), size)
    return data.means(_lloyd(data, cuts, LLOYD_MAX))


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Sorted weights with what makes sums over a cluster cheap.

    A cluster is the weights from one cut up to the next; cuts are places 0..n.

    Attributes
    ----------
    ordered
        Shape (n,), non-decreasing.
    sums
        Shape (n + 1,): entry i is the sum of the i least weights.
    candidates
        The places that are tried as cuts.
    """

    ordered: NDArray[np.float32]
    sums: Floats
    candidates: Places

    def means(self, cuts: Places) -> Floats:
        means: Floats = np.diff(self.sums[cuts]) / np.diff(cuts)
        return means

    def explained(self, first: Places, end: Places) -> Floats:
        """Return for each cluster its weights' sum of squares less its squared error."""
        explained: Floats = np.square(self.sums[end] - self.sums[first]) / (end - first)
        return explained


def _prepare(ordered: NDArray[np.float32]) -> _Sorted:
    n = len(ordered)
    sums = np.empty(n + 1)
    sums[0] = 0.0
    np.cumsum(ordered, dtype=np.float64, out=sums[1:])
    if n <= 2 * CANDIDATES:
        return _Sorted(ordered, sums, np.arange(n + 1))
    values = np.linspace(ordered[0], ordered[-1], CANDIDATES, dtype=np.float32)
    ranks = np.linspace(0, n, CANDIDATES).astype(np.int64)
    return _Sorted(ordered, sums, np.unique(np.append(ranks, ordered.searchsorted(values))))


def _start(data: _Sorted, size: int) -> Places:
    """Return cuts of a density that goes with the cube root of the weights' (Panter, Dite 1951)."""
    places = data.candidates
    values = data.ordered[np.minimum(places, len(data.ordered) - 1)].astype(np.float64)
    shares = np.cbrt(np.diff(places) * np.square(np.diff(values)))
    cumulated = np.append(0.0, np.cumsum(shares))
    inner = cumulated.searchsorted(np.arange(1, size) / size * cumulated[-1])
    return np.unique(np.concatenate([places[:1], places[inner], places[-1:]]))


def _lloyd(data: _Sorted, cuts: Places, n_steps: int) -> Places:
    """Move every cut half-way between the means to its sides, until none moves any more."""
    for _ in range(n_steps):
        means = data.means(cuts)
        middles = ((means[1:] + means[:-1]) / 2).astype(np.float32)
        moved = np.unique(np.concatenate([cuts[:1], data.ordered.searchsorted(middles), cuts[-1:]]))
        if np.array_equal(moved, cuts):
            break
        cuts = moved
    return cuts


def _balance(data: _Sorted, cuts: Places, size: int) -> Places:
    """Exchange clusters as long as that helps, with a little of Lloyd's iteration between."""
    for _ in range(EXCHANGES_MAX):
        cuts = _lloyd(data, cuts, LLOYD_BETWEEN)
        exchanged = _exchange(data, cuts, size)
        if exchanged is None:
            break
        cuts = exchanged
    return cuts


def _exchange(data: _Sorted, cuts: Places, size: int) -> Places | None:
    """Split the clusters that gain most, and merge the neighbours that lose least for them.

    Returns
    -------
    NDArray[np.int64] | None
        The cuts, of ``size`` clusters at most; None if there was nothing to gain.
    """
    gain, place = _splits(data, cuts)
    splits = np.argsort(-gain)
    splits = splits[gain[splits] > 0]
    # As many as there are clusters to spare need no merge.
    n_free = size - (len(cuts) - 1)
    added, splits = splits[:n_free], splits[n_free:]

    explained = data.explained(cuts[:-1], cuts[1:])
    loss = explained[:-1] + explained[1:] - data.explained(cuts[:-2], cuts[2:])
    padded = np.concatenate([[np.inf], loss, [np.inf]])
    # A merge that is the least among its neighbours shares no cluster with another such one.
    merges = np.flatnonzero((loss < padded[:-2]) & (loss <= padded[2:]))
    merges = merges[np.argsort(loss[merges])]
    # Gains fall and losses rise from pair to pair, so those worth their while come first.
    n_pairs = min(len(splits), len(merges))
    n_worth = int(np.count_nonzero(gain[splits[:n_pairs]] > loss[merges[:n_pairs]]))
    splits, merges = splits[:n_worth], merges[:n_worth]
    # A cluster that is merged is not split as well.
    splits = splits[~np.isin(splits, np.append(merges, merges + 1))]
    merges = merges[: len(splits)]
    if len(splits) + len(added) == 0:
        return None
    kept = np.delete(cuts, merges + 1)
    return np.unique(np.concatenate([kept, place[splits], place[added]]))


def _splits(data: _Sorted, cuts: Places) -> tuple[Floats, Places]:
    """Return for each cluster what its best split in two gains, and where that is."""
    places = data.candidates[~np.isin(data.candidates, cuts, assume_unique=True)]
    cluster = cuts.searchsorted(places) - 1
    first, end = cuts[cluster], cuts[cluster + 1]
    gains = data.explained(first, places) + data.explained(places, end)
    gains -= data.explained(cuts[:-1], cuts[1:])[cluster]
    gain, place = np.zeros(len(cuts) - 1), np.zeros(len(cuts) - 1, np.int64)
    # Written in the order of rising gains, so the greatest stays.
    order = np.argsort(gains)
    gain[cluster[order]] = gains[order]
    place[cluster[order]] = places[order]
    return gain, place


def _sweep(data: _Sorted, cuts: Places, shift: int) -> Places:
    """Cluster the weights of every window of neighbouring clusters anew.

    Parameters
    ----------
    shift
        Clusters of the first window; 0 for a whole one.
    """
    n_clusters = len(cuts) - 1
    groups_per_cluster = max(WINDOW, GROUPS // n_clusters)
    borders = [0, *range(shift or WINDOW, n_clusters, WINDOW), n_clusters]
    found = [cuts[:1]]
    for left, right in pairwise(borders):
        first, end = int(cuts[left]), int(cuts[right])
        together = max(1, (end - first) // (groups_per_cluster * (right - left)))
        groups = np.append(np.arange(first, end, together), end)
        clusters = kmeans1d.cluster(data.means(groups).tolist(), right - left).clusters
        found += [groups[1:-1][np.diff(clusters) > 0], cuts[right : right + 1]]
    return np.concatenate(found)
