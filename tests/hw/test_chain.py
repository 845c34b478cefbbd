"""What no hardware is generated for is refused by every way in, with one sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nomul.hw.chain import unrolled_chain
from nomul.hw.lowering import lower
from nomul.hw.plan import plan
from nomul.hw.targets import TARGETS
from nomul.network import Conv2d, Dense, Input, Network, Output, UserError
from tests.networks import random_lookup, random_network


def convolutional() -> Network:
    """Return a dense layer and then a convolution of 1 x 1."""
    dense, last = random_network((3, 4, 2), (2, 2)).layers
    assert isinstance(last, Dense)
    weights = last.weight_index[:, :, None, None]
    layer = Conv2d(weights, last.product_table, last.bias, source="layers.0")
    return Network(Input((3,), np.array([0.5])), (dense, layer))


def test_a_chain_is_its_layers() -> None:
    network = random_network((3, 4, 5, 2), (2, 3, 4))
    assert unrolled_chain(network) == network.layers


def test_lookup_layers_are_in_a_chain() -> None:
    first = random_lookup(4, 2, 3, 2)
    last = random_lookup(2, 3, 4, 2, source="layers.0")
    network = Network(Input((3,), np.array([0.5])), (first, last), Output("levels"))
    assert unrolled_chain(network) == (first, last)


@pytest.mark.parametrize(
    "use",
    [unrolled_chain, plan, lambda network: lower(network, TARGETS["asic"])],
    ids=["chain", "plan", "lower"],
)
def test_a_convolution_is_refused(use: Callable[[Network], object]) -> None:
    with pytest.raises(UserError) as refused:
        use(convolutional())
    assert str(refused.value) == (
        "layers.1 is of kind conv2d, and chains of dense and lookup layers are unrolled so far: "
        "take the folded engine, with `nomul fold` and the option --folded."
    )
