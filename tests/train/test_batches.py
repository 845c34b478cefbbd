"""Batches: the samples that were drawn, moved alike, as the network takes them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nomul.network import UserError
from nomul.train import batches as module
from nomul.train.batches import Batches, chunks, split_validation, tensor_of
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment, NetworkSettings, TrainingSettings
from nomul.train.layers import InputLevels
from tests.train.short import pictures

PICTURE, SIGNAL, ROW = (2, 4, 5), (3, 7), (6,)
RECONSTRUCT = NetworkSettings(task="reconstruct")


def form(network: NetworkSettings | None = None, **training: Any) -> Experiment:
    settings = TrainingSettings(**{"batch_size": 9} | training)
    return Experiment(network=network or NetworkSettings(), training=settings)


def numbered(shape: tuple[int, ...], n_samples: int = 20) -> Dataset:
    """Return samples that can be told from each other, of classes that are their numbers."""
    dataset = pictures(shape, n_samples)
    return dataclasses.replace(dataset, train_classes=np.arange(n_samples))


def batches_of(experiment: Experiment, dataset: Dataset, **inputs: Any) -> Batches:
    thresholds = np.array([10.0, 60.0, 61.0, 200.0])
    levels = InputLevels(thresholds, 0.0, 255.0, **inputs)
    return Batches(experiment, dataset, levels, torch.arange(len(dataset.train_features)))


def levels_of(features: NDArray[Any]) -> NDArray[np.float32]:
    """Return the level values for the thresholds of :func:`batches_of`, slowly."""
    places = [10.0, 60.0, 61.0, 200.0]
    level = [sum(x >= place for place in places) for x in features.ravel().tolist()]
    return np.array([number / 4 for number in level], np.float32).reshape(features.shape)


@pytest.mark.parametrize("shape", [PICTURE, SIGNAL, ROW])
@pytest.mark.parametrize("memory", [0, 2**30], ids=["as-drawn", "ready"])
def test_inputs_are_the_levels_of_the_drawn_samples(
    shape: tuple[int, ...], memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_MAX", memory)
    dataset = numbered(shape)
    batches = batches_of(form(), dataset)
    for _ in range(3):
        batch = batches.draw()
        assert batch.target.dtype == torch.int64
        expected = levels_of(dataset.train_features[batch.target.numpy()])
        assert batch.x.dtype == torch.float32
        assert np.array_equal(batch.x.numpy(), expected)


def test_a_thermometer_has_a_channel_for_each_threshold() -> None:
    dataset = numbered(PICTURE)
    batch = batches_of(form(), dataset, encoding="thermometer").draw()
    features = dataset.train_features[batch.target.numpy()]
    expected = [
        features[:, channel] >= place for channel in range(2) for place in (10, 60, 61, 200)
    ]
    assert np.array_equal(batch.x.numpy(), np.stack(expected, axis=1))


@pytest.mark.parametrize("memory", [0, 2**30])
@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_the_seed_decides_on_the_batches(
    noise: float, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_MAX", memory)
    dataset = numbered(PICTURE)

    def drawn(seed: int) -> list[Tensor]:
        batches = batches_of(form(seed=seed, noise=noise, shift=1, flip=True), dataset)
        return [batches.draw().x for _ in range(3)]

    first, again, other = drawn(3), drawn(3), drawn(4)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_the_generator_is_all_that_the_next_batch_depends_on() -> None:
    dataset, experiment = numbered(PICTURE), form(noise=2.0, shift=2, flip=True)
    batches = batches_of(experiment, dataset)
    batches.draw()
    state = batches.generator.get_state()
    expected = batches.draw()
    other = batches_of(experiment, dataset)
    other.generator.set_state(state)
    found = other.draw()
    assert torch.equal(found.x, expected.x)
    assert torch.equal(found.target, expected.target)


def test_only_chosen_samples_are_drawn() -> None:
    dataset = numbered(ROW)
    levels = InputLevels.uniform(0.0, 255.0, 16)
    chosen = torch.tensor([2, 3, 5, 7])
    batches = Batches(form(batch_size=200), dataset, levels, chosen)
    assert set(batches.draw().target.tolist()) == {2, 3, 5, 7}


def test_noise_is_added_to_the_features_before_they_become_levels() -> None:
    dataset, experiment = numbered(SIGNAL), form(noise=30.0)
    batch = batches_of(experiment, dataset).draw()
    generator = torch.Generator().manual_seed(experiment.training.seed)
    numbers = torch.randint(20, (9,), generator=generator)
    noise = torch.randn((9, *SIGNAL), generator=generator, dtype=torch.float64)
    assert batch.target.tolist() == numbers.tolist()
    noisy = dataset.train_features[numbers.numpy()] + 30.0 * noise.numpy()
    assert np.array_equal(batch.x.numpy(), levels_of(noisy))
    assert not np.array_equal(batch.x.numpy(), levels_of(dataset.train_features[numbers.numpy()]))


def windows(x: NDArray[Any], shift: int) -> dict[tuple[int, ...], NDArray[Any]]:
    """Return one sample at every place it may be moved to, slowly."""
    found: dict[tuple[int, ...], NDArray[Any]] = {}
    moves = range(-shift, shift + 1)
    for by in [(dy, dx) for dy in moves for dx in moves] if x.ndim == 3 else [(d,) for d in moves]:
        moved = np.zeros_like(x)
        for place in np.ndindex(*x.shape[1:]):
            source = tuple(p + d for p, d in zip(place, by, strict=True))
            if all(0 <= p < n for p, n in zip(source, x.shape[1:], strict=True)):
                moved[(slice(None), *place)] = x[(slice(None), *source)]
        found[by] = moved
    return found


@pytest.mark.parametrize("shift", [1, 3, 6])
@pytest.mark.parametrize("shape", [PICTURE, SIGNAL])
def test_every_sample_is_moved_by_its_own_way(shape: tuple[int, ...], shift: int) -> None:
    dataset = numbered(shape)
    batch = batches_of(form(shift=shift, batch_size=100 if shift == 1 else 20), dataset).draw()
    seen = set()
    for x, number in zip(batch.x.numpy(), batch.target.tolist(), strict=True):
        places = windows(levels_of(dataset.train_features[number]), shift)
        fitting = [by for by, moved in places.items() if np.array_equal(moved, x)]
        assert fitting
        seen.update(fitting)
    if shift == 1:
        assert len(seen) == 3 ** (len(shape) - 1), "all ways are taken"


@pytest.mark.parametrize("shape", [PICTURE, SIGNAL])
def test_about_half_of_the_samples_are_mirrored(shape: tuple[int, ...]) -> None:
    dataset = numbered(shape)
    batch = batches_of(form(flip=True, batch_size=200), dataset).draw()
    n_mirrored = 0
    for x, number in zip(batch.x.numpy(), batch.target.tolist(), strict=True):
        plain = levels_of(dataset.train_features[number])
        mirrored = np.array_equal(x, plain[..., ::-1])
        assert mirrored or np.array_equal(x, plain)
        n_mirrored += mirrored
    assert 70 < n_mirrored < 130


@pytest.mark.parametrize("memory", [0, 2**30])
@pytest.mark.parametrize("noise", [0.0, 20.0])
def test_what_is_to_be_reconstructed_moves_with_the_input(
    noise: float, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_MAX", memory)
    dataset = numbered(PICTURE)
    experiment = form(RECONSTRUCT, shift=2, flip=True, noise=noise, batch_size=50)
    batch = batches_of(experiment, dataset).draw()
    assert batch.target.shape == (50, 40)
    assert batch.target.dtype == torch.float32
    target = (batch.target.double() * 255).round().reshape(50, *PICTURE).numpy()
    if noise:
        assert not np.array_equal(levels_of(target), batch.x.numpy())
        return
    # Where 0 moved in, the target is 0 and so is the level.
    assert np.array_equal(levels_of(target), batch.x.numpy())


def test_noise_leaves_what_is_to_be_reconstructed_alone() -> None:
    dataset = numbered(PICTURE)
    batch = batches_of(form(RECONSTRUCT, noise=20.0), dataset).draw()
    known = {tuple(sample.ravel().tolist()) for sample in dataset.train_features[:]}
    for target in (batch.target.double() * 255).round().int().tolist():
        assert tuple(target) in known


@pytest.mark.parametrize("key", [{"shift": 1}, {"flip": True}])
def test_rows_of_a_table_cannot_be_moved(key: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        batches_of(form(**key), numbered(ROW))
    assert str(error.value) == (
        "training.shift and training.flip move pictures and signals: leave them out for features "
        "of shape (6,)."
    )


def test_a_validation_part_is_given_unchanged_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    dataset = numbered(PICTURE)
    numbers = torch.tensor([1, 4, 5, 9, 11, 12, 19])
    for network in (NetworkSettings(), RECONSTRUCT):
        batches = batches_of(form(network, noise=9.0, shift=2, flip=True), dataset)
        found = list(batches.all_of(numbers))
        assert [len(batch.x) for batch in found] == [3, 3, 1]
        x = torch.cat([batch.x for batch in found]).numpy()
        features = dataset.train_features[numbers.numpy()]
        assert np.array_equal(x, levels_of(features))
        target = torch.cat([batch.target for batch in found])
        if network is RECONSTRUCT:
            scaled = (features.astype(np.float64) / 255).astype(np.float32).reshape(7, -1)
            assert np.array_equal(target.numpy(), scaled)
        else:
            assert target.tolist() == numbers.tolist()


@pytest.mark.parametrize(("n_samples", "share"), [(20, 0.25), (7, 0.9), (2, 0.9), (5, 0.01)])
def test_the_parts_are_disjoint_and_complete(n_samples: int, share: float) -> None:
    training, validation = split_validation(TrainingSettings(validation=share), n_samples)
    assert sorted(training.tolist() + validation.tolist()) == list(range(n_samples))
    assert training.tolist() == sorted(training.tolist())
    assert validation.tolist() == sorted(validation.tolist())
    assert len(validation) == min(max(1, round(share * n_samples)), n_samples - 1)


def test_without_validation_all_samples_are_trained_on() -> None:
    training, validation = split_validation(TrainingSettings(), 6)
    assert training.tolist() == [0, 1, 2, 3, 4, 5]
    assert validation.tolist() == []


def test_the_seed_decides_on_the_validation_part() -> None:
    parts = [
        split_validation(TrainingSettings(seed=seed, validation=0.5), 100)[1].tolist()
        for seed in (0, 0, 1)
    ]
    assert parts[0] == parts[1] != parts[2]


class Decoded:
    """Samples that are decoded when asked for, and remember how many were at once."""

    def __init__(self, features: NDArray[np.uint8]) -> None:
        self.features = features
        self.shape = features.shape
        self.dtype = features.dtype
        self.most = 0

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: slice | NDArray[np.integer[Any]], /) -> NDArray[Any]:
        found: NDArray[Any] = self.features[index]
        self.most = max(self.most, len(found))
        return found


def test_samples_that_are_decoded_when_asked_for_give_the_same_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = numbered(PICTURE, 60)
    expected = batches_of(form(shift=1), dataset).draw()
    monkeypatch.setattr(module, "MEMORY_MAX", 0)
    samples = Decoded(dataset.train_features[:])
    found = batches_of(form(shift=1), dataclasses.replace(dataset, train_features=samples)).draw()
    assert torch.equal(found.x, expected.x)
    assert torch.equal(found.target, expected.target)
    assert samples.most == 9, "no more than a batch"


def test_chunks_are_all_samples_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 8)
    samples = Decoded(np.arange(20, dtype=np.uint8).reshape(20, 1))
    parts = list(chunks(samples))
    assert [len(part) for part in parts] == [8, 8, 4]
    assert torch.cat(parts).flatten().tolist() == list(range(20))
    assert samples.most == 8


def test_an_array_that_is_read_only_or_reversed_becomes_a_tensor_too() -> None:
    array = np.arange(6, dtype=np.int16).reshape(3, 2)
    array.flags.writeable = False
    assert tensor_of(array).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert tensor_of(array[::-1]).tolist() == [[4, 5], [2, 3], [0, 1]]
