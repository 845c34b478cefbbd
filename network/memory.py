"""What a network costs to store, item by item, against the same network in float32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.layers import Lookup
from nomul.network.model import Network
from nomul.network.shapes import level_width, n_level_bits

__all__ = ["MemoryAccount", "index_counts", "memory_account"]

_FLOAT_BITS = 32
_CHUNK = 1 << 20


@dataclass(frozen=True)
class MemoryAccount:
    """Bits of a deployed network.

    A signed entry takes as many bits as the largest of its tensor needs, and a weight index as
    many as number its layer's centres. A product table that has factors is stored as these; one
    that several layers share, as under a codebook for the whole network, is counted once, and so
    are factors. Of factors that are equally spaced, as level values and a grid's centres are, the
    first and the last are stored. An entry of a lookup layer's level table takes the bits that
    number the layer's levels, and an address bit those that number the level bits of its source.

    Attributes
    ----------
    weight_indices, product_tables, biases, thresholds, input_thresholds
        Bits of all tensors of a kind. The thresholds that turn features into levels take 64 each.
    index_entropy
        Bits that the weight indices take if each costs the entropy of its layer's indices, as
        under an ideal coder that knows how often the layer uses each centre.
    paper_entries
        Entries of all distinct product tables as the method's authors count them, with one more
        row for biases: 33 × 1,000 for 32 levels and one codebook of 1,000 centres.
    float_network
        32 bits for each weight and bias of a layer with weights. A layer with a single centre is
        none: it is an average pooling or an identity shortcut, which float networks need no
        weights for. (Its indices have 0 bits.) A lookup neuron, which has no float counterpart,
        is taken for one with a weight for each address bit and a bias: it computes more than that
        one could, and the account does not make it look smaller for that.
    level_tables, connections
        Bits of the level tables and of the address bits of all lookup layers.
    """

    weight_indices: int
    product_tables: int
    biases: int
    thresholds: int
    input_thresholds: int
    index_entropy: float
    paper_entries: int
    float_network: int
    level_tables: int = 0
    connections: int = 0

    @property
    def total(self) -> int:
        """Bits of all tensors, each index at its full width."""
        return sum(self._items().values())

    @property
    def ratio(self) -> float:
        """Bits of the discretized network per bit of the float one; infinite if that has none."""
        return self._of_float(self.total)

    def table(self) -> str:
        """Return a line for each item, with its bits and their share of the float network's."""
        rows = self._items() | {
            "total": self.total,
            "weight indices at their entropy": round(self.index_entropy),
            "float network": self.float_network,
        }
        lines = [f"{'':31} {'bits':>15} {'of float':>8}"]
        for name, bits in rows.items():
            lines.append(f"{name:31} {bits:15,} {self._of_float(bits):8.4f}")
        return "\n".join(lines)

    def _of_float(self, bits: int) -> float:
        return bits / self.float_network if self.float_network else math.inf

    def _items(self) -> dict[str, int]:
        return {
            "weight indices": self.weight_indices,
            "product tables": self.product_tables,
            "biases": self.biases,
            "thresholds": self.thresholds,
            "input thresholds": self.input_thresholds,
        } | self._lookup_items()

    def _lookup_items(self) -> dict[str, int]:
        items = {"level tables": self.level_tables, "connections": self.connections}
        return items if self.level_tables else {}


def memory_account(network: Network) -> MemoryAccount:
    """Count the bits of ``network``'s tensors, and of a float32 network of the same shape."""
    indices = biases = thresholds = level_tables = connections = n_floats = 0
    entropy = 0.0
    tables: list[NDArray[np.int32]] = []
    stored: list[NDArray[np.int32]] = []
    for layer in network.layers:
        tensors = layer.tensors()
        biases += _signed_bits(tensors.get("bias", np.empty(0)))
        thresholds += _signed_bits(tensors.get("thresholds", np.empty(0)))
        if isinstance(layer, Lookup):
            level_tables += layer.level_table.size * level_width(layer.levels)
            source = layer.source
            n_bits = n_level_bits(network.shapes[source], network.level_counts[source])
            connections += layer.address_bit.size * (n_bits - 1).bit_length()
            n_floats += layer.address_bit.size + layer.n_outputs
        if "weight_index" not in tensors:
            continue
        index, table = tensors["weight_index"], tensors["product_table"]
        n_centres = table.shape[1]
        factors = [tensors[name] for name in ("level_value", "centre") if name in tensors]
        stored += factors or [table]
        if n_centres > 1:
            indices += index.size * (n_centres - 1).bit_length()
            entropy += _entropy(index_counts(index, n_centres))
            n_floats += index.size + tensors["bias"].size
            tables.append(table)
    return MemoryAccount(
        weight_indices=indices,
        product_tables=sum(_table_bits(tensor) for tensor in _distinct(stored)),
        biases=biases,
        thresholds=thresholds,
        input_thresholds=network.input.thresholds.size * 64,
        index_entropy=entropy,
        paper_entries=sum((table.shape[0] + 1) * table.shape[1] for table in _distinct(tables)),
        float_network=n_floats * _FLOAT_BITS,
        level_tables=level_tables,
        connections=connections,
    )


def index_counts(
    weight_index: NDArray[np.uint8] | NDArray[np.uint16], n_centres: int
) -> NDArray[np.int64]:
    """Return how often each centre is used, int64, shape (centres,)."""
    counts = np.zeros(n_centres, np.int64)
    flat = weight_index.reshape(-1)
    for start in range(0, flat.size, _CHUNK):  # bincount makes 64 bits of each index
        counts += np.bincount(flat[start : start + _CHUNK], minlength=n_centres)
    return counts


def _entropy(counts: NDArray[np.int64]) -> float:
    """Empirical entropy of all indices together: n log2 n - sum over centres of c log2 c."""
    used = counts[counts > 0].astype(np.float64)
    n_indices = used.sum()
    return float(n_indices * np.log2(n_indices) - used @ np.log2(used))


def _distinct(tensors: list[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    return list({(tensor.shape, tensor.tobytes()): tensor for tensor in tensors}.values())


def _table_bits(tensor: NDArray[np.int32]) -> int:
    """Bits of a table; of equally spaced values, as a grid has, those of the first and the last."""
    if tensor.ndim == 1 and tensor.size > 2 and len(np.unique(np.diff(tensor))) == 1:
        return _signed_bits(tensor[[0, -1]])
    return _signed_bits(tensor)


def _signed_bits(tensor: NDArray[Any]) -> int:
    """Bits of all entries in the narrowest two's complement that holds each; zeros are free."""
    if not np.any(tensor):
        return 0
    extremes = (int(tensor.min()), int(tensor.max()))
    width = max((value if value >= 0 else ~value).bit_length() for value in extremes) + 1
    return int(tensor.size) * width
