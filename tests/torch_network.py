"""A ``Network`` in PyTorch's own operations: what the golden model and all hardware must equal.

For each weight value, the levels become its products, and PyTorch's layer adds those up that meet a
weight of that value. Sums are in float64, exact as long as a layer has fewer than 2**22 products.
Nothing is shared with the golden model or the hardware but the network's tables.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Layer,
    Lookup,
    MaxPool2d,
    Network,
)
from nomul.network.layers import Weighted

__all__ = ["torch_answers", "torch_input_levels", "torch_outcomes"]


def torch_input_levels(network: Network, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the levels that features make, shape (samples, inputs)."""
    source = network.input
    reached = torch.from_numpy(features)[..., None] >= torch.tensor(source.thresholds)
    # (samples, channels, ..., thresholds): bits lie beside their channel.
    levels = reached.movedim(-1, 2) if source.encoding == "thermometer" else reached.sum(-1)
    return levels.flatten(1).long().numpy()


def torch_answers(network: Network, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what the network answers to levels, shape (samples,) or (samples, outputs)."""
    for outcome in torch_outcomes(network, levels):
        flat = torch.from_numpy(outcome).flatten(1)
    return (flat.argmax(1) if network.output.kind == "class" else flat).numpy()


def torch_outcomes(network: Network, levels: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield what each layer gives, shape (samples, channels, height, width)."""
    torch.set_num_threads(1)  # tensors this small only wait for each other on more
    grid = torch.from_numpy(levels).reshape(len(levels), *_seen(network.input.level_shape))
    grids, counts = {"input": grid}, {"input": network.input.n_levels}
    for number, layer in enumerate(network.layers):
        sources = [grids[source] for source in layer.sources]
        grid, n_levels = _through(layer, sources, counts[layer.sources[0]])
        grids[f"layers.{number}"], counts[f"layers.{number}"] = grid, n_levels
        yield grid.numpy()


def _seen(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return shape if len(shape) == 3 else (-1, 1, 1)


def _through(layer: Layer, sources: list[Tensor], n_levels_in: int) -> tuple[Tensor, int]:
    """Return what a layer gives, and how many levels; 0 for accumulators."""
    if isinstance(layer, Lookup):
        return _looked_up(layer, sources[0], n_levels_in), layer.levels
    if isinstance(layer, MaxPool2d):
        pooled = functional.max_pool2d(sources[0].double(), layer.size, layer.stride, layer.padding)
        return pooled.long(), n_levels_in
    sums = torch.stack(sources).sum(0) if isinstance(layer, Add) else _sums(layer, sources[0])
    sums = sums + torch.tensor(layer.bias).long()[:, None, None]
    if layer.thresholds is None:
        return sums, 0
    thresholds = torch.tensor(np.atleast_2d(layer.thresholds)).long()
    return (sums[..., None] >= thresholds[:, None, None]).sum(-1), thresholds.shape[1] + 1


def _sums(layer: Weighted, levels: Tensor) -> Tensor:
    index = torch.from_numpy(layer.weight_index.astype(np.int64))
    table = torch.tensor(layer.product_table).double()
    by_value = [
        _added(layer, column[levels], (index == value).double())
        for value, column in enumerate(table.T)
    ]
    return torch.stack(by_value).sum(0).long()


def _added(layer: Weighted, products: Tensor, weights: Tensor) -> Tensor:
    if isinstance(layer, Conv2d):
        return functional.conv2d(
            products, weights, None, layer.stride, layer.padding, groups=layer.groups
        )
    if isinstance(layer, ConvTranspose2d):
        return functional.conv_transpose2d(
            products,
            weights,
            None,
            layer.stride,
            layer.padding,
            layer.output_padding,
            layer.groups,
        )
    return functional.linear(products.flatten(1), weights)[..., None, None]


def _looked_up(layer: Lookup, levels: Tensor, n_levels_in: int) -> Tensor:
    """Make all level bits one row, and addresses its products with powers of two."""
    places = torch.arange(len(f"{n_levels_in - 1:b}"))
    bits = (levels.flatten(1)[..., None] >> places & 1).flatten(1)
    powers = torch.zeros(bits.shape[1], layer.n_outputs, dtype=torch.long)
    for neuron, address_bits in enumerate(layer.address_bit.tolist()):
        for place, bit in enumerate(address_bits):
            powers[bit, neuron] += 1 << place
    table = torch.tensor(layer.level_table).long().T
    return table.gather(0, bits @ powers)[..., None, None]
