"""Gradient-boosted trees in Verilog, as TreeLUT (Khataei and Bazargan, FPGA 2025) makes them.

TreeLUT is on no package index, so its construction is written again here, with scikit-learn's
histogram trees for XGBoost's: features of a few bits; one comparator for each pair of feature and
threshold that occurs (a *key*), shared by all trees; each tree a choice of its quantized leaves by
keys; one adder tree for each class; and an arg-max. A tree's leaves are made non-negative by their
least, which goes into the bias of the class, and biases by theirs: only differences count.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.compare.design import Design, added, arg_max

__all__ = ["Forest", "Leaf", "Node", "TreeSettings", "choose_forest", "fit_forest", "forest_design"]

Levels = NDArray[np.int64]


@dataclass(frozen=True)
class Leaf:
    """A tree's end: what it adds to the class."""

    value: int


@dataclass(frozen=True)
class Node:
    """A question: is ``level[feature] >= threshold``?"""

    feature: int
    threshold: int
    no: Node | Leaf
    yes: Node | Leaf


@dataclass(frozen=True)
class Forest:
    """Trees with integer leaves, those of each class, and the classes' biases.

    All are non-negative.
    """

    trees: tuple[tuple[Node | Leaf, ...], ...]
    bias: tuple[int, ...]
    n_features: int
    n_levels: int

    def sums(self, levels: Levels) -> NDArray[np.int64]:
        """Return what each class adds up to, shape (samples, classes)."""
        columns = [
            sum((_values(tree, levels) for tree in trees), np.full(len(levels), bias))
            for trees, bias in zip(self.trees, self.bias, strict=True)
        ]
        return np.stack(columns, axis=1)

    def classes(self, levels: Levels) -> NDArray[np.int64]:
        """Return the class of each sample, the first of equals."""
        winners: NDArray[np.int64] = self.sums(levels).argmax(axis=1)
        return winners


@dataclass(frozen=True)
class TreeSettings:
    """Size and training of a forest.

    Attributes
    ----------
    rounds, depth
        Trees for each class, and questions on a path of a tree.
    leaf_bits
        Bits of the widest leaf.
    """

    rounds: int
    depth: int
    leaf_bits: int = 3
    learning_rate: float = 0.3
    samples_in_leaf: int = 5
    l2: float = 1.0


GRID = tuple(
    {"leaf_bits": bits, "learning_rate": rate, "samples_in_leaf": samples}
    for bits, rate, samples in itertools.product((2, 3, 4), (0.3, 0.6, 1.0), (2, 10))
)
"""What is chosen by accuracy on a validation part."""


def choose_forest(
    levels: Levels, classes: Levels, rounds: int, depth: int, *, n_levels: int, seed: int = 0
) -> tuple[TreeSettings, Forest]:
    """Return the settings that are best on a validation part, and a forest fitted to all samples.

    A quarter of the samples is for validation, at most 5,000. Of equals, the fewest leaf bits win.
    """
    order = np.random.default_rng(seed).permutation(len(levels))
    n_validation = min(len(levels) // 4, 5000)
    held_out, rest = order[:n_validation], order[n_validation : n_validation + 20_000]
    best: tuple[float, TreeSettings] | None = None
    fitted: dict[tuple[float, int], Any] = {}
    for choice in GRID:
        settings = TreeSettings(rounds, depth, **choice)  # type: ignore[arg-type]
        key = (settings.learning_rate, settings.samples_in_leaf)
        if key not in fitted:
            fitted[key] = _fit(levels[rest], classes[rest], settings)
        forest = _quantized(fitted[key], settings, levels.shape[1], n_levels)
        right = float((forest.classes(levels[held_out]) == classes[held_out]).mean())
        if best is None or right > best[0]:
            best = right, settings
    assert best is not None, "the grid is not empty"
    return best[1], fit_forest(levels, classes, best[1], n_levels=n_levels)


def fit_forest(levels: Levels, classes: Levels, settings: TreeSettings, *, n_levels: int) -> Forest:
    """Return a forest fitted to all samples: levels of shape (samples, features)."""
    model = _fit(levels, classes, settings)
    return _quantized(model, settings, levels.shape[1], n_levels)


def _fit(levels: Levels, classes: Levels, settings: TreeSettings) -> Any:
    return HistGradientBoostingClassifier(
        max_iter=settings.rounds,
        max_depth=settings.depth,
        max_leaf_nodes=None,
        learning_rate=settings.learning_rate,
        min_samples_leaf=settings.samples_in_leaf,
        l2_regularization=settings.l2,
        early_stopping=False,
    ).fit(levels, classes)


def _quantized(model: Any, settings: TreeSettings, n_features: int, n_levels: int) -> Forest:
    """Return the model with integer leaves: each tree's from 0, all on one scale."""
    rounds = [[predictor.nodes for predictor in round_] for round_ in model._predictors]
    n_trees = len(rounds[0])
    leaves = [[nodes["value"][nodes["is_leaf"] == 1] for nodes in round_] for round_ in rounds]
    widest = max(float(np.ptp(values)) for round_ in leaves for values in round_)
    scale = ((1 << settings.leaf_bits) - 1) / (widest or 1.0)
    bias = np.asarray(model._baseline_prediction, np.float64).reshape(-1) * scale
    trees: list[list[Node | Leaf]] = [[] for _ in range(n_trees)]
    for round_, values in zip(rounds, leaves, strict=True):
        for number, (nodes, own) in enumerate(zip(round_, values, strict=True)):
            least = float(own.min())
            bias[number] += least * scale
            trees[number].append(_tree(nodes, 0, least, scale))
    if n_trees == 1:  # two classes: the sum is for the second, against 0 for the first
        trees, bias = [[], trees[0]], np.array([0.0, bias[0]])
    whole = np.rint(bias - bias.min()).astype(np.int64)
    return Forest(tuple(map(tuple, trees)), tuple(whole.tolist()), n_features, n_levels)


def _tree(nodes: Any, place: int, least: float, scale: float) -> Node | Leaf:
    node = nodes[place]
    if node["is_leaf"]:
        return Leaf(round((float(node["value"]) - least) * scale))
    no = _tree(nodes, int(node["left"]), least, scale)
    yes = _tree(nodes, int(node["right"]), least, scale)
    if no == yes:
        return no
    # scikit-learn goes left where the level is the threshold, half-way between two, or less.
    threshold = int(np.floor(node["num_threshold"])) + 1
    return Node(int(node["feature_idx"]), threshold, no, yes)


def _values(tree: Node | Leaf, levels: Levels) -> NDArray[np.int64]:
    if isinstance(tree, Leaf):
        return np.full(len(levels), tree.value)
    yes = levels[:, tree.feature] >= tree.threshold
    return np.where(yes, _values(tree.yes, levels), _values(tree.no, levels))


def forest_design(forest: Forest, top: str = "trees") -> Design:
    """Return the forest as combinational Verilog."""
    level_width = max(1, (forest.n_levels - 1).bit_length())
    class_width = max(1, (len(forest.trees) - 1).bit_length())
    keys = sorted({key for trees in forest.trees for tree in trees for key in _keys(tree)})
    lines = [
        f"module {top}(input [{level_width * forest.n_features - 1}:0] i, "
        f"output [{class_width - 1}:0] o);"
    ]
    lines += [
        f"wire key_{feature}_{threshold} = "
        f"i[{level_width * feature} +: {level_width}] >= {level_width}'d{threshold};"
        for feature, threshold in keys
    ]
    values = []
    for number, (trees, bias) in enumerate(zip(forest.trees, forest.bias, strict=True)):
        operands = []
        for index, tree in enumerate(trees):
            greatest = _greatest(tree)
            if greatest:
                width = greatest.bit_length()
                net = f"tree_{number}_{index}"
                lines.append(f"wire [{width - 1}:0] {net} = {_choice(tree, width)};")
                operands.append((net, greatest))
        if bias:
            operands.append((f"{bias.bit_length()}'d{bias}", bias))
        net, greatest = added(f"sum_{number}", operands, lines)
        width = max(1, greatest.bit_length())
        lines.append(f"wire signed [{width}:0] class_{number} = {{1'b0, {net}}};")
        values.append((f"class_{number}", width + 1))
    body, winner = arg_max(values, class_width)
    lines += [*body, f"assign o = {winner};", "endmodule", ""]
    return Design("\n".join(lines), top, level_width)


def _keys(tree: Node | Leaf) -> set[tuple[int, int]]:
    if isinstance(tree, Leaf):
        return set()
    return {(tree.feature, tree.threshold)} | _keys(tree.no) | _keys(tree.yes)


def _greatest(tree: Node | Leaf) -> int:
    if isinstance(tree, Leaf):
        return tree.value
    return max(_greatest(tree.no), _greatest(tree.yes))


def _choice(tree: Node | Leaf, width: int) -> str:
    if isinstance(tree, Leaf):
        return f"{width}'d{tree.value}"
    no, yes = _choice(tree.no, width), _choice(tree.yes, width)
    return f"(key_{tree.feature}_{tree.threshold} ? {yes} : {no})"
