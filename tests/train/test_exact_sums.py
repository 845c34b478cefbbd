"""Sums in integers: units, biases and reach."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nomul.network import UserError
from nomul.train.codebook import Codebook
from nomul.train.exact_sums import Levels, average, residual, weighted
from nomul.train.layers import Conv1d, Conv2d, Dense
from nomul.train.weighted import Weighted

HALVES = Codebook(0.5, np.array([-2, 0, 1]))


def on(codebook: Codebook, layer: Weighted, weights: Any, bias: Any = 0.0) -> Any:
    """Return ``layer`` with these weights and biases on ``codebook``."""
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        if layer.bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    layer.fix_codebook(codebook)
    return layer


def refusal(call: Any, *arguments: Any, **more: Any) -> str:
    with pytest.raises(UserError) as refused:
        call(*arguments, **more)
    return str(refused.value)


def test_the_unit_is_that_of_centres_times_that_of_levels() -> None:
    layer = on(HALVES, Dense(2, 1), [[0.4, -0.9]], [0.3])
    sums, state = weighted(layer, Levels([0, 1, 2], 0.5), keeps_bias=True)
    assert sums.weight_index.tolist() == [[2, 0]]
    assert sums.centre.tolist() == [-2, 0, 1]
    assert sums.bias.tolist() == [1]  # 0.3 in units of 0.25
    assert (state.unit, state.bias) == (0.25, 0.0)
    assert state.reach == (1 + 2) * 2 + 1


def test_a_divided_unit_has_finer_biases() -> None:
    layer = on(HALVES, Dense(2, 1), [[0.5, -1.0]], [0.3])
    sums, state = weighted(layer, Levels([0, 1, 2], 0.5), keeps_bias=True, parts=4)
    assert sums.centre.tolist() == [-8, 0, 4]
    assert sums.bias.tolist() == [5]  # 0.3 in units of 1/16: 4.8
    assert state.unit == 0.0625
    assert state.reach == (4 + 8) * 2 + 5


def test_a_bias_may_be_left_to_the_thresholds() -> None:
    layer = on(HALVES, Dense(1, 2), [[0.5], [0.5]], [0.3, -9.0])
    sums, state = weighted(layer, Levels([0, 1], 1.0), keeps_bias=False)
    assert sums.bias.tolist() == [0, 0]
    assert isinstance(state.bias, np.ndarray)
    assert state.bias.tolist() == [[pytest.approx(0.3)], [-9.0]]
    assert state.reach == 1


def test_a_clustered_bias_is_a_centre() -> None:
    layer = on(HALVES, Dense(1, 2), [[0.5], [0.5]], [0.3, -9.0])
    layer.clusters_bias = True
    sums, _ = weighted(layer, Levels([0, 1, 2, 3], 1 / 3), keeps_bias=True)
    assert sums.bias.tolist() == [3, -6]


def test_weights_are_the_centres_that_the_forward_pass_has() -> None:
    """Also where float32 and float64 differ about which centre is nearer."""
    step = 0.1
    codebook = Codebook(step, np.array([1, 2]))
    middle = np.float32(0.15)
    around = [np.nextafter(middle, np.float32(0)), middle, np.nextafter(middle, np.float32(1))]
    layer = on(codebook, Dense(3, 1, bias=False), [around])
    sums, _ = weighted(layer, Levels([0, 1], 1.0), keeps_bias=True)
    with torch.no_grad():
        used = layer(torch.eye(3)).flatten()
    assert torch.allclose(sums.centre[sums.weight_index.flatten()].float() * step, used)


def test_a_layer_without_codebook_is_refused() -> None:
    assert refusal(weighted, Conv1d(1, 1, 1), Levels([0, 1], 1.0), keeps_bias=True) == (
        "A Conv1d layer has no fixed codebook: train the network first, or call its fix_codebook "
        "in a training loop of your own."
    )


def test_a_pruned_weight_is_the_centre_0() -> None:
    layer = on(HALVES, Dense(3, 1), [[0.5, -1.0, 0.5]])
    layer.mask.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
    sums, _ = weighted(layer, Levels([0, 1], 1.0), keeps_bias=True)
    assert sums.centre[sums.weight_index].tolist() == [[1, 0, 0]]


def test_a_pruned_weight_without_a_centre_0_is_refused() -> None:
    layer = on(Codebook(0.5, np.array([-1, 1])), Dense(2, 1), [[0.5, -0.5]])
    weighted(layer, Levels([0, 1], 1.0), keeps_bias=True)
    layer.mask[0, 1] = 0.0
    assert refusal(weighted, layer, Levels([0, 1], 1.0), keeps_bias=True) == (
        "A Dense layer has pruned weights and a codebook without 0: fit one that has 0, as "
        "codebook.zero = true does."
    )


def test_sums_beyond_32_bits_are_refused() -> None:
    levels = Levels([0, 1], 1.0)
    weight = 2**21 - 1
    layer = on(Codebook(1.0, np.array([0, weight])), Dense(1024, 1), [[float(weight)] * 1024])
    _, state = weighted(layer, levels, keeps_bias=True)
    assert state.reach == 2**31 - 1024
    layer = on(Codebook(1.0, np.array([0, 2**21])), Dense(1024, 1), [[2.0**21] * 1024])
    assert refusal(weighted, layer, levels, keeps_bias=True) == (
        "A sum may reach 2147483648, beyond the 32 bits of an accumulator: use fewer levels, a "
        "smaller codebook or a smaller fan-in."
    )


def test_a_product_beyond_32_bits_is_refused_though_no_weight_makes_it() -> None:
    """Other layers of the scope use the centre, and the product table has it for this one too."""
    layer = on(Codebook(1.0, np.array([0, 2**24])), Dense(2, 1), [[0.0, 0.0]])
    assert refusal(weighted, layer, Levels([0, 128], 1.0), keeps_bias=True) == (
        "A sum may reach 2147483648, beyond the 32 bits of an accumulator: use fewer levels, a "
        "smaller codebook or a smaller fan-in."
    )


@pytest.mark.parametrize(
    ("pool", "size", "stride"),
    [
        (nn.AvgPool1d(2), (2,), (2,)),
        (nn.AvgPool1d(3, 2), (3,), (2,)),
        (nn.AvgPool2d(2), (2, 2), (2, 2)),
        (nn.AvgPool2d((1, 3), (2, 1)), (1, 3), (2, 1)),
    ],
    ids=str,
)
def test_an_average_pool_sums_its_windows(
    pool: nn.AvgPool1d | nn.AvgPool2d, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    sums, state = average(pool, Levels([-3, -1, 1, 3], 0.5))
    n_positions = math.prod(size)
    assert sums.weight_index.shape == (1, 1, *size)
    assert sums.geometry.stride == stride
    assert state.unit == 0.5 / n_positions
    assert state.reach == 3 * n_positions
    x = torch.arange(2 * 4 ** len(size), dtype=torch.float64).view(1, 2, *(4,) * len(size))
    assert torch.allclose(sums(x) * state.unit, pool(x * 0.5))


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool1d(2, padding=1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
    ],
    ids=str,
)
def test_an_average_of_unequal_windows_is_refused(pool: Any) -> None:
    assert refusal(average, pool, Levels([0, 1], 1.0)) == (
        "An average pool to be lowered must have no padding, no ceil_mode and no divisor of its "
        "own."
    )


def test_the_identity_is_added_in_a_part_of_the_bodys_unit() -> None:
    """By hand: ternary weights of 0.5 on levels of 1/2, beside levels of 1."""
    ternary = Codebook(0.5, np.array([-1, 0, 1]))
    last = on(ternary, Dense(2, 2), [[0.5, 0.0], [-0.5, 0.5]], [0.1, 0.0])
    body, shortcut, state = residual(
        last, Levels([0, 1, 2], 0.5), nn.Identity(), Levels([-1, 0, 1], 0.9)
    )
    # The body's own unit is 1/4: 0.9 has 460.8 of its 128th parts, and would have 230.4 64ths.
    assert state.unit == 0.25 / 128
    assert body.centre.tolist() == [-128, 0, 128]
    assert body.bias.tolist() == [51, 0]  # 0.1 * 512 = 51.2
    levels = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    assert shortcut(levels).tolist() == [[-461, 461]]
    assert state.reach == (2 * 128 * 2) + 461  # the second neuron's, which has no bias


@pytest.mark.parametrize(("own", "unit"), [(1.0, 0.25), (0.125, 0.125), (0.5, 0.25)])
def test_an_identity_in_whole_units_needs_no_finer_ones(own: float, unit: float) -> None:
    last = on(Codebook(0.5, np.array([-1, 1])), Dense(1, 1), [[0.5]])
    _, shortcut, state = residual(last, Levels([0, 1], 0.5), nn.Identity(), Levels([-1, 3], own))
    assert state.unit == unit
    x = torch.tensor([[3.0]], dtype=torch.float64)
    assert shortcut(x).item() * state.unit == 3 * own


def test_a_fine_codebook_keeps_its_unit() -> None:
    """Then the shortcut's level values are rounded, in units far smaller than theirs."""
    fine = Codebook(1e-4, np.array([-2000, 0, 2000]))
    last = on(fine, Conv2d(1, 1, 1), [[[[0.2]]]])
    body, shortcut, state = residual(last, Levels([0, 1], 1.0), nn.Identity(), Levels([0, 3], 0.1))
    assert state.unit == 1e-4
    assert body.centre.tolist() == [-2000, 0, 2000]
    x = torch.tensor([[[[3.0]]]], dtype=torch.float64)
    assert shortcut(x).tolist() == [[[[3000]]]]


@pytest.mark.parametrize("step", [0.5, 0.001], ids=["coarse", "fine"])
def test_a_projection_of_small_integers_is_divided_finely(step: float) -> None:
    last = on(Codebook(step, np.array([-1, 0, 1])), Dense(2, 2), [[step, 0.0], [0.0, -step]])
    projection = on(Codebook(0.3, np.array([-1, 0, 2])), Dense(1, 2), [[0.6], [-0.3]], [0.7, -0.4])
    source = Levels([-1, 0, 1], 0.5)
    body, shortcut, state = residual(last, Levels([0, 1], 1.0), projection, source)
    x = torch.tensor([[1.0], [-1.0], [0.0]], dtype=torch.float64)
    expected = torch.tensor([[1.0, -0.55], [0.4, -0.25], [0.7, -0.4]])
    assert state.unit <= 0.15 / 128
    # Half a unit for the centre and half a unit for the bias.
    assert torch.allclose((shortcut(x) * state.unit).float(), expected, atol=state.unit)
    assert torch.equal(shortcut.centre, shortcut.centre.round())
    assert torch.equal(shortcut.bias, shortcut.bias.round())
    assert torch.allclose(body.centre * state.unit, torch.tensor([-step, 0, step]).double())


def test_one_codebook_for_body_and_projection_needs_no_other_unit() -> None:
    codebook = Codebook(0.01, np.array([-100, 0, 37]))
    last = on(codebook, Dense(1, 1), [[0.37]])
    projection = on(codebook, Dense(1, 1), [[-1.0]])
    body, shortcut, state = residual(
        last, Levels([0, 1], 0.25), projection, Levels([-1, 0, 1], 0.75)
    )
    assert state.unit == 0.01 * 0.25
    assert body.centre.tolist() == [-100, 0, 37]
    assert shortcut.centre.tolist() == [-300, 0, 111]


@pytest.mark.parametrize("size", [100, 2047])
def test_a_projection_of_large_integers_is_divided_coarsely(size: int) -> None:
    """They are on a fine grid already."""
    last = on(Codebook(0.01, np.array([-2000, 1])), Dense(1, 1), [[0.01]])
    projection = on(Codebook(0.01 / 0.7, np.array([-size, 0, 1])), Dense(1, 1), [[-1.0]])
    levels = Levels([0, 1], 1.0)
    _, shortcut, state = residual(last, levels, projection, levels)
    assert state.unit == 0.01 / 4  # 1/0.7 of the body's: in 2 parts it were 2.9 of them
    assert shortcut.centre.tolist() == [round(-size * 4 / 0.7), 0, round(4 / 0.7)]


def test_no_unit_is_finer_than_that_of_the_finest_codebook() -> None:
    last = on(Codebook(1.0, np.array([-5000, 1])), Dense(1, 1), [[1.0]])
    tiny = on(Codebook(1e-6, np.array([-1, 1])), Dense(1, 1), [[1e-6]])
    levels = Levels([0, 1], 1.0)
    body, shortcut, state = residual(last, levels, tiny, levels)
    assert body.centre.tolist() == [-20000, 4]
    assert state.unit == 0.25
    assert shortcut.centre.tolist() == [0, 0]


def test_a_shortcut_of_another_kind_is_refused() -> None:
    last = on(HALVES, Dense(1, 1), [[0.5]])
    levels = Levels([0, 1], 1.0)
    assert refusal(residual, last, levels, nn.ReLU(), levels) == (
        "A residual's shortcut is a ReLU: to be lowered it must be a weighted layer or nn.Identity."
    )


def test_both_branches_together_stay_in_32_bits() -> None:
    big = Codebook(1.0, np.array([0, 2**21]))
    last = on(big, Dense(512, 1), [[2.0**21] * 512])
    levels = Levels([0, 1], 1.0)
    residual(last, levels, nn.Identity(), Levels([0, 1], 2.0**29))
    assert refusal(residual, last, levels, nn.Identity(), Levels([0, 1], 2.0**30)) == (
        "A sum may reach 2147483648, beyond the 32 bits of an accumulator: use fewer levels, a "
        "smaller codebook or a smaller fan-in."
    )
