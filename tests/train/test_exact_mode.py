"""Exact mode: integers in float64, whose sums no order of addition changes."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from nomul.network import UserError
from nomul.train.activations import TanhD
from nomul.train.codebook import Codebook
from nomul.train.exact_layers import ExactInput, ExactLevels, ExactSums
from nomul.train.exact_mode import exact
from nomul.train.layers import Conv1d, Conv2d, Dense, InputLevels, Residual, Scale
from tests.train.architectures import Case, cases, exact_of, samples, trained
from tests.train.oracle import meaning
from tests.train.small import Form, dense, features, forms, random_module


def on_codebook(weights: list[list[float]], bias: list[float], codebook: Codebook) -> Dense:
    layer = Dense(len(weights[0]), len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.copy_(torch.tensor(bias))
    layer.cluster(codebook)
    layer.fix_codebook(codebook)
    return layer


@settings(deadline=None, max_examples=60)
@given(form=forms)
def test_an_exact_module_holds_and_gives_integers(form: Form) -> None:
    module = exact(random_module(form))
    assert not module.training
    x = features(form)
    for layer in module:
        x = layer(x)
        assert x.dtype == torch.float64
        assert torch.equal(x, x.round())
        if not isinstance(layer, ExactInput):
            for tensor in layer.buffers():
                assert torch.equal(tensor, tensor.round())


@settings(deadline=None, max_examples=40)
@given(form=forms, seed=st.integers(0, 1000))
def test_sums_are_the_same_in_every_order(form: Form, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = features(form, 10)
    for layer in exact(random_module(form)):
        if isinstance(layer, ExactSums):
            weights = layer.centre[layer.weight_index].numpy()
            terms = x.numpy()[:, None, :] * weights
            terms = np.concatenate(
                [terms, np.broadcast_to(layer.bias.numpy()[:, None], (*terms.shape[:2], 1))], -1
            )
            in_integers = terms.astype(np.int64).sum(-1)
            for _ in range(3):
                order = rng.permutation(terms.shape[-1])
                # A running sum adds one term after the other, in float64.
                assert np.array_equal(terms[..., order].cumsum(-1)[..., -1], in_integers)
            assert np.array_equal(layer(x).numpy(), in_integers)
        x = layer(x)


@settings(deadline=None, max_examples=60)
@given(form=forms)
def test_without_hidden_layers_sums_differ_by_the_rounding_of_the_bias(form: Form) -> None:
    form = dataclasses.replace(form, sizes=(form.sizes[0], form.sizes[-1]))
    module, x = random_module(form), features(form)
    layer = module[1]
    assert isinstance(layer, Dense)
    assert layer.codebook is not None
    unit = layer.codebook.step / (form.input_levels - 1)
    with torch.no_grad():
        sums = module(x).double().numpy() / (form.scale or 1.0) / unit
        terms = layer.weight.abs().sum(dim=1)
        if layer.bias is not None:
            terms = terms + layer.bias.abs()
    error = np.abs(exact(module)(x).numpy() - sums)
    # Float32 rounds as the terms are large, whatever their sum.
    assert (error <= 0.5 + 1e-5 + 1e-6 * float(terms.max()) / unit).all()


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_a_scale_leaves_the_sums_as_they_are(scale: float) -> None:
    with_scale = random_module(Form(sizes=(4, 3), scale=scale))
    without = random_module(Form(sizes=(4, 3)))
    x = features(Form(sizes=(4, 3)))
    assert torch.equal(exact(with_scale)(x), exact(without)(x))


Levels = NDArray[np.int64]


def hidden_levels(form: Form) -> tuple[Levels, Levels, NDArray[np.float64], float]:
    """Return the first hidden layer's levels in exact mode, and by float64 arithmetic.

    Further what the activation gets in float64, and the unit of the accumulators.
    """
    module, x = random_module(form), features(form)
    in_integers = exact(module)
    layer, activation = module[1], TanhD(form.levels)
    assert isinstance(layer, Dense)
    assert layer.codebook is not None
    found = in_integers[2](in_integers[1](in_integers[0](x))).numpy()
    number = {value: k for k, value in enumerate(activation.integer_level_values())}
    with torch.no_grad():
        inputs = module[0](x).double() @ layer.weight.double().T + layer.bias.double()
        if form.batch_norm:
            inputs = module[2].double()(inputs)
    boundaries = activation.boundaries()
    levels = np.array([[sum(v >= b for b in boundaries) for v in row] for row in inputs.tolist()])
    return (
        np.vectorize(number.__getitem__)(found),
        levels,
        inputs.numpy(),
        layer.codebook.step / (form.input_levels - 1),
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("levels", [2, 5, 32])
def test_with_batch_norm_every_level_is_that_of_the_module(levels: int, seed: int) -> None:
    """The bias and the batch-norm are in the thresholds, where nothing is rounded."""
    form = Form(levels=levels, batch_norm=True, seed=seed)
    found, expected, inputs, _ = hidden_levels(form)
    boundaries = np.array(TanhD(levels).boundaries())
    # Only where float32 weights blur the comparison itself may the levels differ.
    clear = np.abs(inputs[..., None] - boundaries).min(-1) > 1e-5
    assert clear.mean() > 0.95
    assert np.array_equal(found[clear], expected[clear])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("codebook", ["grid", "kmeans"])
def test_without_batch_norm_a_level_differs_within_half_a_unit_of_a_boundary(
    codebook: Literal["grid", "kmeans"], seed: int
) -> None:
    form = Form(levels=5, codebook=codebook, codebook_size=5, seed=seed)
    found, expected, inputs, unit = hidden_levels(form)
    distance = np.abs(inputs[..., None] - np.array(TanhD(5).boundaries())).min(-1)
    clear = distance > unit / 2 + 1e-5
    assert clear.any()
    assert np.array_equal(found[clear], expected[clear])


def test_a_small_module_in_integers() -> None:
    """By hand: weights 0.5 * (1, -2), bias 0.25, input levels of 1/2, TanhD(3)."""
    codebook = Codebook(0.5, np.array([-2, 0, 1]))
    first = on_codebook([[0.5, -1.0]], [0.3], codebook)
    last = on_codebook([[0.5], [-1.0]], [0.0, 0.6], codebook)
    module = exact(nn.Sequential(InputLevels.uniform(0.0, 2.0, 3), first, TanhD(3), last))
    inputs, sums, levels, outputs = module
    assert isinstance(inputs, ExactInput)
    assert inputs.thresholds.tolist() == [0.5, 1.5]
    assert isinstance(sums, ExactSums)
    assert sums.weight_index.tolist() == [[2, 0]]
    assert sums.centre.tolist() == [-2, 0, 1]
    assert sums.bias.tolist() == [1]  # 0.3 in units of 0.5 * 1/2
    assert isinstance(levels, ExactLevels)
    # atanh(-0.5) = -0.549 and 0.549, in units of 0.25: -2.2 and 2.2, from there on upwards.
    assert levels.thresholds.tolist() == [[-2, 3]]
    assert levels.level_value.tolist() == [-1, 0, 1]
    assert isinstance(outputs, ExactSums)
    assert outputs.bias.tolist() == [0, 1]  # 0.6 in units of 0.5 * 1
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.5, 1.4], [0.0, 2.0]])
    # Sums 1, 3, 0, -3; level values 0, 1, 0, -1.
    assert module(x).tolist() == [[0, 1], [1, -1], [0, 1], [-1, 3]]


def test_thresholds_out_of_reach_are_just_out_of_reach() -> None:
    codebook = Codebook(0.001, np.array([0, 1]))
    layer = on_codebook([[0.001]], [0.0], codebook)
    levels = exact(nn.Sequential(InputLevels.uniform(0.0, 1.0, 2), layer, TanhD(3), dense(1, 2)))[2]
    assert isinstance(levels, ExactLevels)
    assert levels.thresholds.tolist() == [[-2, 2]]


def refusal(*layers: nn.Module) -> str:
    with pytest.raises(UserError) as refused:
        exact(nn.Sequential(*layers))
    return str(refused.value)


def after_levels(*layers: nn.Module) -> str:
    """Return what is said of ``layers`` behind inputs of four levels."""
    return refusal(InputLevels.uniform(0.0, 1.0, 4), *layers)


def conv(n_in: int, n_out: int, kernel: int = 1) -> Conv2d:
    layer = Conv2d(n_in, n_out, kernel)
    layer.fix_codebook(Codebook(0.1, np.arange(-5, 6)))
    return layer


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [dense(2, 2)],
        [TanhD(2), dense(2, 2)],
        [InputLevels.uniform(0.0, 1.0, None), dense(2, 2)],
    ],
    ids=["empty", "dense", "activation", "continuous"],
)
def test_a_module_that_begins_otherwise_is_refused(layers: list[nn.Module]) -> None:
    assert refusal(*layers) == (
        "A network to be lowered must begin with InputLevels that have levels."
    )


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        *(
            (
                [dense(2, 2), layer, dense(2, 2)],
                f"PyTorch's {theirs} cannot be lowered: replace it by {own} of nomul.train.",
            )
            for layer, theirs, own in (
                (nn.Linear(2, 2), "Linear", "Dense"),
                (nn.Conv1d(1, 1, 1), "Conv1d", "Conv1d"),
                (nn.Conv2d(1, 1, 1), "Conv2d", "Conv2d"),
                (nn.ConvTranspose2d(1, 1, 1), "ConvTranspose2d", "ConvTranspose2d"),
                (nn.ReLU(), "ReLU", "ReluD"),
                (nn.ReLU6(), "ReLU6", "ReluD"),
                (nn.Tanh(), "Tanh", "TanhD"),
                (nn.Sigmoid(), "Sigmoid", "SigmoidD"),
                (nn.Hardtanh(), "Hardtanh", "HardTanhD"),
            )
        ),
        *(
            (
                [dense(2, 2), layer, TanhD(2), dense(2, 2)],
                f"{type(layer).__name__} cannot be lowered between InputLevels and a last Scale: "
                "use the layers and activations of nomul.train there.",
            )
            for layer in (Scale(), InputLevels.uniform(0.0, 1.0, 2), nn.GELU())
        ),
        (
            [Dense(2, 2)],
            "A Dense layer has no fixed codebook: train the network first, or call its "
            "fix_codebook in a training loop of your own.",
        ),
        (
            [TanhD(2), dense(2, 2)],
            "TanhD works on sums, so a weighted layer must come before it.",
        ),
        (
            [dense(2, 2), TanhD(2), TanhD(2), dense(2, 2)],
            "TanhD works on sums, so a weighted layer must come before it.",
        ),
        (
            [dense(2, 2), dense(2, 2)],
            "Dense works on levels, so an activation must come before it.",
        ),
        (
            [conv(1, 1), nn.AvgPool2d(2), TanhD(2), conv(1, 1)],
            "AvgPool2d works on levels, so an activation must come before it.",
        ),
        (
            [conv(1, 1), nn.MaxPool2d(2), nn.BatchNorm2d(1), TanhD(2), conv(1, 1)],
            "MaxPool2d works on levels, so an activation must come before it.",
        ),
        (
            [dense(2, 2), Residual(nn.Sequential(dense(2, 2)), nn.Identity()), TanhD(2)],
            "Residual works on levels, so an activation must come before it.",
        ),
        (
            [Residual(nn.Sequential(dense(2, 2), TanhD(2)), nn.Identity()), dense(2, 2)],
            "A residual's body to be lowered must end with a weighted layer, without activation.",
        ),
        (
            [Residual(nn.Sequential(), nn.Identity()), TanhD(2), dense(2, 2)],
            "A residual's body to be lowered must end with a weighted layer, without activation.",
        ),
        (
            [dense(2, 2), nn.BatchNorm1d(2), dense(2, 2)],
            "A batch-norm to be lowered must be followed by an activation.",
        ),
        (
            [dense(2, 2), nn.BatchNorm1d(2)],
            "A batch-norm to be lowered must be followed by an activation.",
        ),
        (
            [dense(2, 2), nn.BatchNorm1d(2, affine=False), TanhD(2), dense(2, 2)],
            "A batch-norm to be lowered must be affine and track running statistics.",
        ),
        (
            [dense(2, 2), nn.BatchNorm1d(2, track_running_stats=False), TanhD(2), dense(2, 2)],
            "A batch-norm to be lowered must be affine and track running statistics.",
        ),
        (
            [dense(2, 2), TanhD(None), dense(2, 2)],
            "A continuous activation cannot be lowered: give it levels.",
        ),
        (
            [nn.Flatten(2), dense(2, 2)],
            "Flattening to be lowered must flatten all but the samples: write nn.Flatten().",
        ),
        (
            [nn.MaxPool2d(2, ceil_mode=True), conv(1, 1)],
            "A max-pool to be lowered must have no ceil_mode, no dilation and no return_indices.",
        ),
        (
            [nn.MaxPool1d(2, dilation=2), dense(2, 2)],
            "A max-pool to be lowered must have no ceil_mode, no dilation and no return_indices.",
        ),
        (
            [nn.MaxPool2d(2, dilation=(1, 2)), dense(2, 2)],
            "A max-pool to be lowered must have no ceil_mode, no dilation and no return_indices.",
        ),
        (
            [nn.MaxPool2d(2, return_indices=True), dense(2, 2)],
            "A max-pool to be lowered must have no ceil_mode, no dilation and no return_indices.",
        ),
    ],
)
def test_what_has_no_exact_form_is_refused(layers: list[nn.Module], sentence: str) -> None:
    assert after_levels(*layers) == sentence


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [Scale()],
        [nn.Flatten()],
        [dense(2, 2), TanhD(2)],
        [dense(2, 2), nn.BatchNorm1d(2), TanhD(2)],
        [Residual(nn.Sequential(dense(2, 2)), nn.Identity())],
        [dense(2, 2), nn.Dropout()],
    ],
)
def test_a_module_that_ends_otherwise_is_refused(layers: list[nn.Module]) -> None:
    assert after_levels(*layers) == (
        "A network to be lowered must end with a weighted layer, and perhaps a Scale after it: a "
        "batch-norm with a scale for each class would not leave the arg-max as it is."
    )


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_batch_norm_that_does_not_rise_is_refused(scale: float) -> None:
    norm = nn.BatchNorm1d(2)
    nn.init.constant_(norm.weight, scale)
    assert after_levels(dense(2, 2), norm, TanhD(2), dense(2, 2)) == (
        "A batch-norm has a scale that is not positive: keep it so in training."
    )


def test_lowering_leaves_the_weights_as_they_are() -> None:
    module = random_module(Form(batch_norm=True, scale=2.0))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    exact(module)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_an_input_level_is_that_of_the_module() -> None:
    form = Form(sizes=(3, 2), input_levels=16)
    module, x = random_module(form), features(form)
    assert torch.equal(exact(module)[0](x), (module[0](x) * 15).round())


def test_the_unit_has_the_scale_in_it() -> None:
    with_scale = exact(random_module(Form(sizes=(4, 3), scale=8.0)))
    without = exact(random_module(Form(sizes=(4, 3))))
    assert with_scale.unit == pytest.approx(8.0 * without.unit)


def test_greatest_sums_and_greatest_levels_are_the_same() -> None:
    """A max-pool before the activation, and behind it."""
    norm = nn.BatchNorm2d(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        nn.init.uniform_(norm.weight, 1.0, 2.0)
        nn.init.normal_(norm.bias, 0.0, 0.1)
        first, last = conv(1, 2, 3), conv(2, 2)
        x = torch.rand(4, 1, 7, 7)
    found = [
        exact(nn.Sequential(InputLevels.uniform(0.0, 1.0, 4), first, norm, *order, last))(x)
        for order in (
            [nn.MaxPool2d(2), nn.MaxPool2d(2, 1), TanhD(32)],
            [nn.MaxPool2d(2), TanhD(32), nn.MaxPool2d(2, 1)],
            [TanhD(32), nn.MaxPool2d(2), nn.MaxPool2d(2, 1)],
        )
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].unique().numel() > 2


def interval_holds(exact_values: torch.Tensor, least: torch.Tensor, greatest: torch.Tensor) -> bool:
    slack = 1e-6 * (1 + exact_values.abs())
    least, greatest = least.flatten(1), greatest.flatten(1)
    return bool(((exact_values >= least - slack) & (exact_values <= greatest + slack)).all())


@settings(deadline=None, max_examples=80)
@given(case=cases())
def test_integers_mean_what_the_layers_say(case: Case) -> None:
    """Every output lies where float64 arithmetic has it, but for rounded biases and shortcuts."""
    module, x = trained(case), samples(case)
    in_integers = exact_of(module)
    accumulators = in_integers(x)
    assert torch.equal(accumulators, accumulators.round())
    outputs = meaning(module, x)
    assert interval_holds(accumulators * in_integers.unit, outputs.least, outputs.greatest)


@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_the_float_module_means_the_same(case: Case) -> None:
    module, x = trained(case), samples(case)
    outputs = meaning(module, x, blur=1e-4)
    with torch.no_grad():
        found = module(x).double().flatten(1)
    slack = 1e-4 * (1 + found.abs().max())
    assert (found >= outputs.least.flatten(1) - slack).all()
    assert (found <= outputs.greatest.flatten(1) + slack).all()


def test_what_integers_mean_is_hardly_open() -> None:
    """Or the tests above would say little: nearly all outputs are known to a part of the whole."""
    known = []
    for seed in range(10):
        form = Form(sizes=(6, 5, 4, 3), batch_norm=seed % 2 == 0, codebook_size=101, seed=seed)
        module, x = random_module(form), features(form)
        outputs = meaning(module, x)
        width = outputs.greatest - outputs.least
        known.append((width < 1e-2 * outputs.least.abs().max()).double().mean().item())
        assert interval_holds(
            exact(module)(x) * exact(module).unit, outputs.least, outputs.greatest
        )
    assert np.mean(known) > 0.9


def test_a_module_with_every_kind_of_layer() -> None:
    """In one chain: a signal, pooled, residual, averaged, flattened."""
    kinds = [Codebook(0.2, np.array([-1, 0, 1])), Codebook(0.01, np.arange(-20, 21))]
    layers: list[nn.Module] = [
        InputLevels.uniform(-1.0, 1.0, 4),
        Conv1d(2, 4, 3, padding=1, groups=2),
        nn.MaxPool1d(2, padding=1),
        TanhD(5),
        Residual(nn.Sequential(Conv1d(4, 4, 3, padding=1)), nn.Identity()),
        TanhD(5),
        Residual(nn.Sequential(Conv1d(4, 3, 1, stride=2)), Conv1d(4, 3, 1, stride=2)),
        nn.BatchNorm1d(3),
        TanhD(5),
        nn.AvgPool1d(3),
        TanhD(5),
        nn.Dropout(),
        nn.Flatten(),
        Dense(3, 3),
        nn.Flatten(),
        Scale(),
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(*layers)
        for number, layer in enumerate(module.modules()):
            if isinstance(layer, Conv1d | Dense):
                nn.init.normal_(layer.weight, 0.0, 0.3)
                layer.fix_codebook(kinds[number % 2])
    x = torch.rand(6, 2, 10, generator=torch.Generator().manual_seed(0)) * 2 - 1
    in_integers = exact(module)
    outputs = meaning(module, x)
    assert interval_holds(in_integers(x) * in_integers.unit, outputs.least, outputs.greatest)
