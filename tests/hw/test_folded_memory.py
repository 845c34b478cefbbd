from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folded_memory import MapAllocator, Tables, check_depth
from nomul.network import Dense, Network, UserError
from tests.hw.folded import NETWORKS
from tests.networks import random_network

SETTINGS = EngineSettings(level_bits=2, magnitude_bits=1, product_bits=6, pages=3)


def layer(*columns: list[int], used: list[int] | None = None) -> Dense:
    """A layer whose weights are each column once, or those that are used."""
    indices = list(range(len(columns))) if used is None else used
    return Dense(
        np.array([indices], np.uint8),
        np.array(columns, np.int32).T,
        np.array([0], np.int32),
    )


def products(tables: Tables, page: int, code: int, n_levels: int) -> list[int]:
    """What a weight stands for: the column of its magnitude, or its negative."""
    column = tables.content()[page, :n_levels, code % 2].tolist()
    return [-product for product in column] if code >= 2 else column


def test_a_column_and_its_negative_are_one() -> None:
    tables = Tables(SETTINGS)
    columns = [[1, 2, 3], [-5, 0, 7], [-1, -2, -3], [5, 0, -7], [1, 2, 3]]
    page, codes = tables.add("layers.0", layer(*columns))
    assert page == 0
    assert codes.dtype == np.uint8
    assert [products(tables, page, code, 3) for code in codes.tolist()] == columns
    assert codes.tolist() == [0, 1, 2, 3, 0]
    assert tables.content().shape == (1, 4, 2)
    assert tables.content().dtype == np.int16
    assert (tables.content()[0, 3] == 0).all(), "no level gives it"


def test_nothing_has_no_sign() -> None:
    """A padded position's row is all zeros, and so may be a weight's column."""
    tables = Tables(SETTINGS)
    _, codes = tables.add("layers.0", layer([0, 0], [0, 0], [1, -1]))
    assert codes.tolist() == [0, 0, 1]


def test_columns_that_no_weight_has_take_no_room() -> None:
    tables = Tables(SETTINGS)
    columns = [[9, 9], [1, 1], [8, 8], [2, 2]]
    _, codes = tables.add("layers.0", layer(*columns, used=[3, 1, 3]))
    assert [products(tables, 0, codes[index], 2) for index in (1, 3)] == [[1, 1], [2, 2]]


def test_layers_of_one_table_share_a_page() -> None:
    tables = Tables(SETTINGS)
    pages = [
        tables.add("layers.0", layer([1, 2], [3, 4]))[0],
        tables.add("layers.1", layer([5, 2], [3, 4]))[0],
        tables.add("layers.2", layer([1, 2], [3, 4], [-1, -2]))[0],
    ]
    assert pages == [0, 1, 0]
    assert len(tables.content()) == 2


def sentence(*layers: Dense) -> str:
    """What is said of the last layer."""
    tables = Tables(SETTINGS)
    for number, made in enumerate(layers[:-1]):
        tables.add(f"layers.{number}", made)
    with pytest.raises(UserError) as caught:
        tables.add(f"layers.{len(layers) - 1}", layers[-1])
    return str(caught.value)


def test_too_many_weight_values_are_refused() -> None:
    assert sentence(layer([1, 2], [-1, -2], [3, 4], [5, 6])) == (
        "layers.0 has 3 weight values apart from their signs, and the engine 2: what helps is a "
        'codebook of kind "grid" with 3 centres, which is symmetric around 0, or an engine of 2 '
        "magnitude bits."
    )


@pytest.mark.parametrize(("product", "n_bits"), [(32, 7), (-33, 7), (63, 7), (-65, 8), (5000, 14)])
def test_products_that_are_too_large_are_refused(product: int, n_bits: int) -> None:
    assert sentence(layer([1, 31], [2, -32]), layer([0, product])) == (
        f"layers.1 has products of {n_bits} bits, and the engine's have 6: what helps is fewer "
        f"levels or weight values, or an engine of {n_bits} product bits."
    )


def test_too_many_tables_are_refused_for_the_last_page_is_that_of_nothing() -> None:
    assert sentence(*(layer([n, 1]) for n in range(2, 5))) == (
        "The network needs 3 product tables, and the engine has 2, 1 too few: what helps is one "
        "codebook for several layers, or an engine of more pages."
    )


def test_a_memory_that_is_just_deep_enough_is_not_refused() -> None:
    check_depth("levels", 1000, 1000, "nothing")
    with pytest.raises(UserError) as caught:
        check_depth("levels", 12345, 1000, "what helps is less")
    assert str(caught.value) == (
        "The network needs 12,345 levels, and the engine has 1,000, 11,345 too few: what helps is "
        "less."
    )


def check_places(network: Network, settings: EngineSettings) -> MapAllocator:
    """See that whatever is written overlaps nothing that is still read, nor the sample."""
    maps = MapAllocator(network, settings)
    layers = [f"layers.{n}" for n in range(len(network.layers) - 1)]
    # Sums that are added to others lie in no map.
    names = ["input", *(name for name in layers if network.level_counts[name] is not None)]
    spans = {
        name: range(maps.place(name), maps.place(name) + int(np.prod(network.shapes[name])))
        for name in names
    }
    assert max(span.stop for span in spans.values()) == maps.depth <= settings.map_depth
    assert maps.place("input") == 0
    for name, following in itertools.pairwise(names):
        assert not set(spans[name]) & set(spans[following])
    for name in names[1:]:
        assert not set(spans[name]) & set(spans["input"])
    return maps


@pytest.mark.parametrize("case", NETWORKS)
def test_maps_lie_apart_while_they_are_needed(case: str) -> None:
    check_places(NETWORKS[case], EngineSettings())


def test_maps_alternate_where_there_is_room() -> None:
    network = random_network((10, 7, 5, 6, 4, 3), (2,) * 5)
    maps = check_places(network, EngineSettings())
    assert [maps.place(f"layers.{n}") for n in range(5)] == [10, 17, 10, 16, 0]
    assert maps.depth == 22


def test_too_many_levels_are_refused() -> None:
    network = random_network((10, 7, 5, 3), (2,) * 3)
    check_places(network, dataclasses.replace(SETTINGS, map_depth=22))
    with pytest.raises(UserError) as caught:
        MapAllocator(network, dataclasses.replace(SETTINGS, map_depth=21))
    assert str(caught.value) == (
        "The network needs 22 levels to be held at a time, and the engine has 21, 1 too few: what "
        "helps is fewer channels in the first layers, a larger stride, or an engine with deeper "
        "maps."
    )
