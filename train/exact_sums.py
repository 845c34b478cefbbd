"""Sums of exact mode: weighted layers, average pools and residuals in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nomul.network import UserError
from nomul.train.exact_layers import ExactSums, Geometry, geometry_of
from nomul.train.layers import Weighted
from nomul.train.lookup import ClassSum

__all__ = ["Levels", "Sums", "average", "class_sum", "float64", "residual", "weighted"]

SHORTCUT_STEPS = 256
"""Parts into which the common unit of a residual divides a shortcut's level value, or its codebook
of small integers."""

GRID_STEPS = 4
"""Parts into which it divides the grid of a shortcut's codebook, at least: the rounding error of
its centres grows by a 16th of itself."""

FINEST = 2**15
"""What a residual's common unit makes of its body's largest centre at most: no codebook's own grid
is finer."""


@dataclass(frozen=True)
class Levels:
    """Levels in flight: their integer values, and what 1 among these stands for."""

    level_value: list[int]
    unit: float

    @property
    def largest(self) -> int:
        """The largest magnitude of a level value."""
        return max(map(abs, self.level_value))


@dataclass(frozen=True)
class Sums:
    """Accumulators in flight: what 1 among them stands for, and how far they reach.

    ``bias`` is what thresholds are yet to absorb, shape (neurons, 1).
    """

    unit: float
    reach: float
    bias: NDArray[np.float64] | float = 0.0


def weighted(
    layer: Weighted, source: Levels, *, keeps_bias: bool, parts: int = 1
) -> tuple[ExactSums, Sums]:
    """Return ``layer`` in integers.

    Parameters
    ----------
    keeps_bias
        Whether the bias is rounded to whole units, or left to the thresholds behind.
    parts
        Into how many the unit, that of the centres times that of the level values, is divided.

    Raises
    ------
    UserError
        If the layer has no codebook, or a pruned weight no centre that is 0, or a sum may leave
        the integers of 32 bits.
    """
    index, bias = _index_and_bias(layer)
    assert layer.codebook is not None, "the index is one of its centres"
    unit = layer.codebook.step * source.unit / parts
    whole = np.rint(bias / unit) if keeps_bias else np.zeros_like(bias)
    centre = float64(layer.codebook.integers * parts)
    sums = ExactSums(geometry_of(layer), index, centre, float64(whole))
    reach = _checked(_reach(sums, layer, source), sums, source.largest)
    return sums, Sums(unit, reach, 0.0 if keeps_bias else bias[:, None])


def average(layer: nn.AvgPool1d | nn.AvgPool2d, source: Levels) -> tuple[ExactSums, Sums]:
    """Return the sum over each window, as a depthwise convolution whose one centre is 1.

    Raises
    ------
    UserError
        If the windows are not all of the same number of positions, or another number divides.
    """
    dimensions = 1 if isinstance(layer, nn.AvgPool1d) else 2
    size, stride, padding = (
        value if isinstance(value, tuple) else (value,) * dimensions
        for value in (layer.kernel_size, layer.stride, layer.padding)
    )
    if any(padding) or layer.ceil_mode or getattr(layer, "divisor_override", None):
        raise UserError(
            "An average pool to be lowered must have no padding, no ceil_mode and no divisor of "
            "its own."
        )
    sums = _the_same(dimensions, size, stride)
    n_positions = math.prod(size)
    reach = _checked(n_positions * source.largest, sums, source.largest)
    return sums, Sums(source.unit / n_positions, reach)


def class_sum(layer: ClassSum, source: Levels) -> tuple[ExactSums, Sums]:
    """Return the sum of each class's levels, as a dense layer whose centres are 0 and 1."""
    member = layer.member.cpu()
    sums = ExactSums(Geometry("dense"), member, float64([0, 1]), float64(np.zeros(len(member))))
    reach = _checked(float(member.sum(dim=1).max()) * source.largest, sums, source.largest)
    return sums, Sums(source.unit / layer.temperature, reach)


def residual(
    last: Weighted, levels: Levels, shortcut: nn.Module, source: Levels
) -> tuple[ExactSums, ExactSums, Sums]:
    """Return the last layer of a residual's body, and its shortcut, in one unit.

    The unit is the body's divided by a power of two, so that the body's centres stay integers. The
    shortcut's level values or centres are rounded to that unit. The power is the least with which
    the rounding leaves them as they are, or the unit is small beside them (:data:`SHORTCUT_STEPS`,
    :data:`GRID_STEPS`), as far as :data:`FINEST` allows.

    Parameters
    ----------
    levels, source
        What the body's last layer and what the shortcut gets.

    Raises
    ------
    UserError
        As :func:`weighted`, or if the shortcut is neither a weighted layer nor nn.Identity.
    """
    coarse_sums, coarse = weighted(last, levels, keeps_bias=True)
    own_unit, steps = source.unit, SHORTCUT_STEPS
    if isinstance(shortcut, Weighted):
        straight_sums, straight = weighted(shortcut, source, keeps_bias=True)
        own_unit = straight.unit
        steps = max(GRID_STEPS, SHORTCUT_STEPS // _largest_centre(straight_sums))
    elif not isinstance(shortcut, nn.Identity):
        raise UserError(
            f"A residual's shortcut is a {type(shortcut).__name__}: to be lowered it must be a "
            "weighted layer or nn.Identity."
        )
    ratio = own_unit / coarse.unit
    parts = 1
    while not _is_fine(ratio * parts, steps) and 2 * parts * _largest_centre(coarse_sums) <= FINEST:
        parts *= 2
    body, sums = weighted(last, levels, keeps_bias=True, parts=parts)
    ratio = own_unit / sums.unit
    if isinstance(shortcut, Weighted):
        branch = _shortcut(shortcut, ratio, sums.unit)
        reach = _reach(branch, shortcut, source)
        largest = source.largest
    else:
        dimensions = last.weight.ndim - 2
        branch = _the_same(dimensions, (1,) * dimensions, (1,) * dimensions, rescale=ratio)
        reach = largest = round(source.largest * ratio)
    return body, branch, Sums(sums.unit, _checked(sums.reach + reach, branch, largest))


def float64(values: NDArray[np.float64] | NDArray[np.int64] | list[int]) -> Tensor:
    """Return ``values`` as a tensor of float64."""
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def _index_and_bias(layer: Weighted) -> tuple[Tensor, NDArray[np.float64]]:
    """Return the numbers of the weights' centres, and the biases, as the forward pass has them."""
    name = f"A {type(layer).__name__} layer"
    if layer.codebook is None:
        raise UserError(
            f"{name} has no fixed codebook: train the network first, or call its "
            "fix_codebook in a training loop of your own."
        )
    mask = layer.mask.cpu()
    index = layer.centre_numbers(layer.weight * layer.mask).cpu()
    if layer.codebook.integers[index[mask == 0].numpy()].any():
        raise UserError(
            f"{name} has pruned weights and a codebook without 0: fit one that has 0, as "
            "codebook.zero = true does."
        )
    if layer.bias is None:
        return index, np.zeros(len(layer.by_neuron(layer.weight)))
    if layer.clusters_bias:
        numbers = layer.centre_numbers(layer.bias).cpu().numpy()
        return index, layer.codebook.centres[numbers]
    bias: NDArray[np.float64] = layer.bias.detach().cpu().double().numpy()
    return index, bias


def _is_fine(ratio: float, steps: int) -> bool:
    """Return whether integers of ``ratio`` units each are as good as exact, or small enough."""
    return ratio >= steps or (ratio > 0.5 and abs(ratio - round(ratio)) <= 1e-9 * ratio)


def _largest_centre(sums: ExactSums) -> int:
    return max(1, int(sums.centre.abs().max()))


def _shortcut(layer: Weighted, ratio: float, unit: float) -> ExactSums:
    """Return ``layer`` with its centres, ``ratio`` units each, and its bias in whole ``unit``."""
    index, bias = _index_and_bias(layer)
    assert layer.codebook is not None, "the index is one of its centres"
    centre = np.rint(layer.codebook.integers * ratio)
    return ExactSums(geometry_of(layer), index, float64(centre), float64(np.rint(bias / unit)))


def _the_same(
    dimensions: int, size: tuple[int, ...], stride: tuple[int, ...], rescale: float = 1.0
) -> ExactSums:
    """Return a depthwise convolution without padding all of whose weights are 1."""
    return ExactSums(
        Geometry("conv", stride, (0,) * dimensions, groups=None),
        torch.zeros(1, 1, *size, dtype=torch.int64),
        float64([1]),
        float64([0]),
        rescale=rescale,
    )


def _reach(sums: ExactSums, layer: Weighted, source: Levels) -> float:
    """Return how far from 0 any partial sum of any neuron can get."""
    total = torch.zeros(len(sums.bias), dtype=torch.float64)
    rows = layer.by_neuron(sums.weight_index)
    for start in range(0, len(rows), 1024):  # AlexNet's weights as float64 would take half a GB
        total[start : start + 1024] = sums.centre.abs()[rows[start : start + 1024]].sum(dim=1)
    return float((total * source.largest + sums.bias.abs()).max())


def _checked(reach: float, sums: ExactSums, largest_level: int) -> float:
    """Return ``reach`` if it, and what the product table has of all centres, are 32-bit integers.

    A centre need not be one that the layer uses.
    """
    product = float(_largest_centre(sums) * largest_level)
    if max(reach, product) >= 2**31 - 1:
        raise UserError(
            f"A sum may reach {max(reach, product):.0f}, beyond the 32 bits of an accumulator: use "
            "fewer levels, a smaller codebook or a smaller fan-in."
        )
    return reach
