"""What does not fit; that of layers with weights and windows is in test_table_rules.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import Layer, Lookup, MaxPool2d
from nomul.network.misfits import misfits
from tests.networks import random_lookup

SOURCE = (4, 1, 1)


def lookup(address_bit: tuple[int, ...], level_table: tuple[int, ...]) -> Lookup:
    table: NDArray[Any] = np.zeros(level_table, np.uint8)
    return Lookup(np.zeros(address_bit, np.int32), table, 2)


def address_shape(found: str) -> str:
    return (
        f"x.address_bit has shape {found}: it must be (neurons, address bits), with at least one "
        "neuron."
    )


def table_shape(found: str, wanted: str) -> str:
    return (
        f"x.level_table has shape {found}: it must be {wanted}, with a level for each address of "
        "each neuron."
    )


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (lookup((), (2, 8)), address_shape("()")),
        (lookup((3,), (2, 8)), address_shape("(3,)")),
        (lookup((0, 3), (0, 8)), address_shape("(0, 3)")),
        (lookup((2, 3, 1), (2, 8)), address_shape("(2, 3, 1)")),
        (
            lookup((2, 0), (2, 1)),
            "x.address_bit has 0 bits for each neuron: 1 to 12 are possible.",
        ),
        (
            lookup((2, 13), (2, 1 << 13)),
            "x.address_bit has 13 bits for each neuron: 1 to 12 are possible.",
        ),
        (lookup((2, 3), (2, 7)), table_shape("(2, 7)", "(2, 8)")),
        (lookup((2, 3), (2, 16)), table_shape("(2, 16)", "(2, 8)")),
        (lookup((2, 3), (3, 8)), table_shape("(3, 8)", "(2, 8)")),
        (lookup((2, 3), (16,)), table_shape("(16,)", "(2, 8)")),
        (lookup((2, 3), ()), table_shape("()", "(2, 8)")),
    ],
    ids=range(11),
)
def test_tables_of_another_shape_are_named(layer: Layer, sentence: str) -> None:
    assert list(misfits("x", layer, [SOURCE])) == [sentence]


@pytest.mark.parametrize(
    "layer",
    [random_lookup(1, 1, 4, 2), random_lookup(7, 12, 4, 256), MaxPool2d((1, 1), (1, 1))],
    ids=["least", "greatest", "pool"],
)
def test_what_fits_has_no_sentence(layer: Layer) -> None:
    assert list(misfits("x", layer, [SOURCE])) == []
