"""Tensors of layers: their dtypes, and how they are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TENSOR_DTYPES", "frozen", "integers"]

TENSOR_DTYPES: dict[str, tuple[str, ...]] = {
    "weight_index": ("uint8", "uint16"),
    "product_table": ("int32",),
    "bias": ("int32",),
    "thresholds": ("int32",),
    "level_value": ("int32",),
    "centre": ("int32",),
    "address_bit": ("int32",),
    "level_table": ("uint8",),
}


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in C order that cannot be written, or ``array`` itself if it is one.

    So tensors of many millions of entries are copied once.
    """
    flags = getattr(array, "flags", None)
    if flags is not None and flags.owndata and flags.c_contiguous and not flags.writeable:
        return array
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


def integers(value: Any) -> Any:
    """Return a sequence as a tuple with NumPy's integers made Python's, all else as it is."""
    if isinstance(value, np.integer):
        return int(value)
    return tuple(map(integers, value)) if isinstance(value, (tuple, list)) else value
