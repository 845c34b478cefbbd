"""Exact mode: integers in float32, whose sums no order of addition changes."""

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
from nomul.train.exact_mode import ExactDense, ExactInput, ExactLevels, exact
from nomul.train.layers import Dense, InputLevels, Scale
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
        assert x.dtype == torch.float32
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
        if isinstance(layer, ExactDense):
            weights = layer.centre[layer.weight_index].numpy()
            terms = x.numpy()[:, None, :] * weights
            terms = np.concatenate(
                [terms, np.broadcast_to(layer.bias.numpy()[:, None], (*terms.shape[:2], 1))], -1
            )
            in_integers = terms.astype(np.int64).sum(-1)
            for _ in range(3):
                order = rng.permutation(terms.shape[-1])
                # A running sum adds one term after the other, in float32.
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
    error = np.abs(exact(module)(x).numpy() - sums)
    assert (error <= 0.5 + 1e-5 * (1 + np.abs(sums))).all()


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
    module = exact(nn.Sequential(InputLevels(0.0, 2.0, 3), first, TanhD(3), last))
    inputs, sums, levels, outputs = module
    assert isinstance(inputs, ExactInput)
    assert inputs.thresholds.tolist() == [0.5, 1.5]
    assert isinstance(sums, ExactDense)
    assert sums.weight_index.tolist() == [[2, 0]]
    assert sums.centre.tolist() == [-2, 0, 1]
    assert sums.bias.tolist() == [1]  # 0.3 in units of 0.5 * 1/2
    assert isinstance(levels, ExactLevels)
    # atanh(-0.5) = -0.549 and 0.549, in units of 0.25: -2.2 and 2.2, from there on upwards.
    assert levels.thresholds.tolist() == [[-2, 3]]
    assert levels.level_value.tolist() == [-1, 0, 1]
    assert isinstance(outputs, ExactDense)
    assert outputs.bias.tolist() == [0, 1]  # 0.6 in units of 0.5 * 1
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.5, 1.4], [0.0, 2.0]])
    # Sums 1, 3, 0, -3; level values 0, 1, 0, -1.
    assert module(x).tolist() == [[0, 1], [1, -1], [0, 1], [-1, 3]]


def test_thresholds_out_of_reach_are_just_out_of_reach() -> None:
    codebook = Codebook(0.001, np.array([0, 1]))
    layer = on_codebook([[0.001]], [0.0], codebook)
    levels = exact(nn.Sequential(InputLevels(0.0, 1.0, 2), layer, TanhD(3), dense(1, 2)))[2]
    assert isinstance(levels, ExactLevels)
    assert levels.thresholds.tolist() == [[-2, 2]]


def limit_module(centre: int, n_inputs: int = 256) -> nn.Sequential:
    """Return a module whose sum may reach 256 times ``centre``."""
    codebook = Codebook(1.0, np.array([0, centre]))
    return nn.Sequential(
        InputLevels(0.0, 1.0, 2), on_codebook([[float(centre)] * n_inputs], [0.0], codebook)
    )


def test_the_greatest_sums_are_exact() -> None:
    module = exact(limit_module(2**16 - 1))
    sums = module(torch.cat([torch.ones(1, 256), torch.eye(256)[:1]]))
    assert sums.tolist() == [[256 * (2**16 - 1)], [2**16 - 1]]


def refusal(*layers: nn.Module) -> str:
    with pytest.raises(UserError) as refused:
        exact(nn.Sequential(*layers))
    return str(refused.value)


def test_a_sum_that_float32_does_not_add_exactly_is_refused() -> None:
    assert refusal(*limit_module(2**16)) == (
        "A sum may reach 16777216, beyond the 16777216 that float32 adds exactly: use fewer "
        "levels, a smaller codebook or a smaller fan-in."
    )


@pytest.mark.parametrize(
    "layers",
    [[], [dense(2, 2)], [TanhD(2), dense(2, 2)], [InputLevels(0.0, 1.0, None), dense(2, 2)]],
    ids=["empty", "dense", "activation", "continuous"],
)
def test_a_module_that_begins_otherwise_is_refused(layers: list[nn.Module]) -> None:
    assert refusal(*layers) == (
        "A network to be lowered must begin with InputLevels that have levels."
    )


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([TanhD(2)], "TanhD"),
        ([nn.Linear(2, 2)], "Linear"),
        ([Dense(2, 2)], "Dense"),
        ([dense(2, 2), TanhD(2), nn.Dropout(), dense(2, 2)], "Dropout"),
        ([dense(2, 2), TanhD(2), TanhD(2), dense(2, 2)], "TanhD"),
    ],
)
def test_after_levels_anything_but_dense_on_a_codebook_is_refused(
    layers: list[nn.Module], name: str
) -> None:
    assert refusal(InputLevels(0.0, 1.0, 4), *layers) == (
        f"{name} cannot be lowered here: after levels there must be a Dense layer with a fixed "
        "codebook."
    )


@pytest.mark.parametrize(
    "layers",
    [
        [nn.BatchNorm1d(2)],
        [nn.BatchNorm1d(2), Scale()],
        [Scale(), Scale()],
        [Scale(), TanhD(2), dense(2, 2)],
        [nn.ReLU()],
        [dense(2, 2)],
    ],
)
def test_after_the_last_dense_anything_but_a_scale_is_refused(layers: list[nn.Module]) -> None:
    assert refusal(InputLevels(0.0, 1.0, 4), dense(2, 2), *layers) == (
        "The last Dense layer may be followed by a Scale and nothing else: a scale for each class "
        "would not leave the arg-max as it is."
    )


def test_a_continuous_activation_is_refused() -> None:
    assert refusal(InputLevels(0.0, 1.0, 4), dense(2, 2), TanhD(None), dense(2, 2)) == (
        "A continuous activation cannot be lowered: give it levels."
    )


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_batch_norm_that_does_not_rise_is_refused(scale: float) -> None:
    norm = nn.BatchNorm1d(2)
    nn.init.constant_(norm.weight, scale)
    assert refusal(InputLevels(0.0, 1.0, 4), dense(2, 2), norm, TanhD(2), dense(2, 2)) == (
        "A batch-norm has a scale that is not positive: keep it so in training."
    )


@pytest.mark.parametrize("layers", [[], [dense(2, 2), TanhD(2)]], ids=["input", "activation"])
def test_a_module_that_ends_on_levels_is_refused(layers: list[nn.Module]) -> None:
    assert "must end with" in refusal(InputLevels(0.0, 1.0, 4), *layers)


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
