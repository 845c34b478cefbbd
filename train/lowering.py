"""From a PyTorch module to a :class:`nomul.network.Network`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nomul.network import Dense, Input, Network, Output
from nomul.network.rules import INPUT_NAME, layer_name
from nomul.train.exact_mode import ExactDense, ExactInput, ExactLevels, exact

__all__ = ["lower"]


def lower(module: nn.Sequential) -> Network:
    """Return the integer tables of a trained module; the network's output is the class.

    Parameters
    ----------
    module
        What :func:`nomul.train.exact_mode.exact` takes or returns. The network answers exactly as
        ``exact(module)`` does, on every input.

    Raises
    ------
    UserError
        If the module has no exact form.
    """
    first, *rest = module if isinstance(next(iter(module), None), ExactInput) else exact(module)
    assert isinstance(first, ExactInput), "an exact module begins with its input"
    level_value = np.arange(len(first.thresholds) + 1, dtype=np.int32)
    layers: list[Dense] = []
    n_inputs = 0
    for number, (dense, levels) in enumerate(zip(rest[::2], [*rest[1::2], None], strict=True)):
        assert isinstance(dense, ExactDense), "sums and levels take turns"
        n_inputs = n_inputs or dense.weight_index.shape[1]
        assert levels is None or isinstance(levels, ExactLevels), "sums and levels take turns"
        thresholds = None if levels is None else _integers(levels.thresholds)
        if thresholds is not None and len(thresholds) == 1 and len(dense.bias) > 1:
            thresholds = thresholds[0]
        centre = _integers(dense.centre)
        layers.append(
            Dense(
                weight_index=_smallest_index(dense.weight_index),
                product_table=np.outer(level_value, centre).astype(np.int32),
                bias=_integers(dense.bias),
                thresholds=thresholds,
                level_value=level_value,
                centre=centre,
                source=layer_name(number - 1) if number else INPUT_NAME,
            )
        )
        if levels is not None:
            level_value = _integers(levels.level_value)
    return Network(Input((n_inputs,), first.thresholds.numpy()), tuple(layers), Output("class"))


def _integers(values: Tensor) -> NDArray[np.int32]:
    return values.numpy().astype(np.int32)


def _smallest_index(index: Tensor) -> NDArray[np.uint8] | NDArray[np.uint16]:
    indices = index.numpy()
    return indices.astype(np.uint8) if indices.max() < 256 else indices.astype(np.uint16)
