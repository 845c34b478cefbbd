"""The integer tables answer exactly as the module does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from torch import nn

from nomul.network import Network, Output, UserError
from nomul.sim.golden import evaluate
from nomul.train.codebook import Codebook
from nomul.train.exact_mode import exact
from nomul.train.layers import Dense, InputLevels
from nomul.train.lowering import lower
from tests.train.small import Form, features, forms, random_module


def lowered_sums(network: Network, x: torch.Tensor) -> list[list[int]]:
    """Return the accumulators behind the classes."""
    sums = dataclasses.replace(network, output=Output("accumulators"))
    return [[int(value) for value in row] for row in evaluate(sums, x.numpy())]


@settings(deadline=None, max_examples=120)
@given(form=forms)
@example(form=Form(sizes=(1, 1)))
@example(form=Form(sizes=(1, 1, 1), input_levels=2, levels=2, codebook_size=3))
@example(form=Form(input_levels=256, levels=256, codebook_size=101))
@example(form=Form(batch_norm=True, codebook="grid", codebook_size=5, pruned=True, scale=8.0))
def test_the_network_answers_as_the_exact_module(form: Form) -> None:
    module, x = random_module(form), features(form)
    network = lower(module)
    sums = exact(module)(x)
    assert lowered_sums(network, x) == sums.tolist()
    assert evaluate(network, x.numpy()).tolist() == sums.argmax(dim=1).tolist()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_an_exact_module_lowers_to_the_same_network(batch_norm: bool) -> None:
    module = random_module(Form(batch_norm=batch_norm, scale=0.5))
    assert lower(exact(module)) == lower(module)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_thresholds_are_shared_without_batch_norm(batch_norm: bool) -> None:
    network = lower(random_module(Form(sizes=(5, 4, 3), levels=5, batch_norm=batch_norm)))
    thresholds = network.layers[0].thresholds
    assert thresholds is not None
    assert thresholds.shape == ((4, 4) if batch_norm else (4,))


def test_the_tables_have_their_shapes_and_factors() -> None:
    form = Form(sizes=(5, 4, 3), input_levels=6, levels=5, codebook="grid", codebook_size=3)
    network = lower(random_module(form))
    first, last = network.layers
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
    network = lower(nn.Sequential(InputLevels(0.0, 1.0, 2), layer))
    assert network.layers[0].weight_index.dtype == dtype
    assert network.layers[0].weight_index.tolist() == [list(range(n_centres))]


def test_pruned_inputs_do_not_count() -> None:
    module = random_module(Form(sizes=(6, 5, 4), pruned=True))
    layers = [layer for layer in module if isinstance(layer, Dense)]
    for layer, lowered in zip(layers, lower(module).layers, strict=True):
        assert (lowered.fan_in() <= layer.mask.sum(dim=1).numpy()).all()
        assert np.array_equal(lowered.fan_in(), (layer.weight != 0).sum(dim=1).numpy())


@pytest.mark.parametrize("layers", [[], [nn.Linear(2, 2)]], ids=["empty", "linear"])
def test_a_module_without_an_exact_form_is_refused(layers: list[nn.Module]) -> None:
    with pytest.raises(UserError) as refused:
        lower(nn.Sequential(*layers))
    assert str(refused.value) == (
        "A network to be lowered must begin with InputLevels that have levels."
    )
