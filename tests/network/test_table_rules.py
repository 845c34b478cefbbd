"""Each rule of the tables refuses what it names, with its sentence; their limits pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import InvalidNetwork
from nomul.network.model import OutputKind
from nomul.network.rules import check
from nomul.network.table_rules import TABLE_RULES
from tests.network.documents import (
    Case,
    Change,
    assert_refused,
    changed,
    drop,
    example,
    graph_example,
    lookup_example,
    put,
    put_values,
    set_entry,
    set_input,
    set_output,
)
from tests.networks import random_network


def input_thresholds_shape(found: str) -> str:
    return (
        f"input.thresholds has shape {found}: it must be (levels - 1,), or as many axes as the "
        "features (3,) have, each equal or 1, and then levels - 1."
    )


def weight_index_shape(name: str, found: str, n_inputs: int) -> str:
    return (
        f"{name}.weight_index has shape {found}: it must be (neurons, inputs), with at least one "
        f"neuron and the {n_inputs} inputs that its source gives."
    )


def thresholds_shape(found: str) -> str:
    return f"layers.0.thresholds has shape {found}: it must be (levels - 1,) or (4, levels - 1)."


def table_shape(found: str) -> str:
    return (
        f"layers.0.product_table has shape {found}: it must be (levels, centres), with 1 to 65536 "
        "centres."
    )


def levels_range(name: str, found: int) -> str:
    return f"{name} makes {found} levels: 2 to 256 are possible, with one threshold less."


def table_rows(name: str, found: int, levels: int, source: str) -> str:
    return (
        f"{name}.product_table has {found} rows: it must have one for each of the {levels} levels "
        f"of {source}."
    )


def all_products(product: int, *, bias: int) -> Change:
    """Make the last layer's 4 products 0 or ``product``, and the second neuron's bias ``bias``."""

    def change(description: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        drop("layers.1.level_value")(description, tensors)
        drop("layers.1.centre")(description, tensors)
        table = [[0] * 5] * 4 + [[product] * 5]
        put_values("layers.1.product_table", table)(description, tensors)
        put_values("layers.1.bias", [0, bias])(description, tensors)

    return change


# Of example().
CASES: list[Case] = [
    (
        "_input_thresholds_fit",
        put("input.thresholds", (), np.float64),
        input_thresholds_shape("()"),
    ),
    (
        "_input_thresholds_fit",
        put("input.thresholds", (2, 2), np.float64),
        input_thresholds_shape("(2, 2)"),
    ),
    (
        "_input_thresholds_fit",
        put("input.thresholds", (1, 3, 2), np.float64),
        input_thresholds_shape("(1, 3, 2)"),
    ),
    (
        "_layers_fit_their_sources",
        put("layers.0.weight_index", (12,), np.uint8),
        weight_index_shape("layers.0", "(12,)", 3),
    ),
    (
        "_layers_fit_their_sources",
        put("layers.0.weight_index", (0, 3), np.uint8),
        weight_index_shape("layers.0", "(0, 3)", 3),
    ),
    (
        "_layers_fit_their_sources",
        put("layers.1.weight_index", (2, 3), np.uint8),
        weight_index_shape("layers.1", "(2, 3)", 4),
    ),
    (
        "_layer_tensors_fit",
        put("layers.0.bias", (3,)),
        "layers.0.bias has shape (3,): it must be (4,).",
    ),
    (
        "_layer_tensors_fit",
        put("layers.0.bias", ()),
        "layers.0.bias has shape (): it must be (4,).",
    ),
    ("_layer_tensors_fit", put("layers.0.product_table", (15,)), table_shape("(15,)")),
    ("_layer_tensors_fit", put("layers.0.product_table", (3, 0)), table_shape("(3, 0)")),
    (
        "_layer_tensors_fit",
        put("layers.0.product_table", (3, 65_537)),
        table_shape("(3, 65537)"),
    ),
    ("_layer_tensors_fit", put("layers.0.thresholds", ()), thresholds_shape("()")),
    ("_layer_tensors_fit", put("layers.0.thresholds", (1, 4)), thresholds_shape("(1, 4)")),
    ("_layer_tensors_fit", put("layers.0.thresholds", (4, 1, 4)), thresholds_shape("(4, 1, 4)")),
    (
        "_levels_are_two_to_256",
        put("input.thresholds", (0,), np.float64),
        levels_range("input.thresholds", 1),
    ),
    (
        "_levels_are_two_to_256",
        put("input.thresholds", (3, 256), np.float64),
        levels_range("input.thresholds", 257),
    ),
    (
        "_levels_are_two_to_256",
        put("layers.0.thresholds", (4, 0)),
        levels_range("layers.0.thresholds", 1),
    ),
    (
        "_thresholds_do_not_decrease",
        put_values("input.thresholds", [0.5, np.inf], np.float64),
        "input.thresholds must be finite.",
    ),
    (
        "_thresholds_do_not_decrease",
        put_values("input.thresholds", [np.nan, 0.5], np.float64),
        "input.thresholds must be finite.",
    ),
    (
        "_thresholds_do_not_decrease",
        put_values("input.thresholds", [0.5, 0.25], np.float64),
        "input.thresholds must not decrease along its last axis.",
    ),
    (
        "_thresholds_do_not_decrease",
        put_values("layers.0.thresholds", [0, 1, 2, 1]),
        "layers.0.thresholds must not decrease along its last axis.",
    ),
    (
        "_product_tables_have_a_row_per_level",
        put("layers.0.product_table", (4, 5)),
        table_rows("layers.0", 4, 3, "input"),
    ),
    (
        "_product_tables_have_a_row_per_level",
        put("layers.1.product_table", (0, 5)),
        table_rows("layers.1", 0, 5, "layers.0"),
    ),
    (
        "_weight_indices_name_a_centre",
        put_values("layers.1.weight_index", [[0, 4, 0, 5], [0, 0, 0, 0]], np.uint8),
        "layers.1.weight_index holds 5: the product table has 5 centres, numbered from 0.",
    ),
    (
        "_factors_give_the_product_table",
        drop("layers.0.centre"),
        "layers.0 has level_value alone: level_value and centre go together.",
    ),
    (
        "_factors_give_the_product_table",
        drop("layers.1.level_value"),
        "layers.1 has centre alone: level_value and centre go together.",
    ),
    (
        "_factors_give_the_product_table",
        put("layers.0.level_value", (4,)),
        "layers.0.level_value and centre have shapes (4,) and (5,): they must be (3,) and (5,).",
    ),
    (
        "_factors_give_the_product_table",
        put_values("layers.0.level_value", [1, 1, 1]),
        "layers.0.product_table is not the product of its level_value and centre.",
    ),
    (
        "_layers_fit_their_sources",
        lambda d, t: (
            set_input(shape=[2**22 + 1])(d, t),
            put("layers.0.weight_index", (4, 2**22 + 1), np.uint8)(d, t),
        ),
        "layers.0 adds 4194305 products to an accumulator: at most 4194304 are possible.",
    ),
    (
        "_accumulators_fit_32_bits",
        all_products(1, bias=2**31 - 4),
        "layers.1 has accumulators from 0 to 2147483648: they must stay within 32 bits, "
        "-2147483648 to 2147483647.",
    ),
    (
        "_accumulators_fit_32_bits",
        all_products(-1, bias=-(2**31) + 3),
        "layers.1 has accumulators from -2147483649 to 0: they must stay within 32 bits, "
        "-2147483648 to 2147483647.",
    ),
]

# Of graph_example().
GRAPH_CASES: list[Case] = [
    (
        "_thermometer_has_room",
        set_input(shape=[2**10, 2**7, 2**7], encoding="thermometer"),
        "The input makes 33554432 bits: at most 16777216 are possible.",
    ),
    (
        "_layers_fit_their_sources",
        set_input(shape=[2, 5, 5, 1], encoding="thermometer"),
        "layers.0 is of kind conv2d and takes the input, which has 4 axes: at most channels, "
        "height and width are possible.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(0, groups=3),
        "layers.0 has 3 groups: they must divide the 4 channels that its source gives.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(1, groups=2),
        "layers.1.weight_index has shape (4, 1, 1, 1): it must be (channels out, 2, kernel height, "
        "kernel width), none of them 0.",
    ),
    (
        "_layers_fit_their_sources",
        put("layers.0.weight_index", (4, 4, 0, 3), np.uint8),
        "layers.0.weight_index has shape (4, 4, 0, 3): it must be (channels out, 4, kernel height, "
        "kernel width), none of them 0.",
    ),
    (
        "_layers_fit_their_sources",
        put("layers.0.weight_index", (4, 4, 3), np.uint8),
        "layers.0.weight_index has shape (4, 4, 3): it must be (channels out, 4, kernel height, "
        "kernel width), none of them 0.",
    ),
    (
        "_layers_fit_their_sources",
        put("layers.1.weight_index", (5, 1, 1, 1), np.uint8),
        "layers.1 has 4 groups: they must divide its 5 channels out.",
    ),
    (
        "_layers_fit_their_sources",
        put("layers.4.weight_index", (2, 1, 3, 3), np.uint8),
        "layers.4.weight_index has shape (2, 1, 3, 3): it must be (4, channels out / groups, "
        "kernel height, kernel width), none of them 0.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(1, stride=[2, 1]),
        "layers.2 adds the shapes (4, 5, 5) and (4, 3, 5): they must be equal.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(3, size=[8, 3]),
        "layers.3 gives the shape (4, 0, 3): its windows (8, 3) do not fit into the shape "
        "(4, 5, 5) of its source.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(4, padding=[4, 1]),
        "layers.4 gives the shape (2, 0, 6): its windows (3, 3) do not fit into the shape "
        "(4, 3, 3) of its source.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(0, padding=[2**20, 1], stride=[2**20, 1]),
        "layers.0 handles 58720396 values, padding included: at most 16777216 are possible.",
    ),
    (
        "_layers_fit_their_sources",
        set_entry(4, stride=[2**13, 2**13]),
        "layers.4 handles 537133088 values, padding included: at most 16777216 are possible.",
    ),
    (
        "_layer_tensors_fit",
        put("layers.2.bias", (3,)),
        "layers.2.bias has shape (3,): it must be (4,).",
    ),
    (
        "_layer_tensors_fit",
        put("layers.4.thresholds", (4, 2)),
        "layers.4.thresholds has shape (4, 2): it must be (levels - 1,) or (2, levels - 1).",
    ),
    (
        "_product_tables_have_a_row_per_level",
        put("layers.0.product_table", (3, 5)),
        table_rows("layers.0", 3, 2, "input"),
    ),
    (
        "_product_tables_have_a_row_per_level",
        put("layers.4.product_table", (3, 5)),
        table_rows("layers.4", 3, 4, "layers.3"),
    ),
    (
        "_weight_indices_name_a_centre",
        put_values("layers.1.weight_index", [[[[0]]], [[[0]]], [[[5]]], [[[0]]]], np.uint8),
        "layers.1.weight_index holds 5: the product table has 5 centres, numbered from 0.",
    ),
]


def entry_at(name: str, place: tuple[int, ...], value: int) -> Change:
    """Replace one entry of a tensor."""

    def change(_: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name][place] = value

    return change


def outside(name: str, found: int, source: str, n_bits: int) -> str:
    return (
        f"{name}.address_bit holds {found}: the levels of {source} have {n_bits} bits, numbered "
        "from 0."
    )


# Of lookup_example("class").
LOOKUP_CASES: list[Case] = [
    (
        "_layers_fit_their_sources",
        put("layers.1.address_bit", (6, 13)),
        "layers.1.address_bit has 13 bits for each neuron: 1 to 12 are possible.",
    ),
    (
        "_addresses_are_of_the_sources_bits",
        entry_at("layers.0.address_bit", (3, 2), 10),
        outside("layers.0", 10, "input", 10),
    ),
    (
        "_addresses_are_of_the_sources_bits",
        entry_at("layers.0.address_bit", (0, 0), -1),
        outside("layers.0", -1, "input", 10),
    ),
    (
        "_addresses_are_of_the_sources_bits",
        entry_at("layers.1.address_bit", (5, 1), 8),
        outside("layers.1", 8, "layers.0", 8),
    ),
    (
        "_level_tables_hold_levels",
        entry_at("layers.0.level_table", (2, 7), 4),
        "layers.0.level_table holds 4: the layer gives 4 levels, numbered from 0.",
    ),
    (
        "_product_tables_have_a_row_per_level",
        set_entry(1, levels=6),
        table_rows("layers.2", 5, 6, "layers.1"),
    ),
]


@pytest.mark.parametrize(
    ("rule", "change", "sentence"),
    [pytest.param(*case, id=f"{number}{case[0]}") for number, case in enumerate(CASES)],
)
def test_a_rule_refuses_with_its_sentence(rule: str, change: Change, sentence: str) -> None:
    assert_refused(changed(example(), change), rule, sentence)


@pytest.mark.parametrize(
    ("rule", "change", "sentence"),
    [pytest.param(*case, id=f"{number}{case[0]}") for number, case in enumerate(GRAPH_CASES)],
)
def test_a_rule_of_graphs_refuses_with_its_sentence(
    rule: str, change: Change, sentence: str
) -> None:
    assert_refused(changed(graph_example(), change), rule, sentence)


@pytest.mark.parametrize(
    ("rule", "change", "sentence"),
    [pytest.param(*case, id=f"{number}{case[0]}") for number, case in enumerate(LOOKUP_CASES)],
)
def test_a_rule_of_lookup_layers_refuses_with_its_sentence(
    rule: str, change: Change, sentence: str
) -> None:
    assert_refused(changed(lookup_example("class"), change), rule, sentence)


LOOKUP_VALID: list[Change] = [
    entry_at("layers.0.address_bit", (3, 2), 9),
    entry_at("layers.0.level_table", (2, 7), 3),
    put("layers.0.address_bit", (4, 3)),  # one bit three times
    set_input(shape=[5, 1, 1, 1]),
    lambda d, t: (
        put("layers.1.address_bit", (6, 12))(d, t),
        put("layers.1.level_table", (6, 4096), np.uint8)(d, t),
    ),
    lambda d, t: (
        put("layers.1.address_bit", (6, 1))(d, t),
        put("layers.1.level_table", (6, 2), np.uint8)(d, t),
    ),
]


@pytest.mark.parametrize("change", LOOKUP_VALID, ids=range(len(LOOKUP_VALID)))
def test_the_limits_of_a_lookup_layer_pass(change: Change) -> None:
    check(changed(lookup_example("class"), change))


@pytest.mark.parametrize("n_levels", [2, 256])
def test_the_fewest_and_the_most_levels_of_a_lookup_layer_pass(n_levels: int) -> None:
    table = np.array([[0, n_levels - 1]] * 6)
    check(
        changed(
            lookup_example(),
            set_entry(1, levels=n_levels),
            put("layers.1.address_bit", (6, 1)),
            put_values("layers.1.level_table", table, np.uint8),
        )
    )


def test_a_level_among_a_power_of_two_and_one_has_a_further_bit() -> None:
    """Of 4 levels, layer 0 gives 8 bits; of 5, 12."""
    highest = entry_at("layers.1.address_bit", (5, 1), 11)
    check(changed(lookup_example(), highest, set_entry(0, levels=5)))
    with pytest.raises(InvalidNetwork):
        check(changed(lookup_example(), highest))


def test_every_rule_has_an_example() -> None:
    named = {case[0] for case in CASES + GRAPH_CASES + LOOKUP_CASES}
    assert named == {rule.__name__ for rule in TABLE_RULES}


@pytest.mark.parametrize(("product", "bias"), [(1, 2**31 - 5), (-1, -(2**31) + 4)])
def test_the_greatest_and_the_least_accumulator_pass(product: int, bias: int) -> None:
    check(changed(example(), all_products(product, bias=bias)))


def test_products_are_compared_without_overflow() -> None:
    """2**16 times 2**16 is 0 in 32 bits, and no product table holds it."""
    document = changed(
        example(),
        put("layers.0.product_table", (3, 5)),
        put_values("layers.0.level_value", [2**16] * 3),
        put_values("layers.0.centre", [2**16] * 5),
    )
    with pytest.raises(InvalidNetwork, match="is not the product"):
        check(document)


VALID: list[Change] = [
    lambda _description, _tensors: None,
    put("layers.0.thresholds", (4,)),
    put("layers.0.thresholds", (4, 4)),
    put("input.thresholds", (2,), np.float64),
    put("input.thresholds", (1, 2), np.float64),
    put("input.thresholds", (3, 2), np.float64),
    put("layers.0.weight_index", (4, 3), np.uint16),
    set_output(kind="accumulators", scale=-1, offset=0.5),
]


@pytest.mark.parametrize("change", VALID)
def test_what_the_rules_allow_passes(change: Change) -> None:
    check(changed(example(factored=False), change))


@pytest.mark.parametrize("n_levels", [2, 256])
@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
def test_the_fewest_and_the_most_levels_pass(n_levels: int, output: OutputKind) -> None:
    levels = (n_levels,) * (3 if output == "levels" else 2)
    check(random_network((1, 1, 1), levels, n_centres=1, output=output).document())


def test_the_most_centres_pass() -> None:
    values = np.full((4, 3), 65_535)
    check(
        changed(
            example(factored=False),
            put("layers.0.product_table", (3, 65_536)),
            put_values("layers.0.weight_index", values, np.uint16),
        )
    )
