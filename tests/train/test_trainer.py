"""The training loop: reproducible, learning, and ending on the codebook."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nomul.sim.golden import evaluate
from nomul.train.codebook import Codebook
from nomul.train.data import Dataset, load_dataset
from nomul.train.exact_mode import exact
from nomul.train.experiment import (
    CodebookSettings,
    Experiment,
    InputSettings,
    NetworkSettings,
    TrainingSettings,
)
from nomul.train.layers import Dense
from nomul.train.lowering import lower
from nomul.train.modules import build_module, dense_layers
from nomul.train.trainer import accuracy, train
from tests.train.small import few_digits

SIX_NEURONS = NetworkSettings(hidden=(6,))
NINE_CENTRES = CodebookSettings(size=9)
GRID = CodebookSettings(kind="grid", size=5, scope="layer")


def experiment(
    *,
    network: NetworkSettings = SIX_NEURONS,
    codebook: CodebookSettings = NINE_CENTRES,
    **training: Any,
) -> Experiment:
    settings = {"steps": 12, "batch_size": 16, "cluster_every": 4} | training
    return Experiment(network=network, codebook=codebook, training=TrainingSettings(**settings))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return few_digits()


def parameters(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


FORMS = {
    "published": experiment(),
    "noise": experiment(noise=1.0),
    "one-step": experiment(steps=1),
    "no-hidden": experiment(network=NetworkSettings(hidden=())),
    "never-fixed": experiment(straight_through_from=1.0),
    "always-fixed": experiment(straight_through_from=0.0),
    "never-clustered": experiment(cluster_every=0, straight_through_from=1.0),
    "layers": experiment(codebook=CodebookSettings(size=9, scope="layer")),
    "grid": experiment(codebook=GRID, network=NetworkSettings(hidden=(6,), batch_norm=True)),
    "pruned": experiment(network=NetworkSettings(hidden=(6, 4), batch_norm=True, fan_in=(5, 3, 2))),
    "pruned-at-once": experiment(
        network=NetworkSettings(hidden=(6,), fan_in=(5, 3)), prune_until=0.0
    ),
    "pruned-late": experiment(
        network=NetworkSettings(hidden=(6,), fan_in=(5, 3)),
        prune_until=0.9,
        straight_through_from=0.1,
    ),
}


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form in FORMS.items()])
def test_training_ends_on_the_codebook(form: Experiment, digits: Dataset) -> None:
    module = train(form, digits, discretized=True)
    assert not module.training
    layers = dense_layers(module)
    for layer in layers:
        assert layer.codebook is not None
        centres = layer.codebook.centres.astype(np.float32)
        assert len(centres) <= form.codebook.size
        assert set(layer.weight.flatten().tolist()) <= set(centres.tolist())
        assert (layer.weight[layer.mask == 0] == 0).all()
    if form.codebook.scope == "network":
        assert len({id(layer.codebook) for layer in layers}) == 1
        values = [value for layer in layers for value in layer.weight.flatten().tolist()]
        assert len(set(values)) <= form.codebook.size


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form in FORMS.items()])
def test_what_was_trained_can_be_lowered(form: Experiment, digits: Dataset) -> None:
    module = train(form, digits, discretized=True)
    features = torch.from_numpy(digits.test_features)
    answers = evaluate(lower(module), digits.test_features)
    assert answers.tolist() == exact(module)(features).argmax(dim=1).tolist()
    # The bias alone is rounded: the module itself gives nearly always the same.
    agreement = (module(features).argmax(dim=1).numpy() == answers).mean()
    assert agreement >= (0.9 if form.codebook.kind == "kmeans" else 0.8)


@pytest.mark.parametrize("discretized", [True, False])
@pytest.mark.parametrize("name", ["published", "noise", "grid", "pruned"])
def test_the_same_seed_gives_the_same_bits(name: str, digits: Dataset, discretized: bool) -> None:
    first = parameters(train(FORMS[name], digits, discretized=discretized))
    torch.rand(5)  # whatever the caller does in between
    second = parameters(train(FORMS[name], digits, discretized=discretized))
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), key


def test_another_seed_gives_other_weights(digits: Dataset) -> None:
    first, second = (
        dense_layers(train(experiment(seed=seed), digits, discretized=True)) for seed in (0, 1)
    )
    assert not torch.equal(first[0].weight, second[0].weight)


def test_noise_changes_the_weights(digits: Dataset) -> None:
    clean, noisy = (
        dense_layers(train(FORMS[name], digits, discretized=False))
        for name in ("published", "noise")
    )
    assert not torch.equal(clean[0].weight, noisy[0].weight)


def test_layers_have_codebooks_of_their_own_if_asked(digits: Dataset) -> None:
    first, last = dense_layers(train(FORMS["layers"], digits, discretized=True))
    assert first.codebook is not None
    assert last.codebook is not None
    assert first.codebook.step != last.codebook.step


def test_a_grid_is_integers_around_zero(digits: Dataset) -> None:
    for layer in dense_layers(train(FORMS["grid"], digits, discretized=True)):
        assert layer.codebook is not None
        assert layer.codebook.integers.tolist() == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("prune_until", [0.0, 0.25, 0.9, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 12])
def test_every_neuron_reaches_its_fan_in(digits: Dataset, steps: int, prune_until: float) -> None:
    form = experiment(
        network=NetworkSettings(hidden=(6,), fan_in=(5, 3)), steps=steps, prune_until=prune_until
    )
    for layer, fan_in in zip(
        dense_layers(train(form, digits, discretized=True)), (5, 3), strict=True
    ):
        assert layer.mask.sum(dim=1).max() <= fan_in
        assert layer.mask.sum(dim=1).float().mean() > fan_in - 1


def test_the_float_twin_is_free(digits: Dataset) -> None:
    twin = train(FORMS["pruned"], digits, discretized=False)
    for layer in dense_layers(twin):
        assert layer.codebook is None
        assert (layer.mask == 1).all()
        assert len(set(layer.weight.flatten().tolist())) == layer.weight.numel()


def test_nothing_is_learned_without_a_learning_rate(digits: Dataset) -> None:
    form = experiment(learning_rate=0.0)
    twin = train(form, digits, discretized=False)
    start = build_module(form, digits, discretized=True)
    for layer, before in zip(dense_layers(twin), dense_layers(start), strict=True):
        assert torch.equal(layer.weight, before.weight)


@pytest.mark.parametrize("discretized", [True, False])
def test_progress_is_told_after_each_step(digits: Dataset, discretized: bool) -> None:
    told: list[tuple[int, int]] = []
    train(
        experiment(steps=5),
        digits,
        discretized=discretized,
        progress=lambda done, steps: told.append((done, steps)),
    )
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def weights_at_each_step(form: Experiment, digits: Dataset) -> list[int]:
    """Return how many distinct weights the first layer's forward pass used, step by step."""
    counts: list[int] = []

    def count(layer: nn.Module, _inputs: Any, _output: Any) -> None:
        if isinstance(layer, Dense) and layer.in_features == 64 and layer.training:
            weight = layer.weight if layer.codebook is None else layer._nearest_centres()
            counts.append(len(set(weight.flatten().tolist())))

    handle = nn.modules.module.register_module_forward_hook(count)
    try:
        train(form, digits, discretized=True)
    finally:
        handle.remove()
    return counts


def test_weights_are_clustered_at_intervals_and_free_between(digits: Dataset) -> None:
    form = experiment(steps=12, cluster_every=4, cluster_from=0.5, straight_through_from=1.0)
    clustered = [count <= 9 for count in weights_at_each_step(form, digits)]
    assert clustered == [step == 8 for step in range(12)]


def test_a_fixed_codebook_is_used_from_its_fraction_of_the_steps(digits: Dataset) -> None:
    form = experiment(steps=12, cluster_every=0, straight_through_from=0.5)
    clustered = [count <= 9 for count in weights_at_each_step(form, digits)]
    assert clustered == [step >= 6 for step in range(12)]


def test_a_fixed_codebook_is_kept_to_the_end(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed: list[Codebook] = []
    fix_codebook = Dense.fix_codebook

    def record(layer: Dense, codebook: Codebook) -> None:
        fixed.append(codebook)
        fix_codebook(layer, codebook)

    monkeypatch.setattr(Dense, "fix_codebook", record)
    train(experiment(straight_through_from=0.5), digits, discretized=True)
    assert len(fixed) == 2, "two layers, half-way"
    assert fixed[0] is fixed[1]


def test_batch_norms_keep_rising(digits: Dataset) -> None:
    form = experiment(
        network=NetworkSettings(hidden=(6,), batch_norm=True), steps=30, learning_rate=1.0
    )
    module = train(form, digits, discretized=True)
    (norm,) = [layer for layer in module if isinstance(layer, nn.BatchNorm1d)]
    assert norm.weight.min() >= 1e-3


@pytest.mark.parametrize(
    ("name", "least"), [("published", 0.85), ("grid", 0.8), ("float twin", 0.85)]
)
def test_a_small_network_learns_the_digits(name: str, least: float) -> None:
    digits = load_dataset("digits")
    form = Experiment(
        input=InputSettings(levels=8),
        network=NetworkSettings(hidden=(16,), batch_norm=name == "grid"),
        codebook=GRID if name == "grid" else CodebookSettings(size=33),
        training=TrainingSettings(steps=300, learning_rate=0.02, cluster_every=50),
    )
    module = train(form, digits, discretized=name != "float twin")
    assert accuracy(module, digits) >= least
    if name != "float twin":
        answers = evaluate(lower(module), digits.test_features)
        assert (answers == digits.test_classes).mean() >= least - 0.02


def test_accuracy_is_the_share_of_right_answers(digits: Dataset) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(10)[3].expand(len(x), 10)

    few = dataclasses.replace(
        digits,
        test_features=digits.test_features[:4],
        test_classes=np.array([3, 3, 1, 3]),
    )
    assert accuracy(Constant(), few) == 0.75
