"""Each rule of the description refuses what it names, with its sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nomul.network import InvalidNetwork
from nomul.network.description_rules import DESCRIPTION_RULES
from nomul.network.document import Document
from nomul.network.rules import check
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
    set_entry,
    set_input,
    set_layer,
    set_output,
)

THREE_KEYS = "The network's description must be an object with the keys input, layers and output."
INPUT_FORM = (
    "The input must be an object with the key shape, a list of positive integers, and perhaps the "
    "key encoding."
)
ACCUMULATOR_KEYS = "An output of kind accumulators must have the keys kind, offset, scale."
KNOWN_TENSORS = (
    "input.thresholds, layers.0.bias, layers.0.centre, layers.0.level_value, "
    "layers.0.product_table, layers.0.thresholds, layers.0.weight_index, layers.1.bias, "
    "layers.1.centre, layers.1.level_value, layers.1.product_table, layers.1.thresholds, "
    "layers.1.weight_index."
)


def shape_must_be_positive(found: str) -> str:
    return f"The input's shape must be positive integers up to 16777216, not {found}."


def window(name: str, least: int, found: str) -> str:
    return (
        f"{name} must be two integers, for height and width, from {least} to 16777216, not {found}."
    )


# Of example().
CASES: list[Case] = [
    ("_description_has_three_parts", lambda d, _: d.pop("input"), THREE_KEYS),
    ("_description_has_three_parts", lambda d, _: d.update(author="me"), THREE_KEYS),
    (
        "_description_has_three_parts",
        lambda d, _: d.update(input=[3]),
        "The network's input must be an object.",
    ),
    (
        "_description_has_three_parts",
        lambda d, _: d.update(layers={}),
        "The network's layers must be a list.",
    ),
    (
        "_description_has_three_parts",
        lambda d, _: d.update(output="class"),
        "The network's output must be an object.",
    ),
    ("_input_has_a_shape", set_input(), INPUT_FORM),
    ("_input_has_a_shape", set_input(shape=3), INPUT_FORM),
    ("_input_has_a_shape", set_input(shape=[3], unit="V"), INPUT_FORM),
    ("_input_has_a_shape", set_input(shape=[]), shape_must_be_positive("[]")),
    ("_input_has_a_shape", set_input(shape=[0]), shape_must_be_positive("[0]")),
    ("_input_has_a_shape", set_input(shape=[-3]), shape_must_be_positive("[-3]")),
    ("_input_has_a_shape", set_input(shape=[3.0]), shape_must_be_positive("[3.0]")),
    ("_input_has_a_shape", set_input(shape=[True]), shape_must_be_positive("[True]")),
    ("_input_has_a_shape", set_input(shape=[2**24 + 1]), shape_must_be_positive("[16777217]")),
    (
        "_input_has_a_shape",
        set_input(shape=[2**24, 2**24]),
        "The input has 281474976710656 features: at most 16777216 are possible.",
    ),
    (
        "_layers_are_known",
        lambda d, _: d.update(layers=[]),
        "The network has no layers: it needs at least one.",
    ),
    ("_layers_are_known", set_layer(1, "dense"), "layers.1 must be an object with a kind."),
    ("_layers_are_known", set_layer(0, {"kind": 1}), "layers.0 must be an object with a kind."),
    (
        "_layers_are_known",
        set_layer(0, {"kind": "dens", "input": "input"}),
        "layers.0: Unknown layer kind 'dens': did you mean 'dense'? The known ones are add, "
        "conv2d, conv_transpose2d, dense, lookup, max_pool2d.",
    ),
    (
        "_layers_are_known",
        set_layer(1, {"kind": "dense"}),
        "layers.1 must have the keys kind and input, not ['kind'].",
    ),
    ("_output_is_known", set_output(), "The output must have a kind."),
    ("_output_is_known", set_output(kind=["class"]), "The output must have a kind."),
    (
        "_output_is_known",
        set_output(kind="clas"),
        "Unknown output kind 'clas': did you mean 'class'? The known ones are accumulators, class, "
        "levels.",
    ),
    (
        "_output_is_known",
        set_output(kind="class", scale=1.0),
        "An output of kind class must have the keys kind.",
    ),
    ("_output_is_known", set_output(kind="accumulators", scale=1.0), ACCUMULATOR_KEYS),
    (
        "_output_is_known",
        set_output(kind="accumulators", scale=float("inf"), offset=0.0),
        "The output's scale must be a finite number, not inf.",
    ),
    (
        "_output_is_known",
        set_output(kind="accumulators", scale=1, offset="0"),
        "The output's offset must be a finite number, not '0'.",
    ),
    (
        "_output_is_known",
        set_output(kind="accumulators", scale=True, offset=0.0),
        "The output's scale must be a finite number, not True.",
    ),
    (
        "_output_is_known",
        set_output(kind="accumulators", scale=0.0, offset=0.0),
        "The output's scale must not be 0.",
    ),
    (
        "_tensors_are_those_described",
        drop("layers.1.bias"),
        "The tensor layers.1.bias is missing.",
    ),
    (
        "_tensors_are_those_described",
        drop("input.thresholds"),
        "The tensor input.thresholds is missing.",
    ),
    (
        "_tensors_are_those_described",
        put("layers.1.biass", (2,)),
        "Unknown tensor 'layers.1.biass': did you mean 'layers.1.bias'? The known ones are "
        + KNOWN_TENSORS,
    ),
    (
        "_tensors_are_those_described",
        put("layers.2.bias", (2,)),
        "Unknown tensor 'layers.2.bias': did you mean 'layers.1.bias'? The known ones are "
        + KNOWN_TENSORS,
    ),
    (
        "_tensors_have_their_dtype",
        put("input.thresholds", (2,), np.float32),
        "input.thresholds must be float64, not float32.",
    ),
    (
        "_tensors_have_their_dtype",
        put("layers.0.weight_index", (4, 3), np.int64),
        "layers.0.weight_index must be uint8 or uint16, not int64.",
    ),
    (
        "_tensors_have_their_dtype",
        put("layers.0.bias", (4,), ">i4"),
        "layers.0.bias must be int32, not >i4.",
    ),
    (
        "_tensors_have_their_dtype",
        put("layers.0.centre", (5,), np.uint32),
        "layers.0.centre must be int32, not uint32.",
    ),
    (
        "_levels_leave_where_levels_are_taken",
        drop("layers.0.thresholds"),
        "layers.0.thresholds is missing: layers.1 takes levels from it.",
    ),
    (
        "_levels_leave_where_levels_are_taken",
        set_output(kind="levels"),
        "layers.1.thresholds is missing: the output is levels.",
    ),
    (
        "_accumulators_leave_where_they_are_taken",
        put("layers.1.thresholds", (1,)),
        "layers.1.thresholds must not be there: the output is made of accumulators.",
    ),
]

# Of graph_example().
GRAPH_TENSORS = (
    "input.thresholds, layers.0.bias, layers.0.centre, layers.0.level_value, "
    "layers.0.product_table, layers.0.thresholds, layers.0.weight_index, layers.1.bias, "
    "layers.1.centre, layers.1.level_value, layers.1.product_table, layers.1.thresholds, "
    "layers.1.weight_index, layers.2.bias, layers.2.thresholds, layers.4.bias, layers.4.centre, "
    "layers.4.level_value, layers.4.product_table, layers.4.thresholds, layers.4.weight_index, "
    "layers.5.bias, layers.5.centre, layers.5.level_value, layers.5.product_table, "
    "layers.5.thresholds, layers.5.weight_index."
)
GRAPH_CASES: list[Case] = [
    (
        "_input_has_a_shape",
        set_input(shape=[2, 5, 5], encoding="thermometer", unit="V"),
        INPUT_FORM,
    ),
    (
        "_input_encoding_is_known",
        set_input(shape=[2, 5, 5], encoding="termometer"),
        "Unknown input encoding 'termometer': did you mean 'thermometer'? The known ones are "
        "level, thermometer.",
    ),
    (
        "_input_encoding_is_known",
        set_input(shape=[2, 5, 5], encoding=2),
        "Unknown input encoding '2': choose one of level, thermometer.",
    ),
    (
        "_layers_are_known",
        set_entry(2, input="layers.0"),
        "layers.2 must have the keys kind and inputs, not ['input', 'inputs', 'kind'].",
    ),
    (
        "_layers_are_known",
        set_entry(0, dilation=[1, 1]),
        "layers.0 must have the keys kind, input, stride, padding and groups, not ['dilation', "
        "'groups', 'input', 'kind', 'padding', 'stride'].",
    ),
    (
        "_layers_are_known",
        set_layer(3, {"kind": "max_pool2d", "input": "layers.2"}),
        "layers.3 must have the keys kind, input, size, stride and padding, not ['input', 'kind'].",
    ),
    ("_geometry_is_whole_numbers", set_entry(0, stride=2), window("layers.0.stride", 1, "2")),
    (
        "_geometry_is_whole_numbers",
        set_entry(0, stride=[1, 0]),
        window("layers.0.stride", 1, "[1, 0]"),
    ),
    (
        "_geometry_is_whole_numbers",
        set_entry(0, padding=[1, -1]),
        window("layers.0.padding", 0, "[1, -1]"),
    ),
    (
        "_geometry_is_whole_numbers",
        set_entry(3, size=[3, 2**24 + 1]),
        window("layers.3.size", 1, "[3, 16777217]"),
    ),
    (
        "_geometry_is_whole_numbers",
        set_entry(4, output_padding=[1, 1, 1]),
        window("layers.4.output_padding", 0, "[1, 1, 1]"),
    ),
    (
        "_geometry_is_whole_numbers",
        set_entry(4, stride=[True, 2]),
        window("layers.4.stride", 1, "[True, 2]"),
    ),
    (
        "_geometry_is_whole_numbers",
        set_entry(1, groups=0),
        "layers.1.groups must be an integer from 1 to 16777216, not 0.",
    ),
    (
        "_geometry_is_whole_numbers",
        set_entry(1, groups=[4]),
        "layers.1.groups must be an integer from 1 to 16777216, not [4].",
    ),
    (
        "_padding_fits_its_window",
        set_entry(3, padding=[1, 2]),
        "layers.3.padding is [1, 2]: it must be at most half the window's size [3, 3].",
    ),
    (
        "_padding_fits_its_window",
        set_entry(4, output_padding=[0, 2]),
        "layers.4.output_padding is [0, 2]: it must be less than the stride [2, 2].",
    ),
    (
        "_sources_come_before",
        set_entry(0, input="layers.0"),
        "layers.0 takes its input from 'layers.0': it must be 'input' or the name of an earlier "
        "layer.",
    ),
    (
        "_sources_come_before",
        set_entry(3, input={"layers.2": 1}),
        "layers.3 takes its input from {'layers.2': 1}: it must be 'input' or the name of an "
        "earlier layer.",
    ),
    (
        "_sources_come_before",
        set_entry(3, input=["layers.2"]),
        "layers.3 takes its input from ['layers.2']: it must be 'input' or the name of an earlier "
        "layer.",
    ),
    (
        "_sources_come_before",
        set_entry(2, inputs=["layers.0", "layers.3"]),
        "layers.2 takes its input from 'layers.3': it must be 'input' or the name of an earlier "
        "layer.",
    ),
    (
        "_sources_come_before",
        set_entry(2, inputs=["layers.0"]),
        "layers.2.inputs must be a list of two or more layers, not ['layers.0'].",
    ),
    (
        "_sources_come_before",
        set_entry(2, inputs="layers.0"),
        "layers.2.inputs must be a list of two or more layers, not 'layers.0'.",
    ),
    (
        "_every_layer_is_used",
        set_entry(2, inputs=["layers.0", "layers.0"]),
        "layers.1 feeds no layer: each but the last, layers.5, must.",
    ),
    (
        "_tensors_are_those_described",
        put("layers.3.bias", (4,)),
        "Unknown tensor 'layers.3.bias': did you mean 'layers.5.bias'? The known ones are "
        + GRAPH_TENSORS,
    ),
    ("_tensors_are_those_described", drop("layers.2.bias"), "The tensor layers.2.bias is missing."),
    (
        "_levels_leave_where_levels_are_taken",
        drop("layers.2.thresholds"),
        "layers.2.thresholds is missing: layers.3 takes levels from it.",
    ),
    (
        "_accumulators_leave_where_they_are_taken",
        put("layers.1.thresholds", (1,)),
        "layers.1.thresholds must not be there: layers.2 adds accumulators.",
    ),
    (
        "_accumulators_leave_where_they_are_taken",
        set_entry(2, inputs=["layers.0", "layers.1", "input"]),
        "input gives levels, and has no accumulators: layers.2 adds accumulators.",
    ),
]


def levels_range(found: str) -> str:
    return f"layers.1.levels must be an integer from 2 to 256, not {found}."


# Of lookup_example("class").
LOOKUP_CASES: list[Case] = [
    (
        "_layers_are_known",
        set_layer(0, {"kind": "lookup", "input": "input"}),
        "layers.0 must have the keys kind, input and levels, not ['input', 'kind'].",
    ),
    *(
        ("_geometry_is_whole_numbers", set_entry(1, levels=found), levels_range(repr(found)))
        for found in (1, 0, 257, 2**24, 4.0, True, "4", [4], [4, 4], None)
    ),
    (
        "_tensors_are_those_described",
        drop("layers.0.level_table"),
        "The tensor layers.0.level_table is missing.",
    ),
    (
        "_tensors_are_those_described",
        put("layers.0.thresholds", (1,)),
        "Unknown tensor 'layers.0.thresholds': did you mean 'layers.2.thresholds'? The known ones "
        "are input.thresholds, layers.0.address_bit, layers.0.level_table, layers.1.address_bit, "
        "layers.1.level_table, layers.2.bias, layers.2.centre, layers.2.level_value, "
        "layers.2.product_table, layers.2.thresholds, layers.2.weight_index.",
    ),
    (
        "_tensors_have_their_dtype",
        put("layers.0.address_bit", (4, 3), np.int64),
        "layers.0.address_bit must be int32, not int64.",
    ),
    (
        "_tensors_have_their_dtype",
        put("layers.0.level_table", (4, 8), np.int32),
        "layers.0.level_table must be uint8, not int32.",
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


@pytest.mark.parametrize("kind", ["class", "accumulators"])
def test_a_lookup_layer_has_no_accumulators_for_the_output(kind: str) -> None:
    entries: dict[str, Any] = {"scale": 1.0, "offset": 0.0} if kind == "accumulators" else {}
    assert_refused(
        changed(lookup_example(), set_output(kind=kind, **entries)),
        "_accumulators_leave_where_they_are_taken",
        "layers.1 gives levels, and has no accumulators: the output is made of accumulators.",
    )


def test_a_lookup_layer_has_no_accumulators_to_add() -> None:
    added = set_layer(2, {"kind": "add", "inputs": ["layers.1", "layers.1"]})
    names = ("weight_index", "product_table")
    drops = [drop(f"layers.2.{name}") for name in names]
    assert_refused(
        changed(lookup_example("class"), added, *drops),
        "_accumulators_leave_where_they_are_taken",
        "layers.1 gives levels, and has no accumulators: layers.2 adds accumulators.",
    )


def test_accumulators_do_not_feed_a_lookup_layer() -> None:
    entry = {"kind": "lookup", "input": "layers.2", "levels": 2}
    assert_refused(
        changed(
            lookup_example("class"),
            lambda description, _: description["layers"].append(entry),
            put("layers.3.address_bit", (1, 1)),
            put("layers.3.level_table", (1, 2), np.uint8),
            set_output(kind="levels"),
        ),
        "_levels_leave_where_levels_are_taken",
        "layers.2.thresholds is missing: layers.3 takes levels from it.",
    )


def test_every_rule_has_an_example() -> None:
    named = {rule.__name__ for rule in DESCRIPTION_RULES}
    assert {case[0] for case in CASES + GRAPH_CASES} == named


def test_max_pooling_has_no_accumulators_for_the_output() -> None:
    document = graph_example()
    del document.description["layers"][4:]
    tensors = {n: t for n, t in document.tensors.items() if n[:8] not in ("layers.4", "layers.5")}
    assert_refused(
        Document(document.description, tensors),
        "_accumulators_leave_where_they_are_taken",
        "layers.3 gives levels, and has no accumulators: the output is made of accumulators.",
    )


@pytest.mark.parametrize("description", [None, [], "network", 1, {}])
def test_a_description_that_is_no_object_is_refused(description: Any) -> None:
    with pytest.raises(InvalidNetwork) as refused:
        check(Document(description, {}))
    assert str(refused.value) == THREE_KEYS


def test_a_shape_of_thousands_of_axes_is_refused() -> None:
    document = changed(example(), set_input(shape=[2] * 20_000))
    with pytest.raises(InvalidNetwork, match="The input"):
        check(document)


def test_a_scale_beyond_float64_is_refused() -> None:
    document = changed(
        example("accumulators"), set_output(kind="accumulators", scale=10**400, offset=0)
    )
    with pytest.raises(InvalidNetwork, match="The output's scale must be a finite number"):
        check(document)
