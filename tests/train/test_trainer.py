"""The training loop: reproducible, learning, and ending on the codebook."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nomul.network import UserError
from nomul.sim.golden import evaluate
from nomul.train.batches import Batch, Batches
from nomul.train.codebook import Codebook
from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from nomul.train.exact_mode import exact
from nomul.train.experiment import (
    CodebookSettings,
    Experiment,
    InputSettings,
    NetworkSettings,
    TrainingSettings,
)
from nomul.train.layer_settings import (
    ConvSettings,
    ConvTransposeSettings,
    ResidualSettings,
)
from nomul.train.layers import Dense, weighted_layers
from nomul.train.lowering import lower
from nomul.train.metrics import accuracy, squared_error
from nomul.train.modules import build_module
from nomul.train.run import Run
from nomul.train.trainer import train
from tests.train.short import CONVOLUTIONS, assert_same_state, experiment, pictures
from tests.train.short import digits as few_digits

GRID = CodebookSettings(kind="grid", size=5, scope="layer")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return few_digits()


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
    layers = weighted_layers(module)
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
    features = torch.from_numpy(digits.test_features[:])
    answers = evaluate(lower(module, (64,)), digits.test_features[:])
    assert answers.tolist() == exact(module)(features).argmax(dim=1).tolist()
    # The bias alone is rounded: the module itself gives nearly always the same.
    agreement = (module(features).argmax(dim=1).numpy() == answers).mean()
    assert agreement >= (0.9 if form.codebook.kind == "kmeans" else 0.8)


@pytest.mark.parametrize("discretized", [True, False])
@pytest.mark.parametrize("name", ["published", "noise", "grid", "pruned"])
def test_the_same_seed_gives_the_same_bits(name: str, digits: Dataset, discretized: bool) -> None:
    first = train(FORMS[name], digits, discretized=discretized)
    torch.rand(5)  # whatever the caller does in between
    assert_same_state(first, train(FORMS[name], digits, discretized=discretized))


def test_another_seed_gives_other_weights(digits: Dataset) -> None:
    first, second = (
        weighted_layers(train(experiment(seed=seed), digits, discretized=True)) for seed in (0, 1)
    )
    assert not torch.equal(first[0].weight, second[0].weight)


def test_noise_changes_the_weights(digits: Dataset) -> None:
    clean, noisy = (
        weighted_layers(train(FORMS[name], digits, discretized=False))
        for name in ("published", "noise")
    )
    assert not torch.equal(clean[0].weight, noisy[0].weight)


def test_layers_have_codebooks_of_their_own_if_asked(digits: Dataset) -> None:
    first, last = weighted_layers(train(FORMS["layers"], digits, discretized=True))
    assert first.codebook is not None
    assert last.codebook is not None
    assert first.codebook.step != last.codebook.step


def test_a_grid_is_integers_around_zero(digits: Dataset) -> None:
    for layer in weighted_layers(train(FORMS["grid"], digits, discretized=True)):
        assert layer.codebook is not None
        assert layer.codebook.integers.tolist() == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("prune_until", [0.0, 0.25, 0.9, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 12])
def test_every_neuron_reaches_its_fan_in(digits: Dataset, steps: int, prune_until: float) -> None:
    form = experiment(
        network=NetworkSettings(hidden=(6,), fan_in=(5, 3)), steps=steps, prune_until=prune_until
    )
    for layer, fan_in in zip(
        weighted_layers(train(form, digits, discretized=True)), (5, 3), strict=True
    ):
        assert layer.mask.sum(dim=1).max() <= fan_in
        assert layer.mask.sum(dim=1).float().mean() > fan_in - 1


def test_the_float_twin_is_free(digits: Dataset) -> None:
    twin = train(FORMS["pruned"], digits, discretized=False)
    for layer in weighted_layers(twin):
        assert layer.codebook is None
        assert (layer.mask == 1).all()
        assert len(set(layer.weight.flatten().tolist())) == layer.weight.numel()


def test_nothing_is_learned_without_a_learning_rate(digits: Dataset) -> None:
    form = experiment(learning_rate=0.0)
    twin = train(form, digits, discretized=False)
    start = build_module(form, digits, discretized=True)
    for layer, before in zip(weighted_layers(twin), weighted_layers(start), strict=True):
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
            weight = (
                layer.weight if layer.codebook is None else layer._straight_through(layer.weight)
            )
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
        answers = evaluate(lower(module, (64,)), digits.test_features[:])
        assert (answers == digits.test_classes).mean() >= least - 0.02


IMAGES = {
    "convolutions": experiment(network=CONVOLUTIONS),
    "depthwise": experiment(
        network=NetworkSettings(layers=(ConvSettings(2, 3, groups=2), ConvSettings(5, 1)), levels=3)
    ),
    "residual": experiment(
        network=NetworkSettings(
            layers=(
                ResidualSettings((ConvSettings(2, 3, padding=1),)),
                ResidualSettings((ConvSettings(4, 3, stride=2, padding=1), ConvSettings(4, 1))),
            ),
            levels=4,
            operand_bits=2000,
        )
    ),
    "thermometer": experiment(
        network=CONVOLUTIONS, input=InputSettings(levels=3, encoding="thermometer")
    ),
    "one-pixel-output": experiment(
        network=NetworkSettings(layers=(ConvSettings(4, 3),), output=ConvSettings(3, 4))
    ),
    "bfloat16": experiment(network=CONVOLUTIONS, precision="bfloat16"),
    "biases": experiment(
        network=NetworkSettings(layers=(ConvSettings(4, 3),), levels=4),
        codebook=CodebookSettings(size=9, biases="clustered"),
    ),
    "shrinking": experiment(
        network=CONVOLUTIONS,
        codebook=CodebookSettings(size=5, start_size=40),
        cluster_every=1,
        cluster_every_start=3,
    ),
    "stopping": experiment(
        network=CONVOLUTIONS, validation=0.3, validate_every=1, patience=1, warm_up=2
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_pictures_are_learned_from_by_any_network(name: str) -> None:
    form, data = IMAGES[name], pictures()
    module = train(form, data, discretized=True)
    assert_on_codebooks(module, form)
    x = torch.from_numpy(data.test_features[:])
    given = exact(module)(x).flatten(1).argmax(dim=1)
    assert evaluate(lower(module, (2, 6, 6)), data.test_features[:]).tolist() == given.tolist()
    assert accuracy(train(form, data, discretized=False), data) >= 0


def test_biases_may_be_tied_to_the_codebook() -> None:
    form = IMAGES["biases"]
    for straight_through_from in (0.5, 1.0):
        training = dataclasses.replace(form.training, straight_through_from=straight_through_from)
        module = train(dataclasses.replace(form, training=training), pictures(), discretized=True)
        for layer in weighted_layers(module):
            assert layer.bias is not None
            assert layer.codebook is not None
            centres = layer.codebook.centres.astype(np.float32).tolist()
            assert set(layer.bias.tolist()) <= set(centres)


def assert_on_codebooks(module: nn.Module, form: Experiment) -> None:
    assert not module.training
    values: set[float] = set()
    for layer in weighted_layers(module):
        assert layer.codebook is not None
        centres = layer.codebook.centres.astype(np.float32).tolist()
        assert len(centres) <= form.codebook.size
        used = set(layer.weight[layer.mask > 0].tolist())
        assert used <= set(centres)
        assert (layer.weight[layer.mask == 0] == 0).all()
        values |= used
    if form.codebook.scope == "network":
        assert len(values) <= form.codebook.size


def test_a_network_learns_to_give_its_input_again() -> None:
    shape, data = (1, 4, 4), pictures((1, 4, 4), n_classes=0)
    form = Experiment(
        input=InputSettings(levels=8),
        network=NetworkSettings(
            task="reconstruct",
            layers=(ConvSettings(8, 2, stride=2),),
            output=ConvTransposeSettings(1, 2, stride=2),
            levels=16,
        ),
        codebook=CodebookSettings(size=33),
        training=TrainingSettings(steps=200, batch_size=32, cluster_every=50),
    )
    module = train(form, data, discretized=True)
    inputs: Any = module[0]
    first = squared_error(build_module(form, data, discretized=True), data, inputs)
    error = squared_error(module, data, inputs)
    assert error < first / 4
    network = lower(module, shape, "accumulators")
    given = network.output.scale * evaluate(network, data.test_features[:])
    wanted = inputs.scaled(torch.from_numpy(data.test_features[:])).flatten(1).double().numpy()
    assert np.square(given - wanted).mean() == pytest.approx(error, rel=0.05)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles with a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own parts
def test_a_compiled_network_trains_as_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    form = experiment(
        network=dataclasses.replace(CONVOLUTIONS, layers=(ConvSettings(4, 3),)), steps=4
    )
    compiled = dataclasses.replace(form, training=dataclasses.replace(form.training, compile=True))
    one = train(compiled, pictures(), discretized=True)
    other = train(form, pictures(), discretized=True)
    assert_on_codebooks(one, form)
    for name, value in other.state_dict().items():
        if value.is_floating_point() and not name.endswith("_extra_state"):
            torch.testing.assert_close(one.state_dict()[name], value, rtol=1e-2, atol=1e-2)


class Untouchable:
    """Samples of a shape that nobody may look at."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> Any:
        raise AssertionError("training looked at a test sample")


@pytest.mark.parametrize("discretized", [True, False])
def test_test_samples_are_not_looked_at(discretized: bool) -> None:
    data = dataclasses.replace(pictures(), test_features=Untouchable((30, 2, 6, 6)))
    train(IMAGES["stopping"], data, discretized=discretized)


def test_the_float_twin_has_the_same_start_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Batch] = []
    draw = Batches.draw

    def record(batches: Batches) -> Batch:
        drawn.append(draw(batches))
        return drawn[-1]

    monkeypatch.setattr(Batches, "draw", record)
    form = experiment(network=CONVOLUTIONS, noise=3.0, shift=1, flip=True, steps=5)
    for discretized in (True, False):
        train(form, pictures(), discretized=discretized)
    starts = [build_module(form, pictures(), discretized=flag) for flag in (True, False)]
    for first, second in zip(*map(weighted_layers, starts), strict=True):
        assert torch.equal(first.weight, second.weight)
    for first, second in zip(drawn[:5], drawn[5:], strict=True):
        assert torch.equal(first.target, second.target)
        # Discretized, a feature is at its nearest of 16 levels; 0 moved in beyond the edge.
        inside = second.x.clamp(0.0, 1.0)
        assert (first.x - inside).abs().max() <= 0.5 / 15 + 1e-6


@pytest.mark.parametrize("discretized", [True, False])
def test_the_callers_random_numbers_go_on(discretized: bool) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    train(IMAGES["convolutions"], pictures(), discretized=discretized)
    assert torch.equal(torch.rand(3), expected)


def test_fan_in_must_name_each_layer() -> None:
    network = dataclasses.replace(CONVOLUTIONS, fan_in=(3, 4))
    with pytest.raises(UserError) as error:
        train(experiment(network=network), pictures(), discretized=True)
    assert str(error.value) == (
        "network.fan_in has 2 entries: it must have one for each of the 3 weighted layers, or none."
    )


def test_a_codebook_larger_than_the_network_is_refused_before_the_first_step() -> None:
    steps: list[int] = []
    with pytest.raises(UserError, match="A codebook of 5000 centres is larger than the network"):
        train(
            experiment(codebook=CodebookSettings(size=5000)),
            few_digits(),
            discretized=True,
            progress=lambda done, _: steps.append(done),
        )
    assert steps == []


def spoil(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let a weight be no number after ``after`` steps."""
    advance = Run.advance

    def spoiled(run: Run) -> None:
        advance(run)
        if run.step == after:
            nn.init.constant_(run.layers[0].weight, torch.nan)

    monkeypatch.setattr(Run, "advance", spoiled)


REMEDY = "lower training.learning_rate, or look for features far from all others."


@pytest.mark.parametrize(
    ("every", "found", "kept"),
    [
        (2, "The loss is nan at step 7", 6),
        (1, "A weight is no finite number after step 6", 6),
        (7, "A weight is no finite number after step 6", 0),
        (50, "The loss is nan at step 7", 0),
    ],
)
@pytest.mark.parametrize("discretized", [True, False])
def test_what_is_no_number_ends_the_training_and_the_last_good_state_stays(
    discretized: bool,
    every: int,
    found: str,
    kept: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, data = tmp_path / "state", few_digits()
    form = experiment(checkpoint_every=every, cluster_every=0, straight_through_from=1.0)
    with monkeypatch.context() as patch:
        spoil(patch, after=7)
        with pytest.raises(UserError) as error:
            train(form, data, discretized=discretized, checkpoint=path)
    place = f" The last good state is in {path}." if kept else ""
    assert str(error.value) == f"{found}: {REMEDY}{place}"
    steps: list[int] = []
    train(
        form,
        data,
        discretized=discretized,
        checkpoint=path,
        progress=lambda done, _: steps.append(done),
    )
    assert steps[0] == kept + 1


def test_weights_that_are_no_number_at_the_end_are_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(monkeypatch, after=12)
    with pytest.raises(UserError) as error:
        train(experiment(), few_digits(), discretized=False)
    assert str(error.value) == f"A weight is no finite number after step 11: {REMEDY}"
