from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.compare.trees import (
    Forest,
    Leaf,
    Node,
    TreeSettings,
    choose_forest,
    fit_forest,
    forest_design,
)
from tests.benchmarks.helpers import assert_answers


def samples(n_classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(n_classes)
    levels = rng.integers(0, 4, (400, 6))
    classes = (levels[:, 0] + levels[:, 1] * (levels[:, 2] > 1)) % n_classes
    classes[:n_classes] = np.arange(n_classes)
    return levels, classes


def test_a_question_goes_by_its_threshold() -> None:
    tree = Node(1, 2, Leaf(0), Node(0, 1, Leaf(1), Leaf(3)))
    forest = Forest(((tree,), ()), (0, 2), 2, 4)
    levels = np.array([[0, 1], [0, 2], [1, 3]])
    assert forest.sums(levels).tolist() == [[0, 2], [1, 2], [3, 2]]
    assert forest.classes(levels).tolist() == [1, 1, 0]


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_netlist_answers_as_the_forest(tmp_path: Path, n_classes: int) -> None:
    levels, classes = samples(n_classes)
    forest = fit_forest(levels, classes, TreeSettings(3, 3), n_levels=4)
    every = np.random.default_rng(1).integers(0, 4, (2000, 6))
    expected = forest.classes(every)
    assert len(np.unique(expected)) == n_classes
    assert_answers(forest_design(forest), every, expected, tmp_path)


@pytest.mark.parametrize("leaf_bits", [1, 2, 4])
def test_leaves_have_as_many_bits_as_asked(leaf_bits: int) -> None:
    levels, classes = samples(3)
    forest = fit_forest(levels, classes, TreeSettings(2, 3, leaf_bits), n_levels=4)

    def leaves(tree: Node | Leaf) -> list[int]:
        if isinstance(tree, Leaf):
            return [tree.value]
        return leaves(tree.no) + leaves(tree.yes)

    values = [value for trees in forest.trees for tree in trees for value in leaves(tree)]
    assert min(values) == 0
    assert max(values) == (1 << leaf_bits) - 1
    assert min(forest.bias) == 0


def test_fine_leaves_answer_as_scikit_learn() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    levels, classes = samples(4)
    settings = TreeSettings(4, 3, leaf_bits=16, learning_rate=0.5)
    model = HistGradientBoostingClassifier(
        max_iter=4,
        max_depth=3,
        max_leaf_nodes=None,
        learning_rate=0.5,
        min_samples_leaf=settings.samples_in_leaf,
        l2_regularization=settings.l2,
        early_stopping=False,
    ).fit(levels, classes)
    forest = fit_forest(levels, classes, settings, n_levels=4)
    every = np.random.default_rng(1).integers(0, 4, (2000, 6))
    assert (forest.classes(every) == model.predict(every)).mean() > 0.999


def test_settings_are_chosen_without_the_test_part() -> None:
    levels, classes = samples(3)
    settings, forest = choose_forest(levels, classes, 2, 2, n_levels=4)
    assert (settings.rounds, settings.depth) == (2, 2)
    again = fit_forest(levels, classes, settings, n_levels=4)
    assert forest == again
