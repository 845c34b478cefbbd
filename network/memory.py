"""What a network costs to store, item by item, against the same network in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.model import Network

__all__ = ["MemoryAccount", "memory_account"]

_FLOAT_BITS = 32


@dataclass(frozen=True)
class MemoryAccount:
    """Bits of a deployed network.

    A signed entry takes as many bits as the largest of its tensor needs. A product table that has
    factors is stored as these; one that several layers share, as under a codebook for the whole
    network, is counted once, and so are factors.
    """

    weight_indices: int
    product_tables: int
    biases: int
    thresholds: int
    float_network: int

    @property
    def total(self) -> int:
        return self.weight_indices + self.product_tables + self.biases + self.thresholds

    @property
    def ratio(self) -> float:
        """Bits of the discretized network per bit of the float one."""
        return self.total / self.float_network


def memory_account(network: Network) -> MemoryAccount:
    """Count the bits of ``network``'s tensors, and of a float32 network of the same shape.

    The float network has one float32 for every weight and bias. Thresholds that turn features
    into levels are counted at their 64 bits each.
    """
    indices = products = biases = 0
    thresholds = network.input.thresholds.size * 64
    float_numbers = 0
    tables: set[tuple[tuple[int, ...], bytes]] = set()
    for layer in network.layers:
        n_centres = layer.product_table.shape[1]
        indices += layer.weight_index.size * (n_centres - 1).bit_length()
        factors = (layer.level_value, layer.centre)
        for table in [f for f in factors if f is not None] or [layer.product_table]:
            key = (table.shape, table.tobytes())
            if key not in tables:
                tables.add(key)
                products += _signed_bits(table)
        biases += _signed_bits(layer.bias)
        if layer.thresholds is not None:
            thresholds += _signed_bits(layer.thresholds)
        float_numbers += layer.weight_index.size + layer.bias.size
    return MemoryAccount(indices, products, biases, thresholds, float_numbers * _FLOAT_BITS)


def _signed_bits(tensor: NDArray[Any]) -> int:
    """Bits of all entries in the narrowest two's complement that holds each; zeros are free."""
    if not np.any(tensor):
        return 0
    extremes = (int(tensor.min()), int(tensor.max()))
    width = max((value if value >= 0 else ~value).bit_length() for value in extremes) + 1
    return int(tensor.size) * width
