"""Pruning to a fan-in, by importance."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from nomul.train.activations import TanhD
from nomul.train.layers import Dense, InputLevels
from nomul.train.modules import dense_layers
from nomul.train.pruning import prune


def module_of(sizes: tuple[int, ...], seed: int = 0, *, batch_norm: bool = False) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules: list[nn.Module] = [InputLevels(0.0, 1.0, 16)]
        for n_inputs, n_neurons in itertools.pairwise(sizes[:-1]):
            modules.append(Dense(n_inputs, n_neurons))
            if batch_norm:
                modules.append(nn.BatchNorm1d(n_neurons))
            modules.append(TanhD(32))
        modules.append(Dense(sizes[-2], sizes[-1]))
    return nn.Sequential(*modules)


def random_features(n_inputs: int, n_samples: int = 100) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((n_samples, n_inputs), generator=generator, dtype=torch.float64)
    return x * torch.linspace(0.3, 1.0, n_inputs, dtype=torch.float64)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("fan_in", [(1, 1), (3, 2), (8, 6), (8, 1)])
def test_every_neuron_reaches_its_fan_in(fan_in: tuple[int, ...], batch_norm: bool) -> None:
    module = module_of((8, 6, 5), batch_norm=batch_norm)
    prune(module, fan_in, random_features(8))
    for layer, expected in zip(dense_layers(module), fan_in, strict=True):
        assert layer.mask.sum(dim=1).tolist() == [expected] * layer.out_features
        assert ((layer.weight != 0) == (layer.mask == 1)).all()


def test_a_fan_in_beyond_the_inputs_keeps_all() -> None:
    module = module_of((4, 3, 2))
    before = [layer.weight.clone() for layer in dense_layers(module)]
    prune(module, (9, 9), random_features(4))
    for layer, weight in zip(dense_layers(module), before, strict=True):
        assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_has_the_greatest_weight_times_deviation(seed: int) -> None:
    module, x = module_of((8, 6, 5), seed), random_features(8)
    first, last = dense_layers(module)
    weights = [layer.weight.detach().clone() for layer in (first, last)]
    prune(module, (3, 2), x)
    # The second layer's inputs are those that the pruned first layer gives.
    inputs = [module[0](x), module[2](first(module[0](x))).detach()]
    for layer, weight, values, n_kept in zip((first, last), weights, inputs, (3, 2), strict=True):
        deviation = (values - values.mean(dim=0)).square().mean(dim=0).sqrt()
        for neuron, mask in zip(weight, layer.mask, strict=True):
            importance = (neuron.abs() * deviation).tolist()
            expected = sorted(range(len(importance)), key=importance.__getitem__)[-n_kept:]
            assert mask.nonzero().flatten().tolist() == sorted(expected)


def test_a_great_weight_of_a_constant_input_is_pruned() -> None:
    module = module_of((2, 1))
    (layer,) = dense_layers(module)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[9.0, 0.1]]))
    x = random_features(2)
    x[:, 0] = 0.5
    prune(module, (1,), x)
    assert layer.mask.tolist() == [[0.0, 1.0]]


def test_what_was_pruned_stays_pruned() -> None:
    module, x = module_of((8, 6, 5)), random_features(8)
    prune(module, (4, 4), x)
    masks = [layer.mask.clone() for layer in dense_layers(module)]
    with torch.no_grad():
        for layer in dense_layers(module):
            layer.weight.copy_(1.0 + 9.0 * (1.0 - layer.mask))
    for fan_in in ((6, 6), (2, 2)):
        prune(module, fan_in, x)
        for layer, mask in zip(dense_layers(module), masks, strict=True):
            assert (layer.mask <= mask).all()
            assert layer.mask.sum(dim=1).tolist() == [min(4, fan_in[0])] * layer.out_features


@pytest.mark.parametrize("training", [True, False])
def test_pruning_leaves_mode_and_statistics_alone(training: bool) -> None:
    module = module_of((4, 3, 2), batch_norm=True).train(training)
    norm = module[2]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    prune(module, (2, 2), random_features(4))
    assert module.training is training
    assert norm.training is training
    assert torch.equal(norm.running_mean, before)
