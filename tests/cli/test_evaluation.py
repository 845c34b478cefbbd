from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.cli.evaluation import evaluate_network
from nomul.network import Dense, Input, Network, Output, UserError
from nomul.network.model import OutputKind
from nomul.sim.golden import evaluate
from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from tests.cli.helpers import digits_network, run_without
from tests.networks import random_network


def samples(n_samples: int, network: Network) -> Dataset:
    """Return samples whose classes are the network's own answers, but for the first."""
    numbers = np.arange(n_samples * network.n_inputs, dtype=np.float64)
    features = (numbers % 3).reshape(n_samples, -1)
    classes = evaluate(network, features)
    classes[0] = (classes[0] + 1) % network.n_outputs
    return Dataset("own", features, classes, features, classes)


def test_accuracy_is_the_share_of_right_answers() -> None:
    network = random_network((3, 4), (3,))
    result = evaluate_network(network, samples(8, network))
    assert result == {"accuracy": 7 / 8, "samples": 8, "correct": 7}


class Decoded:
    """Samples that are not an array, and remember how many of them were asked for at once."""

    def __init__(self, features: NDArray[Any]) -> None:
        self.features, self.dtype, self.shape = features, features.dtype, features.shape
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: slice | NDArray[np.integer[Any]], /) -> NDArray[Any]:
        self.asked.append(len(self.features[index]))
        return self.features[index]


def test_pictures_in_files_are_decoded_a_few_at_a_time() -> None:
    network = random_network((3, 4), (3,))
    known = samples(2500, network)
    decoded = Decoded(np.asarray(known.test_features))
    dataset = Dataset("own", known.train_features, known.train_classes, decoded, known.test_classes)
    assert evaluate_network(network, dataset) == evaluate_network(network, known)
    assert decoded.asked == [1000, 1000, 500]


def reconstruction(shape: tuple[int, ...], thresholds: NDArray[np.float64]) -> Network:
    """Return a network whose accumulators are sums of three times the levels."""
    n = int(np.prod(shape))
    layer = Dense(
        np.tri(n, dtype=np.uint8),
        np.array([[0, 0], [0, 3]], np.int32),
        np.arange(n, dtype=np.int32),
    )
    return Network(
        Input(shape, thresholds), (layer,), Output("accumulators", scale=0.25, offset=-0.5)
    )


SHARINGS = {
    "shared": ((2, 1, 2), np.array([4.0])),
    "per feature": ((4,), np.array([[4.0], [3.0], [5.0], [40.0]])),
    "per channel": ((2, 1, 2), np.array([[[[3.0]]], [[[30.0]]]])),
}


@pytest.mark.parametrize("name", SHARINGS)
def test_the_squared_error_is_that_of_features_scaled_to_their_range(name: str) -> None:
    shape, thresholds = SHARINGS[name]
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 9, (2, 30, 4)) * np.array([1, 1, 1, 10])
    train[:, 2] = 7  # a constant has a range of 1
    columns = {"shared": [[0, 1, 2, 3]], "per channel": [[0, 1], [2, 3]]}
    expected, levels = [], np.empty((30, 4), int)
    for own in columns.get(name, [[0], [1], [2], [3]]):
        low, high = train[:, own].min(), train[:, own].max()
        for k in own:
            scaled = (test[:, k] - low) / (high - low if high > low else 1)
            threshold = np.broadcast_to(thresholds, (*shape, 1)).reshape(-1)[k]
            levels[:, k] = test[:, k] >= threshold
            given = 0.25 * (k + 3 * levels[:, : k + 1].sum(axis=1)) - 0.5
            expected.append((given - scaled) ** 2)
    parts = train.reshape(30, *shape), test.reshape(30, *shape)
    dataset = Dataset("own", parts[0], None, parts[1], None)
    result = evaluate_network(reconstruction(shape, thresholds), dataset)
    assert result == {"squared_error": pytest.approx(np.mean(expected)), "samples": 30}


@pytest.mark.parametrize(("kind", "n_outputs"), [("accumulators", 4), ("levels", 64)])
def test_what_is_neither_a_class_nor_the_features_is_refused(
    kind: OutputKind, n_outputs: int
) -> None:
    levels = (3, 2) if kind == "levels" else (3,)
    network = random_network((64, n_outputs), levels, output=kind)
    with pytest.raises(UserError) as caught:
        evaluate_network(network, load_dataset("digits"))
    assert str(caught.value) == (
        f"The network gives {n_outputs} {kind} for 64 features: evaluation needs a class, or one "
        "accumulator for each feature."
    )


def test_features_of_another_shape_are_refused() -> None:
    network = reconstruction((4,), SHARINGS["per feature"][1])
    with pytest.raises(UserError) as caught:
        evaluate_network(network, load_dataset("digits"))
    assert str(caught.value) == (
        "The network takes features of shape (4,), and 'digits' has (64,): name its data with "
        "--data."
    )


def test_classes_are_needed_where_the_network_gives_one() -> None:
    network = random_network((3, 4), (3,))
    features = np.zeros((5, 3))
    with pytest.raises(UserError) as caught:
        evaluate_network(network, Dataset("own", features, None, features, None))
    assert str(caught.value) == (
        "The data set 'own' has no classes: train a network that reconstructs its input on it, or "
        "choose a data set with classes."
    )


def test_evaluation_needs_neither_pytorch_nor_the_coder(tmp_path: Path) -> None:
    hidden = ("torch", "kmeans1d", "constriction", "PIL", "matplotlib", "amaranth")
    answer = run_without(hidden, "evaluate", digits_network(tmp_path), "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.result["samples"] == 360
