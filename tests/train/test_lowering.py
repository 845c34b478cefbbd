"""The integer tables answer exactly as the module does."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from torch import nn

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    MaxPool2d,
    Network,
    Output,
    UserError,
)
from nomul.network import Dense as DenseTables
from nomul.sim.golden import evaluate
from nomul.train import layers
from nomul.train.activations import TanhD
from nomul.train.codebook import Codebook
from nomul.train.exact_mode import exact
from nomul.train.layers import Dense, InputLevels, Residual
from nomul.train.lowering import lower
from nomul.train.weighted import Weighted
from tests.train.architectures import Case, cases, exact_of, samples, trained
from tests.train.small import Form, features, forms, random_module

TERNARY = Codebook(0.5, np.array([-1, 0, 1]))


def lowered_sums(network: Network, x: torch.Tensor) -> list[list[int]]:
    """Return the accumulators behind the classes."""
    sums = dataclasses.replace(network, output=Output("accumulators"))
    return [[int(value) for value in row] for row in evaluate(sums, x.numpy())]


def lowered(form: Form) -> Network:
    return lower(random_module(form), (form.sizes[0],))


def dense_tables(network: Network) -> list[DenseTables]:
    tables = [layer for layer in network.layers if isinstance(layer, DenseTables)]
    assert len(tables) == len(network.layers)
    return tables


def ternary(layer: Weighted) -> Weighted:
    """Return ``layer`` with as many 0 as other weights."""
    with torch.no_grad():
        weights = torch.arange(layer.weight.numel()).view(layer.weight.shape) % 4 - 1
        layer.weight.copy_(weights.clamp(max=1) * 0.5)
    layer.fix_codebook(TERNARY)
    return layer


@settings(deadline=None, max_examples=80)
@given(form=forms)
@example(form=Form(sizes=(1, 1)))
@example(form=Form(sizes=(1, 1, 1), input_levels=2, levels=2, codebook_size=3))
@example(form=Form(input_levels=256, levels=256, codebook_size=101))
@example(form=Form(batch_norm=True, codebook="grid", codebook_size=5, pruned=True, scale=8.0))
def test_the_network_answers_as_the_exact_module(form: Form) -> None:
    module, x = random_module(form), features(form)
    network = lowered(form)
    sums = exact(module)(x)
    assert lowered_sums(network, x) == sums.tolist()
    assert evaluate(network, x.numpy()).tolist() == sums.argmax(dim=1).tolist()


@settings(deadline=None, max_examples=120)
@given(case=cases())
def test_a_network_of_any_layers_answers_as_the_exact_module(case: Case) -> None:
    module, x = trained(case), samples(case)
    sums = exact_of(module)(x)
    assert lowered_sums(lower(module, case.shape), x) == sums.tolist()
    in_integers = lower(module, case.shape, "accumulators")
    assert in_integers.output.scale == exact(module).unit
    assert np.array_equal(evaluate(in_integers, x.numpy()), sums.numpy())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_an_exact_module_lowers_to_the_same_network(batch_norm: bool) -> None:
    module = random_module(Form(batch_norm=batch_norm, scale=0.5))
    assert lower(exact(module), (5,)) == lower(module, (5,))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_thresholds_are_shared_without_batch_norm(batch_norm: bool) -> None:
    first, _ = dense_tables(lowered(Form(sizes=(5, 4, 3), levels=5, batch_norm=batch_norm)))
    assert first.thresholds is not None
    assert first.thresholds.shape == ((4, 4) if batch_norm else (4,))


def test_the_tables_have_their_shapes_and_factors() -> None:
    form = Form(sizes=(5, 4, 3), input_levels=6, levels=5, codebook="grid", codebook_size=3)
    network = lowered(form)
    first, last = dense_tables(network)
    assert network.input.shape == (5,)
    assert network.output == Output("class")
    assert first.weight_index.shape == (4, 5)
    assert first.product_table.shape == (6, 3)
    assert first.level_value is not None
    assert first.level_value.tolist() == [0, 1, 2, 3, 4, 5]
    assert last.level_value is not None
    assert last.level_value.tolist() == [-2, -1, 0, 1, 2]
    assert last.centre is not None
    assert last.centre.tolist() == [-1, 0, 1]
    assert last.thresholds is None
    assert last.source == "layers.0"


@pytest.mark.parametrize(("n_centres", "dtype"), [(1, "uint8"), (256, "uint8"), (257, "uint16")])
def test_indices_take_the_smallest_dtype(n_centres: int, dtype: str) -> None:
    codebook = Codebook(0.01, np.arange(n_centres))
    layer = Dense(n_centres, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(codebook.centres)[None])
    layer.fix_codebook(codebook)
    module = nn.Sequential(InputLevels.uniform(0.0, 1.0, 2), layer)
    (tables,) = dense_tables(lower(module, (n_centres,)))
    assert tables.weight_index.dtype == dtype
    assert tables.weight_index.tolist() == [list(range(n_centres))]


def test_pruned_inputs_do_not_count() -> None:
    form = Form(sizes=(6, 5, 4), pruned=True)
    trained_layers = [layer for layer in random_module(form) if isinstance(layer, Dense)]
    for layer, tables in zip(trained_layers, dense_tables(lowered(form)), strict=True):
        assert (tables.fan_in() <= layer.mask.sum(dim=1).numpy()).all()
        assert np.array_equal(tables.fan_in(), (layer.weight != 0).sum(dim=1).numpy())


@pytest.mark.parametrize("parts", [[], [nn.Linear(2, 2)]], ids=["empty", "linear"])
def test_a_module_without_an_exact_form_is_refused(parts: list[nn.Module]) -> None:
    with pytest.raises(UserError) as refused:
        lower(nn.Sequential(*parts), (2,))
    assert str(refused.value) == (
        "A network to be lowered must begin with InputLevels that have levels."
    )


def of_pictures() -> nn.Sequential:
    return nn.Sequential(
        InputLevels.uniform(0.0, 1.0, 4),
        ternary(layers.Conv2d(3, 2, 3)),
        TanhD(3),
        nn.Flatten(),
        ternary(Dense(2 * 4 * 4, 3)),
    )


@pytest.mark.parametrize(
    "shape", [(1, 6, 6), (3, 5, 6), (3, 2, 2), (108,), (1, 3, 6, 6), (3, -6, 6)]
)
def test_another_shape_than_the_modules_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as refused:
        lower(of_pictures(), shape)
    assert str(refused.value) == (
        f"input_shape {shape} does not fit the module: give the shape of one sample's features as "
        "the module takes them."
    )


def test_another_number_of_features_is_refused() -> None:
    module = random_module(Form(sizes=(5, 4, 3)))
    for form in (module, exact(module)):
        with pytest.raises(UserError, match=r"^input_shape \(4,\) does not fit the module: "):
            lower(form, (4,))


@pytest.mark.parametrize("shape", [(), 5])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises(UserError) as refused:
        lower(of_pictures(), shape)
    assert str(refused.value) == (
        f"input_shape is {shape}: it must be the shape of one sample's features, such as "
        "(1, 28, 28)."
    )


def test_what_the_shape_has_no_part_in_is_said_as_it_is() -> None:
    module = nn.Sequential(InputLevels.uniform(0.0, 1.0, 300), ternary(Dense(5, 3)))
    with pytest.raises(UserError) as refused:
        lower(module, (5,))
    assert str(refused.value) == (
        "input.thresholds makes 300 levels: 2 to 256 are possible, with one threshold less."
    )


def test_a_signal_is_a_picture_of_height_1() -> None:
    module = nn.Sequential(
        InputLevels.uniform(0.0, 1.0, 4),
        ternary(layers.Conv1d(4, 2, 3, stride=2, padding=1, groups=2)),
        nn.MaxPool1d(2, 1, padding=1),
        TanhD(3),
        nn.AvgPool1d(2),
        TanhD(3),
        nn.Flatten(),
        ternary(Dense(4, 3)),
    )
    conv, pool, average, dense = lower(module, (4, 6)).layers
    assert isinstance(conv, Conv2d)
    assert conv.weight_index.shape == (2, 2, 1, 3)
    assert (conv.stride, conv.padding, conv.groups) == ((1, 2), (0, 1), 2)
    assert conv.thresholds is not None
    assert isinstance(pool, MaxPool2d)
    assert (pool.size, pool.stride, pool.padding) == ((1, 2), (1, 1), (0, 1))
    assert isinstance(average, Conv2d)
    assert average.weight_index.shape == (2, 1, 1, 2)
    assert (average.groups, average.stride) == (2, (1, 2))
    assert average.centre is not None
    assert average.centre.tolist() == [1]
    assert isinstance(dense, DenseTables)
    assert [layer.sources for layer in (conv, pool, average, dense)] == [
        ("input",),
        ("layers.0",),
        ("layers.1",),
        ("layers.2",),
    ]


def test_a_transposed_convolution_keeps_pytorchs_shape() -> None:
    layer = layers.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    module = nn.Sequential(InputLevels.uniform(0.0, 1.0, 2), ternary(layer), nn.Flatten())
    network = lower(module, (4, 2, 3), "accumulators")
    (tables,) = network.layers
    assert isinstance(tables, ConvTranspose2d)
    assert tables.weight_index.shape == (4, 3, 3, 3)
    assert (tables.stride, tables.padding, tables.output_padding, tables.groups) == (
        (2, 2),
        (1, 1),
        (1, 1),
        2,
    )
    assert network.shapes["layers.0"] == (6, 4, 6)


@pytest.mark.parametrize("kind", ["identity", "projection"])
def test_a_residual_is_the_sum_of_two_layers(kind: Literal["identity", "projection"]) -> None:
    n_out = 2 if kind == "identity" else 3
    body = nn.Sequential(
        ternary(layers.Conv2d(2, 4, 1)), TanhD(3), ternary(layers.Conv2d(4, n_out, 3, padding=1))
    )
    shortcut: nn.Module = nn.Identity()
    if kind == "projection":
        shortcut = ternary(layers.Conv2d(2, n_out, 1, bias=False))
    module = nn.Sequential(
        InputLevels.uniform(0.0, 1.0, 4),
        Residual(body, shortcut),
        TanhD(3),
        ternary(layers.Conv2d(n_out, 1, 1)),
    )
    inner, last, straight, both, end = lower(module, (2, 3, 3)).layers
    assert isinstance(inner, Conv2d)
    assert inner.thresholds is not None
    assert isinstance(last, Conv2d)
    assert last.thresholds is None
    assert isinstance(straight, Conv2d)
    assert (straight.source, straight.thresholds) == ("input", None)
    assert straight.groups == (2 if kind == "identity" else 1)
    assert isinstance(both, Add)
    assert both.sources == ("layers.1", "layers.2")
    assert both.thresholds is not None
    assert both.bias.tolist() == [0] * n_out
    assert end.sources == ("layers.3",)


@pytest.mark.parametrize("encoding", ["level", "thermometer"])
@pytest.mark.parametrize("axes", [(), (1, 1), (1, 3), (2, 1), (2, 3)], ids=str)
def test_inputs_keep_thresholds_and_encoding(
    axes: tuple[int, ...], encoding: Literal["level", "thermometer"]
) -> None:
    thresholds = np.linspace(-1.0, 1.0, 3 * int(np.prod(axes))).reshape(*axes, 3)
    inputs = InputLevels(thresholds, -1.0, 1.0, encoding=encoding)
    channels = 6 if encoding == "thermometer" else 2
    module = nn.Sequential(inputs, ternary(layers.Conv1d(channels, 2, 2)))
    network = lower(module, (2, 3))
    assert network.input.shape == (2, 3)
    assert network.input.encoding == encoding
    assert np.array_equal(network.input.thresholds, thresholds)
    x = torch.linspace(-1.5, 1.5, 60).view(10, 2, 3)
    assert lowered_sums(network, x) == exact(module)(x).tolist()
