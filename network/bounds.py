"""The exact range of every accumulator: why no sum can overflow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nomul.network.model import Dense

__all__ = ["accumulator_bounds"]


def accumulator_bounds(layer: Dense) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the greatest accumulator of every neuron.

    Both are attained if every input takes every level independently.

    Returns
    -------
    tuple
        Two int64 arrays of shape (neurons,).
    """
    table = layer.product_table.astype(np.int64)
    least = layer.bias + table.min(axis=0)[layer.weight_index].sum(axis=1)
    greatest = layer.bias + table.max(axis=0)[layer.weight_index].sum(axis=1)
    return least, greatest
