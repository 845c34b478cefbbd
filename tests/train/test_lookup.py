"""Lookup neurons: their gradient against its formula, and their integers against the module."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nomul.network import Dense, Network, Output, UserError
from nomul.network import Lookup as LookupTables
from nomul.sim.golden import evaluate
from nomul.train.exact_mode import exact
from nomul.train.experiment import Experiment, InputSettings, NetworkSettings, TrainingSettings
from nomul.train.layer_settings import (
    ClassSumSettings,
    DenseSettings,
    LayerSettings,
    LookupSettings,
    MaxPoolSettings,
)
from nomul.train.layers import InputLevels
from nomul.train.lookup import ClassSum, Lookup, level_bits
from nomul.train.lowering import lower
from nomul.train.metrics import accuracy
from nomul.train.trainer import train
from tests.train.architectures import Case, samples, trained
from tests.train.short import assert_same_state, digits


def lookup(n_inputs: int, n_neurons: int, fan_in: int, levels_in: int = 2, seed: int = 0) -> Lookup:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Lookup(n_inputs, n_neurons, fan_in, levels_in)


def random_bits(*shape: int) -> Tensor:
    return torch.randint(2, shape, generator=torch.Generator().manual_seed(1)).float()


def test_level_bits_are_numbered_from_the_least_significant_of_the_first_input() -> None:
    assert level_bits(torch.tensor([[1.0, 0.0], [2.0, 4.0]]), 5).tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 1],
    ]
    assert level_bits(torch.tensor([[1.0, 0.0]]), 2).tolist() == [[1, 0]]


@pytest.mark.parametrize("levels_in", [2, 3, 4, 16])
@pytest.mark.parametrize("fan_in", [1, 2, 4, 6])
def test_a_neuron_gives_the_entry_at_its_address(fan_in: int, levels_in: int) -> None:
    layer = lookup(5, 7, fan_in, levels_in, seed=fan_in)
    level = torch.arange(40).view(8, 5) % levels_in
    found = layer(level / (levels_in - 1))
    bits = [
        [(int(value) >> b) & 1 for value in row for b in range((levels_in - 1).bit_length())]
        for row in level
    ]
    for sample, neuron in itertools.product(range(8), range(7)):
        chosen = layer.score.view(7, fan_in, -1)[neuron].argmax(dim=1).tolist()
        address = sum(bits[sample][number] << place for place, number in enumerate(chosen))
        assert found[sample, neuron] == float(layer.entry[neuron, address] > 0)


@pytest.mark.parametrize("fan_in", [1, 2, 3, 6])
def test_the_gradient_is_that_of_the_multilinear_extension(fan_in: int) -> None:
    """By autograd, of the formula that the layer's docstring gives."""
    layer, x = lookup(9, 4, fan_in, seed=fan_in), random_bits(12, 9).requires_grad_()
    wanted = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    (layer(x) * wanted).sum().backward()
    found = x.grad, layer.score.grad, layer.entry.grad

    chosen = layer.score.argmax(dim=1)
    weight = torch.nn.functional.one_hot(chosen, 9).float().requires_grad_()
    entry, inputs = layer.entry.detach().requires_grad_(), x.detach().requires_grad_()
    # For the scores, whose gradient takes x for constant, bits are -1/2 and 1/2.
    halves = (inputs.detach() - 0.5) @ weight.t()
    b = (inputs @ weight.detach().t() + halves - halves.detach()).view(12, 4, fan_in)
    total = torch.zeros(12, 4)
    for address in range(2**fan_in):
        product = torch.ones(12, 4)
        for j in range(fan_in):
            product = product * (b[..., j] if address >> j & 1 else 1 - b[..., j])
        total = total + entry[:, address] * product
    (total * wanted).sum().backward()  # type: ignore[no-untyped-call]
    for one, other in zip(found, (inputs.grad, weight.grad, entry.grad), strict=True):
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one, other)


def test_in_bfloat16_levels_are_the_same_and_gradients_nearly() -> None:
    gradients = []
    for enabled in (False, True):
        layer, x = lookup(9, 600, 3), random_bits(12, 9)
        sums = ClassSum(600, 2, temperature=1.0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = sums(layer(x))
        assert found.dtype == torch.float32
        assert torch.equal(found.round(), found)
        assert found.max() > 100
        (found / 300).square().sum().backward()
        gradients.append((layer.score.grad, layer.entry.grad))
    (score, entry), (short_score, short_entry) = gradients
    assert score is not None
    assert short_score is not None
    assert float((score - short_score).norm() / score.norm()) < 0.01
    assert entry is not None
    assert short_entry is not None
    assert torch.equal(entry, short_entry)


def test_levels_of_several_bits_pass_no_gradient_and_still_teach_scores() -> None:
    layer = lookup(3, 4, 2, levels_in=4)
    x = (random_bits(10, 3) / 3).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.score.grad is not None
    assert layer.score.grad.any()


def test_evaluation_needs_no_gradient_of_scores() -> None:
    layer = lookup(3, 4, 2).eval()
    layer(random_bits(5, 3)).sum().backward()
    assert layer.score.grad is None
    assert layer.entry.grad is not None


def test_bits_that_never_vary_are_not_picked() -> None:
    layer, x = lookup(6, 50, 4), random_bits(20, 6)
    x[:, 1], x[:, 4] = 0.0, 1.0
    assert {1, 4} <= set(layer.address_bits().flatten().tolist())
    layer.avoid_constants(x)
    assert set(layer.address_bits().flatten().tolist()) == {0, 2, 3, 5}
    # Nor does training pick them.
    optimizer = torch.optim.AdamW(layer.parameters(), 1.0)
    for _ in range(50):
        layer(x).sum().backward()
        optimizer.step()
    assert set(layer.address_bits().flatten().tolist()) <= {0, 2, 3, 5}


def test_entries_stay_within_one() -> None:
    layer = lookup(2, 3, 1)
    with torch.no_grad():
        layer.entry.copy_(torch.tensor([[-3.0, 0.5], [1.5, -0.5], [0.0, 1.0]]))
    layer.keep_in_range()
    assert layer.entry.tolist() == [[-1.0, 0.5], [1.0, -0.5], [0.0, 1.0]]


def test_a_class_sum_counts_every_classs_neurons() -> None:
    layer = ClassSum(7, 3, temperature=2.0)
    x = torch.tensor([[1.0, 0, 0, 1, 0, 1, 1], [0, 1, 1, 0, 1, 0, 0]])
    assert layer(x).tolist() == [[1.5, 0.0, 0.5], [0.0, 1.0, 0.5]]
    assert ClassSum(160, 10).temperature == 2.0
    assert not layer.state_dict()


def form(
    *layers: LayerSettings,
    input: InputSettings | None = None,  # noqa: A002
    output: LayerSettings | None = None,
    **training: Any,
) -> Experiment:
    return Experiment(
        input=input or InputSettings(levels=4, thresholds="parts"),
        network=NetworkSettings(layers=layers, output=output or ClassSumSettings(), levels=2),
        training=TrainingSettings(
            **({"steps": 12, "batch_size": 16, "learning_rate": 0.02} | training)
        ),
    )


_lookups = st.builds(
    LookupSettings, neurons=st.integers(3, 9), fan_in=st.sampled_from((1, 2, 3, 4, 6))
)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    layers: list[LayerSettings] = draw(st.lists(_lookups, min_size=1, max_size=3).map(list))
    shape = draw(st.sampled_from(((5,), (2, 6), (1, 4, 4))))
    if len(shape) > 1 and draw(st.booleans()):
        layers.insert(0, MaxPoolSettings(2))
    if draw(st.booleans()):
        layers.append(DenseSettings(4))
    inputs = InputSettings(
        levels=draw(st.sampled_from((2, 3, 4, 5, 16, 256))),
        thresholds=draw(st.sampled_from(("uniform", "parts", "quantile"))),
        encoding=draw(st.sampled_from(("level", "thermometer"))),
    )
    ends: list[LayerSettings] = [ClassSumSettings(), ClassSumSettings(0.3), DenseSettings(3)]
    output = draw(st.sampled_from(ends))
    experiment = form(*layers, input=inputs, output=output, seed=draw(st.integers(0, 1000)))
    codebook = dataclasses.replace(experiment.codebook, size=3)
    return Case(dataclasses.replace(experiment, codebook=codebook), shape)


def sums_of(network: Network, x: Tensor) -> list[list[int]]:
    sums = dataclasses.replace(network, output=Output("accumulators"))
    return [[int(value) for value in row] for row in evaluate(sums, x.numpy())]


@settings(deadline=None, max_examples=80)
@given(case=_cases())
@example(case=Case(form(LookupSettings(3, 1)), (1,)))
@example(case=Case(form(LookupSettings(3, 12), LookupSettings(3, 12)), (2,)))
def test_exact_mode_and_golden_model_agree_to_the_bit(case: Case) -> None:
    module, x = trained(case), samples(case)
    whole = exact(module)
    sums = whole(x)
    network = lower(whole, case.shape)
    assert sums_of(network, x) == sums.tolist()
    assert evaluate(network, x.numpy()).tolist() == sums.argmax(dim=1).tolist()
    if not any(isinstance(layer, DenseSettings) for layer in case.experiment.network.layers):
        # Nothing is rounded on the way, but for what a dense layer ends in.
        with torch.no_grad():
            found = module(x).double()
        bias_error = 0.5 if isinstance(case.experiment.network.output, DenseSettings) else 0.0
        error = (found / whole.unit - sums).abs().max()
        assert error <= bias_error + 1e-4 * (1 + sums.abs().max())


def test_lowering_keeps_every_connection_and_entry() -> None:
    module = trained(Case(form(LookupSettings(6, 3), LookupSettings(5, 2)), (4,)))
    network = lower(module, (4,))
    first, second, last = network.layers
    for layer, tables in ((module[1], first), (module[2], second)):
        assert isinstance(layer, Lookup)
        assert isinstance(tables, LookupTables)
        assert tables.levels == 2
        assert tables.address_bit.tolist() == layer.address_bits().tolist()
        assert tables.level_table.tolist() == (layer.entry > 0).int().tolist()
    assert isinstance(last, Dense)
    assert last.product_table.tolist() == [[0, 0], [0, 1]]
    assert last.weight_index.tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert last.bias.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("levels", "levels_in", "greatest"), [(4, 2, 1), (2, 4, 3), (3, 4, 3)])
def test_a_lookup_for_other_levels_is_not_lowered(
    levels: int, levels_in: int, greatest: int
) -> None:
    inputs = InputLevels.uniform(0.0, 1.0, levels)
    with pytest.raises(UserError) as refused:
        exact(torch.nn.Sequential(inputs, lookup(3, 3, 2, levels_in), ClassSum(3, 3)))
    assert str(refused.value) == (
        f"A Lookup of levels_in = {levels_in} to be lowered must meet levels k = 0 to {greatest} "
        f"that stand for k / {greatest}: put it behind InputLevels or another Lookup, and give it "
        "their levels_out."
    )


def test_a_lookup_behind_levels_of_other_values_is_not_lowered() -> None:
    module = trained(Case(form(DenseSettings(3), output=DenseSettings(3)), (2,)))
    with pytest.raises(UserError, match="must meet levels k = 0 to 1 that stand for k / 1: "):
        exact(torch.nn.Sequential(*list(module)[:3], lookup(3, 3, 2), ClassSum(3, 3)))


def test_training_learns_tables_and_connections() -> None:
    experiment = form(LookupSettings(40), steps=300, batch_size=64, noise=0.75)
    data = digits(1000)
    start = train(
        dataclasses.replace(experiment, training=TrainingSettings(steps=1)), data, discretized=True
    )
    module = train(experiment, data, discretized=True)
    assert isinstance(start[1], Lookup)
    assert isinstance(module[1], Lookup)
    assert (start[1].address_bits() != module[1].address_bits()).float().mean() > 0.2
    assert float(module[1].entry.detach().abs().max()) <= 1.0
    assert accuracy(exact(module), data) > 0.75


def scores_after(steps: int, connect_until: float) -> Tensor:
    experiment = form(
        LookupSettings(30), steps=steps, connect_until=connect_until, schedule="constant"
    )
    layer = train(experiment, digits(), discretized=True)[1]
    assert isinstance(layer, Lookup)
    return layer.score.detach()


def test_connections_are_learned_until_they_are_fixed() -> None:
    assert torch.equal(scores_after(12, 0.5), scores_after(6, 1.0))
    assert torch.equal(scores_after(12, 0.0), scores_after(6, 0.0))
    assert not torch.equal(scores_after(12, 0.75), scores_after(6, 1.0))


def test_training_goes_on_where_it_stopped(tmp_path: Any) -> None:
    experiment = form(LookupSettings(20), LookupSettings(10, 2), checkpoint_every=6)
    data, path = digits(), tmp_path / "checkpoint"

    class Stopped(Exception):
        pass

    def stop(step: int, _: int) -> None:
        if step == 8:
            raise Stopped

    whole = train(experiment, data, discretized=True)
    with pytest.raises(Stopped):
        train(experiment, data, discretized=True, progress=stop, checkpoint=path)
    assert_same_state(train(experiment, data, discretized=True, checkpoint=path), whole)


def test_the_float_twin_has_dense_layers_of_tanh() -> None:
    module = train(form(LookupSettings(20), LookupSettings(10, 2)), digits(), discretized=False)
    assert [type(layer).__name__ for layer in module] == [
        *("InputLevels", "Linear", "Tanh", "Linear", "Tanh", "Linear"),
    ]
    assert np.isfinite(module(torch.zeros(2, 64)).detach().numpy()).all()
