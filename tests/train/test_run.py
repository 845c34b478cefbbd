"""One training, step by step: what is decayed, pruned, clustered, validated and restored."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nomul.train.experiment import CodebookSettings, Experiment, NetworkSettings
from nomul.train.layers import Dense, Scale, Weighted, weighted_layers
from nomul.train.pruning import operand_bits
from nomul.train.run import Run
from tests.train.short import CONVOLUTIONS, assert_same_state, digits, experiment, pictures

BATCH_NORM = NetworkSettings(hidden=(6,), batch_norm=True)


def all_steps(run: Run) -> Run:
    torch.manual_seed(0)
    for _ in range(run.settings.steps):
        run.advance()
    return run


def test_weight_decay_is_on_weights_alone() -> None:
    plain, decayed = (
        Run(experiment(network=BATCH_NORM, weight_decay=decay), digits(), discretized=False)
        for decay in (0.0, 0.5)
    )
    before = copy.deepcopy(plain.module)
    for run in (plain, decayed):
        run.advance()
    # One step of AdamW takes off rate * decay of the weight besides (Loshchilov, Hutter 2019).
    for old, one, other in zip(
        *(weighted_layers(module) for module in (before, plain.module, decayed.module)), strict=True
    ):
        expected = one.weight - 0.01 * 0.5 * old.weight
        torch.testing.assert_close(other.weight, expected, rtol=1e-5, atol=1e-6)
        assert not torch.equal(other.weight, one.weight)
        if one.bias is not None:
            assert other.bias is not None
            assert torch.equal(one.bias, other.bias)
    for one, other in zip(plain.module.modules(), decayed.module.modules(), strict=True):
        if isinstance(one, nn.BatchNorm1d | Scale):
            assert_same_state(one, other)


@pytest.mark.parametrize("discretized", [True, False])
def test_batch_norm_scales_stay_positive(discretized: bool) -> None:
    form = experiment(network=CONVOLUTIONS, steps=25, learning_rate=1.0)
    run = all_steps(Run(form, pictures(), discretized))
    norms = [layer for layer in run.module.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 2
    least = min(float(norm.weight.detach().min()) for norm in norms)
    assert least >= 1e-3
    assert least < 0.01, "one met the limit, or the test shows nothing"


def test_operand_bits_are_within_their_limit_at_the_end() -> None:
    network = dataclasses.replace(CONVOLUTIONS, operand_bits=2000)
    run = Run(experiment(network=network), pictures(), discretized=True)
    x = run.inputs(torch.from_numpy(pictures().train_features[:]))
    spent = []
    torch.manual_seed(0)
    for _ in range(12):
        run.advance()
        spent.append(operand_bits(run.trunk, x))
    assert spent[0] > 2 * 2000 > spent[2] - 1, "the limit is reached in rounds"
    assert spent[3] <= 2000 * 1.1, "but for levels that come and go"
    assert sum(int(layer.mask.sum()) for layer in run.layers) > 30


def clustered_copy(run: Run) -> nn.Sequential:
    """Return what the run would be if it ended here."""
    other = Run(run.experiment, DATA, discretized=run.discretized)
    other.restore(copy.deepcopy(run.state()))
    other.best = {}
    return other.finished()


DATA = pictures(n_samples=60)


def loss_on(module: nn.Sequential, numbers: Tensor, smoothing: float) -> float:
    """Return the cross entropy of float64 log-softmaxes, slowly."""
    assert DATA.train_classes is not None
    with torch.no_grad():
        sums = module(torch.from_numpy(DATA.train_features[numbers.numpy()])).double().numpy()
    likelihood = sums - np.log(np.exp(sums).sum(axis=1, keepdims=True))
    classes = DATA.train_classes[numbers.numpy()]
    target = np.full(sums.shape, smoothing / sums.shape[1])
    target[np.arange(len(classes)), classes] += 1 - smoothing
    return float(-(target * likelihood).sum())


STOPPING: dict[str, tuple[Experiment, bool, int]] = {
    "float twin": (experiment(network=CONVOLUTIONS), False, 0),
    "fixed": (experiment(network=CONVOLUTIONS, straight_through_from=0.3), True, 12),
    "never fixed": (experiment(network=CONVOLUTIONS, straight_through_from=1.0), True, 0),
    "pruned": (
        experiment(
            network=dataclasses.replace(CONVOLUTIONS, fan_in=(9, 9, 20)),
            straight_through_from=1.0,
            prune_until=0.5,
        ),
        True,
        20,
    ),
    "shrinking": (
        experiment(
            network=CONVOLUTIONS,
            codebook=CodebookSettings(size=4, start_size=50),
            straight_through_from=1.0,
        ),
        True,
        0,
    ),
}


@pytest.mark.parametrize("name", STOPPING)
def test_training_stops_where_it_gets_no_better_and_the_best_state_counts(name: str) -> None:
    form, discretized, ready = STOPPING[name]
    training = dataclasses.replace(
        form.training,
        steps=40,
        learning_rate=0.1,
        validation=0.4,
        validate_every=2,
        patience=3,
        cluster_every=0,
    )
    form = dataclasses.replace(form, training=training)
    run = Run(form, DATA, discretized)
    numbers = run._validation
    assert len(numbers) == 24
    torch.manual_seed(0)
    losses: list[float] = []
    states: list[nn.Sequential] = []
    while run.step < 40 and not run.has_stopped:
        run.advance()
        if run.step % 2 == 0 and run.step > ready:
            states.append(clustered_copy(run))
            losses.append(loss_on(states[-1], numbers, training.label_smoothing))
    assert run.step < 40, "it stopped"
    best = int(np.argmin(losses))
    assert best == len(losses) - 1 - 3, "after three times without a better one"
    assert run.best["loss"] == pytest.approx(losses[best], rel=1e-4)
    finished = run.finished()
    for layer, expected in zip(
        weighted_layers(finished), weighted_layers(states[best]), strict=True
    ):
        assert torch.equal(layer.weight, expected.weight)
        if discretized:
            assert layer.codebook is not None
            assert len(layer.codebook.integers) <= form.codebook.size
    if form.network.fan_in:
        for layer, fan_in in zip(weighted_layers(finished), form.network.fan_in, strict=True):
            assert layer.by_neuron(layer.mask).sum(dim=1).max() <= fan_in
    if form.network.batch_norm:
        for norm, expected_norm in zip(finished, states[best], strict=True):
            if isinstance(norm, nn.BatchNorm2d):
                assert_same_state(norm, expected_norm)


def test_validating_does_not_change_the_training() -> None:
    form = experiment(network=CONVOLUTIONS, straight_through_from=1.0, validation=0.3)
    runs = []
    for patience in (0, 100):
        training = dataclasses.replace(form.training, patience=patience, validate_every=1)
        runs.append(all_steps(Run(dataclasses.replace(form, training=training), DATA, True)))
    assert runs[0].best == {}
    assert runs[1].best
    assert_same_state(runs[0].module, runs[1].module)


def test_validation_samples_are_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataclasses.replace(DATA, train_classes=np.arange(60) % 3)
    run = Run(experiment(network=CONVOLUTIONS, validation=0.5, patience=9), data, True)
    seen: set[int] = set()
    draw = torch.randint

    def record(n: int, *rest: Any, **named: Any) -> Tensor:
        drawn: Tensor = draw(n, *rest, **named)
        seen.update(drawn.tolist())
        assert n == 30, "of the training part's 30 samples"
        return drawn

    monkeypatch.setattr(torch, "randint", record)
    all_steps(run)
    assert len(seen) > 20
    chosen, apart = run.batches._chosen.tolist(), run._validation.tolist()
    assert sorted(chosen + apart) == list(range(60))


def test_a_restored_run_is_the_run() -> None:
    form = experiment(network=CONVOLUTIONS, noise=2.0, shift=1)
    one = Run(form, DATA, discretized=True)
    one.seed()
    for _ in range(9):
        one.advance()
    state = copy.deepcopy(one.state())
    for _ in range(3):
        one.advance()
    other = Run(form, DATA, discretized=True)
    other.restore(state)
    other.seed()
    assert other.step == 9
    for _ in range(3):
        other.advance()
    assert_same_state(one.module, other.module)
    assert torch.equal(one.batches.draw().x, other.batches.draw().x)


def weights_before_each_step(run: Run) -> list[int]:
    """Return how many distinct weights each step's forward pass has in all layers."""
    counts = []
    seen: set[float] = set()

    def look(layer: nn.Module, _inputs: Any, _output: Any) -> None:
        if isinstance(layer, Weighted):
            weight = (
                layer.weight if layer.codebook is None else layer._straight_through(layer.weight)
            )
            seen.update(weight.flatten().tolist())

    handles = [layer.register_forward_hook(look) for layer in run.layers]
    for _ in range(run.settings.steps):
        seen.clear()
        run.advance()
        counts.append(len(seen))
    for handle in handles:
        handle.remove()
    return counts


def test_the_codebook_shrinks_from_clustering_to_clustering() -> None:
    form = experiment(
        network=NetworkSettings(hidden=(8,)),
        codebook=CodebookSettings(size=5, start_size=80),
        steps=12,
        cluster_every=2,
        cluster_from=0.0,
        straight_through_from=8 / 12,
    )
    counts = weights_before_each_step(Run(form, digits(), discretized=True))
    sizes = [round(80 * (5 / 80) ** (step / 8)) for step in (0, 2, 4, 6)]
    assert counts[0:8:2] == sizes == [80, 40, 20, 10]
    assert counts[8:] == [5] * 4
    assert min(counts[1:8:2]) > 400, "free between"


def test_the_twin_is_never_pruned_or_clustered() -> None:
    form = experiment(network=NetworkSettings(hidden=(8,), fan_in=(3, 3)))
    run = Run(form, digits(), discretized=False)
    assert min(weights_before_each_step(run)) > 400
    for layer in run.layers:
        assert isinstance(layer, Dense)
        assert layer.mask.min() == 1
        assert layer.codebook is None
