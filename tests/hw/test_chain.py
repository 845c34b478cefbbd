"""What no hardware is generated for is refused by every way in, with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nomul.boards.build import build
from nomul.boards.catalog import find_board
from nomul.hw.chain import dense_chain
from nomul.hw.cost import count_parts, widest_sum
from nomul.hw.devices import find_device
from nomul.hw.estimate import estimate
from nomul.hw.unrolled import Unrolled
from nomul.network import Conv2d, Dense, Input, Network, UserError
from tests.networks import random_network


def convolutional() -> Network:
    """Return a dense layer and then a convolution of 1 x 1."""
    dense, last = random_network((3, 4, 2), (2, 2)).layers
    assert isinstance(last, Dense)
    weights = last.weight_index[:, :, None, None]
    layer = Conv2d(weights, last.product_table, last.bias, source="layers.0")
    return Network(Input((3,), np.array([0.5])), (dense, layer))


def test_a_chain_is_its_layers() -> None:
    network = random_network((3, 4, 5, 2), (2, 3, 4))
    assert dense_chain(network) == network.layers


@pytest.mark.parametrize(
    "use",
    [
        dense_chain,
        Unrolled,
        count_parts,
        widest_sum,
        lambda network: estimate(network, find_device("up5k")),
        lambda network: build(network, find_board("icebreaker"), Path("unused")),
    ],
    ids=["chain", "unrolled", "count", "widest", "estimate", "build"],
)
def test_a_convolution_is_refused(use: Callable[[Network], object]) -> None:
    with pytest.raises(UserError) as refused:
        use(convolutional())
    assert str(refused.value) == (
        "layers.1 is of kind conv2d: hardware is generated for chains of dense layers so far; "
        "evaluate this network with `nomul evaluate`."
    )
