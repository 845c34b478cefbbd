"""Accuracy and squared error, against NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nomul.network import UserError
from nomul.train import batches
from nomul.train.exact_layers import ExactInput, ExactNetwork
from nomul.train.layers import InputLevels
from nomul.train.metrics import accuracy, squared_error
from tests.train.short import pictures


class Answer(nn.Module):
    """Gives a fixed row for every sample, in a shape of ``(columns, *after)``."""

    def __init__(self, row: list[float], *after: int) -> None:
        super().__init__()
        self.row = torch.tensor(row).view(-1, *after)

    def forward(self, x: Tensor) -> Tensor:
        return self.row.expand(len(x), *self.row.shape)


def test_accuracy_is_the_share_of_right_answers() -> None:
    few = pictures((6,))
    few = dataclasses.replace(
        few, test_features=few.test_features[:4], test_classes=np.array([2, 2, 1, 2])
    )
    assert accuracy(Answer([0.0, 1.0, 3.0]), few) == 0.75
    assert accuracy(Answer([0.0, 4.0, 3.0]), few) == 0.25
    assert accuracy(Answer([5.0, 4.0, 3.0]), few) == 0.0


def test_sums_of_one_pixel_are_answers_too() -> None:
    few = pictures((6,))
    assert few.test_classes is not None
    expected = float((few.test_classes == 2).mean())
    assert accuracy(Answer([0.0, 1.0, 3.0], 1, 1), few) == expected


def test_of_equal_sums_the_first_is_the_answer() -> None:
    few = pictures((6,))
    assert few.test_classes is not None
    expected = float((few.test_classes == 1).mean())
    assert accuracy(Answer([0.0, 3.0, 3.0]), few) == expected


def test_accuracy_does_not_depend_on_how_many_samples_go_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = pictures((6,))
    module = nn.Sequential(InputLevels.uniform(0.0, 255.0, None), nn.Linear(6, 3))
    whole = accuracy(module, few)
    monkeypatch.setattr(batches, "CHUNK", 7)
    assert accuracy(module, few) == whole
    with torch.no_grad():
        sums = module(torch.from_numpy(few.test_features[:])).numpy()
    assert whole == (sums.argmax(axis=1) == few.test_classes).mean()


def test_accuracy_needs_classes() -> None:
    with pytest.raises(UserError) as error:
        accuracy(Answer([0.0]), pictures((6,), n_classes=0))
    assert str(error.value) == (
        "The data set 'random' has no classes: train a network that reconstructs its input on it, "
        "or choose a data set with classes."
    )


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)])
def test_squared_error_is_of_features_scaled_to_the_range_of_the_training_part(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 7)
    few = pictures(shape, n_classes=0)
    inputs = InputLevels.uniform(3.0, 200.0, 4)
    row = np.random.default_rng(1).random(int(np.prod(shape))).astype(np.float32)
    found = squared_error(Answer(row.tolist()), few, inputs)
    wanted = (few.test_features[:].reshape(30, -1).astype(np.float64) - 3) / 197
    assert found == pytest.approx(np.square(row - wanted).mean(), rel=1e-5)


def test_accumulators_are_read_in_their_unit() -> None:
    class Twelve(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x, 12)

    few = pictures((6,), n_classes=0)
    inputs = InputLevels.uniform(0.0, 255.0, 4)
    module = ExactNetwork([ExactInput(inputs.thresholds), Twelve()], 0.03125)
    wanted = few.test_features[:].astype(np.float64) / 255
    expected = np.square(0.375 - wanted).mean()
    assert squared_error(module, few, inputs) == pytest.approx(expected, rel=1e-5)
