"""Scopes: which weights a codebook is made for, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nomul.network import UserError
from nomul.train.codebook import fit_codebook
from nomul.train.experiment import CodebookSettings, Experiment, NetworkSettings
from nomul.train.layers import Conv2d, ConvTranspose2d, Dense, Weighted
from nomul.train.scopes import check_codebooks, fit_codebooks


def layers_of() -> list[Weighted]:
    """Return three layers of 24, 36 and 20 weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return [Conv2d(2, 3, 2), ConvTranspose2d(3, 3, 2), Dense(10, 2)]


def experiment(network: NetworkSettings | None = None, **codebook: Any) -> Experiment:
    settings = CodebookSettings(**{"size": 5} | codebook)
    return Experiment(network=network or NetworkSettings(), codebook=settings)


SCOPES: list[tuple[dict[str, Any], list[list[int]]]] = [
    ({"scope": "network"}, [[0, 1, 2]]),
    ({"scope": "layer"}, [[0], [1], [2]]),
    ({"scope": "groups", "groups": ((2, 0), (1,))}, [[2, 0], [1]]),
]


@pytest.mark.parametrize(("settings", "scopes"), SCOPES, ids=["network", "layer", "groups"])
def test_layers_of_a_scope_share_the_codebook_of_their_weights(
    settings: dict[str, Any], scopes: list[list[int]]
) -> None:
    layers = layers_of()
    fitted = fit_codebooks(layers, experiment(**settings), 5)
    assert sorted(layers.index(layer) for layer, _ in fitted) == [0, 1, 2]
    codebooks = {layers.index(layer): codebook for layer, codebook in fitted}
    for scope in scopes:
        weights = np.concatenate([layers[n].weight.detach().numpy().ravel() for n in scope])
        expected = fit_codebook("kmeans", weights, 5)
        for number in scope:
            assert codebooks[number] is codebooks[scope[0]]
            assert codebooks[number].centres.tolist() == expected.centres.tolist()


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_a_network_without_weights_needs_no_codebook(scope: str) -> None:
    settings = experiment(scope=scope)
    check_codebooks([], settings)
    assert fit_codebooks([], settings, 5) == []


def test_pruned_weights_do_not_count() -> None:
    (layer, *_) = layers_of()
    with torch.no_grad():
        layer.mask[1:] = 0
    ((_, codebook),) = fit_codebooks([layer], experiment(), 3)
    used = layer.weight[0].detach().numpy().ravel()
    assert codebook.centres.tolist() == fit_codebook("kmeans", used, 3).centres.tolist()


def test_biases_count_where_they_are_clustered() -> None:
    (layer, *_) = layers_of()
    layer.clusters_bias = True
    assert layer.bias is not None
    nn.init.constant_(layer.bias, 7.0)
    ((_, codebook),) = fit_codebooks([layer], experiment(), 5)
    assert codebook.centres[-1] == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("settings", "network"),
    [
        ({}, NetworkSettings(fan_in=(3, 3))),
        ({}, NetworkSettings(operand_bits=9)),
        ({"zero": True}, NetworkSettings()),
    ],
    ids=["fan-in", "operand-bits", "zero"],
)
def test_zero_is_a_centre_where_weights_are_pruned_or_it_is_asked_for(
    settings: dict[str, Any], network: NetworkSettings
) -> None:
    (layer, *_) = layers_of()
    with torch.no_grad():
        layer.weight.abs_().add_(1.0)
    ((_, without),) = fit_codebooks([layer], experiment(), 5)
    assert 0 not in without.integers
    ((_, codebook),) = fit_codebooks([layer], experiment(network, **settings), 5)
    assert 0 in codebook.integers
    assert len(codebook.integers) == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(value: float) -> None:
    layers = layers_of()
    with torch.no_grad():
        layers[1].weight[0, 0, 0, 0] = value
    with pytest.raises(UserError) as error:
        fit_codebooks(layers, experiment(), 5)
    assert str(error.value) == (
        "A weight is no finite number any more: lower training.learning_rate."
    )


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        (((0, 1),), [0, 1]),
        (((0, 1), (2, 3)), [0, 1, 2, 3]),
        (((0, 1), (1, 2)), [0, 1, 1, 2]),
        (((0, 1, 3),), [0, 1, 3]),
    ],
)
def test_groups_name_each_layer_once(groups: tuple[tuple[int, ...], ...], named: list[int]) -> None:
    with pytest.raises(UserError) as error:
        check_codebooks(layers_of(), experiment(scope="groups", groups=groups))
    assert str(error.value) == (
        f"codebook.groups names the layers {named}: it must name each of the weighted layers 0 to "
        "2 once."
    )


@pytest.mark.parametrize(
    ("settings", "most", "name"),
    [
        ({"scope": "network"}, 80, "the network"),
        ({"scope": "layer"}, 20, "weighted layer 2"),
        ({"scope": "groups", "groups": ((1, 0), (2,))}, 20, "group 1"),
    ],
    ids=["network", "layer", "groups"],
)
def test_a_codebook_has_no_more_centres_than_its_scope_has_weights(
    settings: dict[str, Any], most: int, name: str
) -> None:
    check_codebooks(layers_of(), experiment(size=most, **settings))
    with pytest.raises(UserError) as error:
        check_codebooks(layers_of(), experiment(size=most + 1, **settings))
    assert str(error.value) == (
        f"A codebook of {most + 1} centres is larger than {name}, which has {most} weights: choose "
        f"a size of {most} at most."
    )


@pytest.mark.parametrize("kind", ["ternary", "bilevel", "powers_of_two"])
def test_only_the_centres_that_a_kind_uses_count(kind: str) -> None:
    check_codebooks([Dense(8, 4)], experiment(kind=kind, size=101))
