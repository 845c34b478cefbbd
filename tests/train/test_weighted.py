"""What all layers with weights have in common."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nomul.train.codebook import Codebook
from nomul.train.layers import Conv1d, Conv2d, ConvTranspose2d, Dense
from nomul.train.weighted import Weighted, weighted_layers

CODEBOOK = Codebook(0.25, np.array([-2, 0, 1]))

# Every kind, with the shape of one sample that it takes.
LAYERS: list[tuple[Weighted, tuple[int, ...]]] = [
    (Dense(3, 2), (3,)),
    (Dense(3, 2, bias=False), (3,)),
    (Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (4, 7)),
    (Conv2d(4, 6, 2, groups=2), (4, 5, 5)),
    (Conv2d(3, 6, 3, padding=1, groups=3, bias=False), (3, 4, 4)),
    (ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (4, 3, 3)),
    (ConvTranspose2d(4, 6, 2, groups=2), (4, 3, 3)),
]
every_layer = pytest.mark.parametrize(
    ("layer", "shape"),
    LAYERS,
    ids=[f"{n}-{type(layer).__name__}" for n, (layer, _) in enumerate(LAYERS)],
)


def layer_of(weights: list[list[float]], bias: float = 0.0) -> Dense:
    layer = Dense(len(weights[0]), len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.fill_(bias)
    return layer


def inputs_of(shape: tuple[int, ...], n_samples: int = 2) -> Tensor:
    return torch.randn(n_samples, *shape, generator=torch.Generator().manual_seed(0))


@every_layer
def test_without_a_codebook_a_layer_is_that_of_pytorch(
    layer: Weighted, shape: tuple[int, ...]
) -> None:
    x = inputs_of(shape)
    base: Any = type(layer).__mro__[2]
    assert base.__module__.startswith("torch.nn")
    with torch.no_grad():
        assert torch.equal(layer(x), base.forward(layer, x))


@every_layer
def test_with_a_codebook_all_weights_are_centres(layer: Weighted, shape: tuple[int, ...]) -> None:
    """A weight is what one input of 1 gives: so is each that the layer really uses."""
    layer = copy.deepcopy(layer)
    layer.fix_codebook(CODEBOOK)
    with torch.no_grad():
        zero = layer(torch.zeros(1, *shape))
        one = torch.eye(int(np.prod(shape))).view(-1, *shape)
        found = (layer(one) - zero).unique().tolist()
    expected = CODEBOOK.centres[CODEBOOK.nearest(layer.weight.detach().numpy())]
    allowed = np.unique([0.0, *expected.ravel()])
    assert all(np.abs(allowed - value).min() < 1e-6 for value in found)
    assert len(found) > 1


@every_layer
def test_a_row_for_each_neuron_holds_the_weights_of_its_sum(
    layer: Weighted, shape: tuple[int, ...]
) -> None:
    """A sum depends on its own row alone."""
    layer = copy.deepcopy(layer)
    x = inputs_of(shape)
    rows = layer.by_neuron(layer.weight.detach()).clone()
    assert torch.equal(layer.from_neurons(rows), layer.weight)
    before = layer(x).detach()
    for neuron in range(before.shape[1]):
        changed = rows.clone()
        changed[neuron] += 1.0
        with torch.no_grad():
            layer.weight.copy_(layer.from_neurons(changed))
            difference = (layer(x) - before).abs().reshape(len(x), before.shape[1], -1)
        assert difference.amax(dim=(0, 2)).gt(1e-4).nonzero().flatten().tolist() == [neuron]


@every_layer
def test_the_spread_of_an_input_meets_the_weights_that_it_meets(
    layer: Weighted, shape: tuple[int, ...]
) -> None:
    """With one channel alone off 0, only its weights change anything."""
    n_channels = shape[0]
    layer = copy.deepcopy(layer)
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.zero_()
    for channel in range(n_channels):
        spread = torch.zeros(n_channels)
        spread[channel] = 1.0
        its_own = layer.input_importance(spread).expand_as(layer.weight) > 0
        x = torch.zeros(1, *shape)
        x[:, channel] = 1.0
        with torch.no_grad():
            whole = layer(x)
            layer.mask.copy_(its_own.float())
            assert torch.allclose(layer(x), whole, atol=1e-6)
            layer.mask.copy_((~its_own).float())
            assert torch.equal(layer(x), torch.zeros_like(whole))
            layer.mask.fill_(1.0)


def test_a_masked_weight_does_not_count() -> None:
    layer = layer_of([[1.0, 2.0], [3.0, 4.0]])
    layer.mask.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert layer(torch.ones(1, 2)).tolist() == [[1.0, 4.0]]
    assert layer.used_weights().tolist() == [1.0, 4.0]
    assert layer.used_weights().dtype == np.float32


@pytest.mark.parametrize("clusters_bias", [False, True])
def test_biases_are_apart_or_with_the_weights(clusters_bias: bool) -> None:
    layer = layer_of([[0.1, 0.2]], bias=0.7)
    layer.clusters_bias = clusters_bias
    expected = [0.1, 0.2, 0.7] if clusters_bias else [0.1, 0.2]
    assert layer.used_weights().tolist() == pytest.approx(expected)
    layer.fix_codebook(CODEBOOK)
    assert layer(torch.zeros(1, 2)).item() == pytest.approx(0.25 if clusters_bias else 0.7)
    assert layer.bias.tolist() == pytest.approx([0.7])
    layer.cluster(CODEBOOK)
    assert layer.bias.tolist() == pytest.approx([0.25 if clusters_bias else 0.7])


def test_a_fixed_codebook_gives_the_nearest_centres() -> None:
    layer = layer_of([[0.1, 0.2, -0.3, -9.0]])
    layer.fix_codebook(CODEBOOK)
    assert layer(torch.eye(4))[:, 0].tolist() == [0.0, 0.25, -0.5, -0.5]
    assert layer.weight.tolist() == [pytest.approx([0.1, 0.2, -0.3, -9.0])]
    assert layer.centre_numbers(layer.weight).tolist() == [[1, 2, 0, 0]]


def test_the_gradient_goes_straight_to_the_weights_beneath() -> None:
    layer = layer_of([[0.1, 0.2, -0.3]])
    layer.mask.copy_(torch.tensor([[1.0, 1.0, 0.0]]))
    layer.clusters_bias = True
    layer.fix_codebook(CODEBOOK)
    layer(torch.tensor([[2.0, 3.0, 4.0]])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2.0, 3.0, 0.0]]
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [1.0]


def test_clustering_replaces_the_weights_and_leaves_training_free() -> None:
    layer = layer_of([[0.1, 0.2, -0.3, -9.0]])
    layer.mask.copy_(torch.tensor([[1.0, 1.0, 1.0, 0.0]]))
    layer.cluster(CODEBOOK)
    assert layer.weight.tolist() == [[0.0, 0.25, -0.5, 0.0]]
    assert layer.codebook is None


def test_half_way_both_ways_go_to_the_greater_centre() -> None:
    layer = layer_of([[-0.25, 0.125]])
    layer.fix_codebook(CODEBOOK)
    assert layer(torch.eye(2))[:, 0].tolist() == [0.0, 0.25]
    layer.cluster(CODEBOOK)
    assert layer.weight.tolist() == [[0.0, 0.25]]


def test_weights_in_another_order_in_memory_are_clustered_alike() -> None:
    layer = Conv2d(3, 4, 3)
    expected = CODEBOOK.centres[CODEBOOK.nearest(layer.weight.detach().numpy())]
    layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layer.cluster(CODEBOOK)
    assert layer.weight.tolist() == expected.tolist()


@pytest.mark.parametrize("codebook", [None, CODEBOOK], ids=["free", "fixed"])
@pytest.mark.parametrize("before", [None, Codebook(1.0, np.array([-1, 1]))], ids=["free", "fixed"])
def test_the_state_dict_has_mask_and_codebook(
    before: Codebook | None, codebook: Codebook | None
) -> None:
    layer, other = layer_of([[0.1, -0.3]]), layer_of([[1.0, 1.0]])
    layer.mask.copy_(torch.tensor([[1.0, 0.0]]))
    if codebook is not None:
        layer.fix_codebook(codebook)
    if before is not None:
        other.fix_codebook(before)
    other.load_state_dict(layer.state_dict())
    assert (other.codebook is None) == (codebook is None)
    if codebook is not None and other.codebook is not None:
        assert other.codebook.step == codebook.step
        assert other.codebook.integers.tolist() == codebook.integers.tolist()
        assert other.codebook.integers.dtype == np.int64
    x = torch.tensor([[1.0, 2.0]])
    assert torch.equal(other(x), layer(x))


def test_the_codebook_goes_where_the_weights_go() -> None:
    layer = layer_of([[0.1, -0.3]])
    layer.fix_codebook(CODEBOOK)
    moved = copy.deepcopy(layer).to("meta")
    assert moved(torch.zeros(1, 2, device="meta")).shape == (1, 1)
    assert "_centres" not in layer.state_dict()
    assert layer.double()(torch.ones(1, 2, dtype=torch.float64)).item() == -0.5


def test_layers_with_weights_are_found_in_order() -> None:
    first, second, third = Dense(2, 2), Conv2d(1, 1, 1), Dense(1, 1)
    module = nn.Sequential(first, nn.ReLU(), nn.Sequential(second, nn.Linear(2, 2)), third)
    found = weighted_layers(module)
    assert all(one is other for one, other in itertools.zip_longest(found, [first, second, third]))


def test_layers_show_how_many_centres_they_have() -> None:
    layer = Dense(3, 2)
    assert repr(layer) == "Dense(in_features=3, out_features=2, bias=True, weights: free)"
    layer.fix_codebook(CODEBOOK)
    assert repr(layer) == "Dense(in_features=3, out_features=2, bias=True, weights: 3 centres)"
    assert repr(Conv2d(1, 2, 3)) == (
        "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), weights: free)"
    )
