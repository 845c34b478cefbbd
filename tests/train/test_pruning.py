"""Pruning to a fan-in and to a total cost, by importance."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nomul.train.activations import SignD, TanhD
from nomul.train.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    InputLevels,
    Residual,
    Weighted,
    weighted_layers,
)
from nomul.train.pruning import least_operand_bits, operand_bits, prune, prune_to_cost


def module_of(sizes: tuple[int, ...], seed: int = 0, *, batch_norm: bool = False) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules: list[nn.Module] = [InputLevels.uniform(0.0, 1.0, 16)]
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
    for layer, expected in zip(weighted_layers(module), fan_in, strict=True):
        assert layer.mask.sum(dim=1).tolist() == [expected] * len(layer.weight)
        assert ((layer.weight != 0) == (layer.mask == 1)).all()


def test_a_fan_in_beyond_the_inputs_keeps_all() -> None:
    module = module_of((4, 3, 2))
    before = [layer.weight.clone() for layer in weighted_layers(module)]
    prune(module, (9, 9), random_features(4))
    for layer, weight in zip(weighted_layers(module), before, strict=True):
        assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_has_the_greatest_weight_times_deviation(seed: int) -> None:
    module, x = module_of((8, 6, 5), seed), random_features(8)
    first, last = weighted_layers(module)
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
    (layer,) = weighted_layers(module)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[9.0, 0.1]]))
    x = random_features(2)
    x[:, 0] = 0.5
    prune(module, (1,), x)
    assert layer.mask.tolist() == [[0.0, 1.0]]


def test_what_was_pruned_stays_pruned() -> None:
    module, x = module_of((8, 6, 5)), random_features(8)
    prune(module, (4, 4), x)
    masks = [layer.mask.clone() for layer in weighted_layers(module)]
    with torch.no_grad():
        for layer in weighted_layers(module):
            layer.weight.copy_(1.0 + 9.0 * (1.0 - layer.mask))
    for fan_in in ((6, 6), (2, 2)):
        prune(module, fan_in, x)
        for layer, mask in zip(weighted_layers(module), masks, strict=True):
            assert (layer.mask <= mask).all()
            assert layer.mask.sum(dim=1).tolist() == [min(4, fan_in[0])] * len(layer.weight)


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


KERNELS: dict[str, tuple[Callable[[], Weighted], tuple[int, ...]]] = {
    "conv": (lambda: Conv2d(4, 6, 3), (4, 5, 6)),
    "grouped": (lambda: Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 6)),
    "depthwise": (lambda: Conv2d(4, 4, 3, groups=4, stride=2), (4, 5, 6)),
    "transpose": (lambda: ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 6)),
    "grouped-transpose": (lambda: ConvTranspose2d(4, 6, 2, groups=2), (4, 5, 6)),
    "time": (lambda: Conv1d(4, 6, 3, groups=2), (4, 9)),
}


def kernel_of(name: str) -> tuple[Weighted, Tensor]:
    """Return a layer, and inputs whose channels spread differently."""
    make, shape = KERNELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        x = torch.randint(0, 4, (50, *shape)).float()
        spread = torch.tensor([0.1, 2.0, 0.7, 1.3])
        return make(), x * spread.view(-1, *(1,) * (len(shape) - 1))


def inputs_of_neurons(layer: Weighted) -> list[list[tuple[tuple[int, ...], int]]]:
    """Return for each channel out the places of its weights, and the channel in of each.

    As PyTorch documents its weights: a convolution's are (out, in / groups, kernel), a transposed
    one's (in, out / groups, kernel); group g joins the g-th parts of both.
    """
    assert isinstance(layer, Conv1d | Conv2d | ConvTranspose2d)
    groups, n_in, n_out = layer.groups, layer.in_channels, layer.out_channels
    found = []
    for out in range(n_out):
        group = out // (n_out // groups)
        members = range(group * (n_in // groups), (group + 1) * (n_in // groups))
        places = []
        for channel in members:
            first = (out, channel - members[0])
            if isinstance(layer, ConvTranspose2d):
                first = (channel, out - group * (n_out // groups))
            kernel = map(range, layer.weight.shape[2:])
            places += [((*first, *place), channel) for place in itertools.product(*kernel)]
        found.append(places)
    return found


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n_kept", [1, 3, 100])
def test_a_channel_keeps_the_weights_of_its_kernel_that_matter_most(name: str, n_kept: int) -> None:
    layer, x = kernel_of(name)
    deviation = x.double().transpose(0, 1).flatten(1).std(dim=1).tolist()
    weight = layer.weight.detach().clone()
    prune(nn.Sequential(layer), (n_kept,), x)
    assert ((layer.weight != 0) == (layer.mask == 1)).all()
    n_places = 0
    for places in inputs_of_neurons(layer):
        ranked = sorted(
            places, key=lambda entry: abs(float(weight[entry[0]])) * deviation[entry[1]]
        )
        expected = {place for place, _ in ranked[-n_kept:]}
        assert {place for place, _ in places if layer.mask[place]} == expected
        n_places += len(places)
    assert n_places == weight.numel()


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_costs_its_weights_at_every_position(name: str) -> None:
    layer, x = kernel_of(name)
    x = x.sign()  # two levels: one bit
    weights, sides = layer.weight.numel(), x.shape[2:]
    positions = {
        "conv": 3 * 4,
        "grouped": 5 * 6,
        "depthwise": 2 * 2,
        "transpose": 5 * 6,
        "grouped-transpose": 5 * 6,
        "time": 7,
    }[name]
    assert operand_bits(nn.Sequential(layer), x) == weights * positions
    assert least_operand_bits(nn.Sequential(layer), x) == positions
    prune(nn.Sequential(layer), (2,), x)
    n_neurons = layer.weight.shape[0]
    if isinstance(layer, ConvTranspose2d):
        n_neurons = layer.out_channels
    assert operand_bits(nn.Sequential(layer), x) == 2 * n_neurons * positions, sides


@pytest.mark.parametrize(("levels", "bits"), [(2, 1), (3, 2), (4, 2), (5, 3), (16, 4), (17, 5)])
def test_an_operand_is_as_wide_as_the_levels(levels: int, bits: int) -> None:
    layer = Dense(levels, 5)
    x = torch.arange(levels).float().expand(levels, levels).clone()
    assert operand_bits(nn.Sequential(layer), x) == levels * 5 * bits


def test_all_layers_add_up() -> None:
    # 16 levels in: 4 bits; 32 levels of tanhD, not all of them met: 5 bits or fewer.
    module, x = module_of((8, 6, 5)), random_features(8)
    met = len(torch.unique(module[:3](x)))
    assert 16 < met <= 32
    assert operand_bits(module, x) == 8 * 6 * 4 + 6 * 5 * 5


def two_layers(seed: int) -> tuple[nn.Sequential, Tensor]:
    """Return 12 weights that meet 2 bits each, and 6 that meet one bit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(Dense(4, 3), SignD(2), Dense(3, 2))
        return module, torch.randint(0, 4, (60, 4)).float()


@pytest.mark.parametrize("budget", [0, 1, 2, 7, 15, 16, 29, 30, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_the_weights_of_most_worth_are_kept_as_far_as_the_budget_goes(
    seed: int, budget: int
) -> None:
    module, x = two_layers(seed)
    first, _, last = module
    worth: list[tuple[float, int, Weighted, int, int]] = []
    for layer, values, cost in ((first, x, 2), (last, module[:2](x).detach(), 1)):
        assert isinstance(layer, Dense)
        variance = (layer.weight.detach() * values.std(dim=0)).square().double()
        share = variance / variance.sum(dim=1, keepdim=True)
        worth += [
            (float(share[row, column]) / cost, cost, layer, row, column)
            for row, column in itertools.product(*map(range, share.shape))
        ]
    worth.sort(key=lambda entry: -entry[0])
    expected, spent = set(), 0
    for _, cost, layer, row, column in worth:
        if spent + cost > budget:
            break
        spent += cost
        expected.add((id(layer), row, column))
    prune_to_cost(module, budget, x)
    kept = {
        (id(layer), row, column)
        for layer in weighted_layers(module)
        for row, column in layer.mask.nonzero().tolist()
    }
    assert kept == expected
    for layer in weighted_layers(module):
        assert ((layer.weight != 0) == (layer.mask == 1)).all()
    # What is left of the first layer decides on the levels that the last one meets.
    levels = len(torch.unique(module[:2](x)))
    if levels == 2:
        assert operand_bits(module, x) == spent <= budget


def test_what_is_cheap_is_kept_before_what_is_dear() -> None:
    # A weight is a half of its sum in the kernel, at 16 positions, and a sixteenth in the dense
    # layer: 1/32 a bit and 1/16 a bit.
    module = nn.Sequential(Conv2d(2, 1, 1), SignD(2), nn.Flatten(), Dense(16, 1))
    for layer in weighted_layers(module):
        nn.init.ones_(layer.weight)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2, (100, 2, 4, 4), generator=generator).float() - 0.5
    prune_to_cost(module, 31, x)
    kernel, dense = weighted_layers(module)
    assert kernel.mask.sum() == 0
    assert dense.mask.sum() == 16


def test_what_was_pruned_to_a_cost_stays_pruned() -> None:
    module, x = two_layers(0)
    prune_to_cost(module, 12, x)
    masks = [layer.mask.clone() for layer in weighted_layers(module)]
    with torch.no_grad():
        for layer in weighted_layers(module):
            layer.weight.copy_(1.0 + 9.0 * (1.0 - layer.mask))
    for budget in (20, 6):
        prune_to_cost(module, budget, x)
        for layer, mask in zip(weighted_layers(module), masks, strict=True):
            assert (layer.mask <= mask).all()
    assert 0 < sum(int(layer.mask.sum()) for layer in weighted_layers(module)) <= 6


def residual() -> tuple[nn.Sequential, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        body = nn.Sequential(
            Conv2d(2, 3, 3, padding=1), SignD(2), Conv2d(3, 4, 3, stride=2, padding=1)
        )
        block = Residual(body, Conv2d(2, 4, 1, stride=2, bias=False))
        plain = Residual(nn.Sequential(Conv2d(4, 4, 1)), nn.Identity())
        module = nn.Sequential(block, SignD(2), plain, SignD(2), nn.Flatten(), Dense(36, 2))
        return module, torch.randint(0, 4, (40, 2, 6, 6)).float()


def test_a_shortcut_with_weights_is_pruned_as_any_layer() -> None:
    module, x = residual()
    assert [tuple(layer.weight.shape) for layer in weighted_layers(module)] == [
        (3, 2, 3, 3),
        (4, 3, 3, 3),
        (4, 2, 1, 1),
        (4, 4, 1, 1),
        (2, 36),
    ]
    # Bits, weights and positions of each; an identity costs nothing.
    everything = 2 * 54 * 36 + 108 * 9 + 2 * 8 * 9 + 16 * 9 + 72
    assert operand_bits(module, x) == everything
    assert least_operand_bits(module, x) == 36 + 9 + 9 + 9 + 1
    prune(module, (5, 7, 1, 3, 20), x)
    for layer, fan_in in zip(weighted_layers(module), (5, 7, 1, 3, 20), strict=True):
        assert layer.mask.flatten(1).sum(dim=1).tolist() == [fan_in] * len(layer.weight)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_residual_network_keeps_to_its_budget(share: float) -> None:
    module, x = residual()
    budget = int(share * operand_bits(module, x))
    prune_to_cost(module, budget, x)
    assert budget - 72 <= operand_bits(module, x) <= budget, "the dearest weight costs 72"
