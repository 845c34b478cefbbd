"""Every rule refuses what it names, with its sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import InvalidNetwork
from nomul.network.model import OutputKind
from nomul.network.rules import RULES, Document, check
from tests.networks import random_network

Tensors = dict[str, NDArray[Any]]
Change = Callable[[dict[str, Any], Tensors], object]

INT32 = np.dtype(np.int32)


def example(output: OutputKind = "class", *, factored: bool = True) -> Document:
    """Return a valid document that may be changed: 3 inputs, 4 neurons, 2 neurons."""
    levels = (3, 5, 2) if output == "levels" else (3, 5)
    document = random_network((3, 4, 2), levels, output=output, factored=factored).document()
    return Document(copy.deepcopy(document.description), dict(document.tensors))


def put(name: str, shape: tuple[int, ...], dtype: Any = INT32) -> Change:
    """Replace a tensor by zeros."""
    return lambda _, tensors: tensors.update({name: np.zeros(shape, dtype)})


def put_values(name: str, values: Any, dtype: Any = INT32) -> Change:
    return lambda _, tensors: tensors.update({name: np.array(values, dtype)})


def drop(name: str) -> Change:
    return lambda _, tensors: tensors.pop(name)


def set_input(**entries: Any) -> Change:
    return lambda description, _: description.update(input=entries)


def set_output(**entries: Any) -> Change:
    return lambda description, _: description.update(output=entries)


def set_layer(number: int, entry: Any) -> Change:
    return lambda description, _: description["layers"].__setitem__(number, entry)


THREE_KEYS = "The network's description must be an object with the keys input, layers and output."
INPUT_FORM = "The input must be an object with the one key shape, a list of positive integers."
ACCUMULATOR_KEYS = "An output of kind accumulators must have the keys kind, offset, scale."
KNOWN_TENSORS = (
    "input.thresholds, layers.0.bias, layers.0.centre, layers.0.level_value, "
    "layers.0.product_table, layers.0.thresholds, layers.0.weight_index, layers.1.bias, "
    "layers.1.centre, layers.1.level_value, layers.1.product_table, layers.1.thresholds, "
    "layers.1.weight_index."
)


def shape_must_be_positive(found: str) -> str:
    return f"The input's shape must be positive integers up to 16777216, not {found}."


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


CASES: list[tuple[str, Change, str]] = [
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
        "layers.0: Unknown layer kind 'dens': did you mean 'dense'? The known ones are dense.",
    ),
    (
        "_layers_are_known",
        set_layer(1, {"kind": "dense"}),
        "layers.1 must have the keys kind and input, not ['kind'].",
    ),
    (
        "_layers_form_a_chain",
        set_layer(0, {"kind": "dense", "input": "layers.1"}),
        "layers.0 takes its levels from 'layers.1': this version knows chains only, where it must "
        "be 'input'.",
    ),
    (
        "_layers_form_a_chain",
        set_layer(1, {"kind": "dense", "input": ["input"]}),
        "layers.1 takes its levels from ['input']: this version knows chains only, where it must "
        "be 'layers.0'.",
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
        "_weight_indices_fit_their_source",
        put("layers.0.weight_index", (12,), np.uint8),
        weight_index_shape("layers.0", "(12,)", 3),
    ),
    (
        "_weight_indices_fit_their_source",
        put("layers.0.weight_index", (0, 3), np.uint8),
        weight_index_shape("layers.0", "(0, 3)", 3),
    ),
    (
        "_weight_indices_fit_their_source",
        put("layers.1.weight_index", (2, 3), np.uint8),
        weight_index_shape("layers.1", "(2, 3)", 4),
    ),
    (
        "_thresholds_stand_where_levels_leave",
        drop("layers.0.thresholds"),
        "layers.0.thresholds is missing: layers.1 takes levels from it.",
    ),
    (
        "_thresholds_stand_where_levels_leave",
        set_output(kind="levels"),
        "layers.1.thresholds is missing: the output is levels.",
    ),
    (
        "_thresholds_stand_where_levels_leave",
        put("layers.1.thresholds", (1,)),
        "layers.1.thresholds must not be there: the output is made of the last layer's "
        "accumulators.",
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
]


@pytest.mark.parametrize(
    ("rule", "change", "sentence"),
    [pytest.param(*case, id=f"{number}{case[0]}") for number, case in enumerate(CASES)],
)
def test_a_rule_refuses_with_its_sentence(rule: str, change: Change, sentence: str) -> None:
    document = example()
    change(document.description, document.tensors)
    with pytest.raises(InvalidNetwork) as refused:
        check(document)
    assert str(refused.value) == sentence
    first_to_fail = next(rule.__name__ for rule in RULES if any(rule(document)))
    assert first_to_fail == rule


def test_every_rule_has_an_example() -> None:
    assert {case[0] for case in CASES} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("description", [None, [], "network", 1, {}])
def test_a_description_that_is_no_object_is_refused(description: Any) -> None:
    with pytest.raises(InvalidNetwork) as refused:
        check(Document(description, {}))
    assert str(refused.value) == THREE_KEYS


def test_products_are_compared_without_overflow() -> None:
    """2**16 times 2**16 is 0 in 32 bits, and no product table holds it."""
    document = example()
    put("layers.0.product_table", (3, 5))({}, document.tensors)
    put_values("layers.0.level_value", [2**16] * 3)({}, document.tensors)
    put_values("layers.0.centre", [2**16] * 5)({}, document.tensors)
    with pytest.raises(InvalidNetwork, match="is not the product"):
        check(document)


def test_a_shape_of_thousands_of_axes_is_refused() -> None:
    document = example()
    document.description["input"] = {"shape": [2] * 20_000}
    with pytest.raises(InvalidNetwork, match="The input"):
        check(document)


def test_a_scale_beyond_float64_is_refused() -> None:
    document = example("accumulators")
    document.description["output"]["scale"] = 10**400
    with pytest.raises(InvalidNetwork, match="The output's scale must be a finite number"):
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
    document = example(factored=False)
    change(document.description, document.tensors)
    check(document)


@pytest.mark.parametrize("n_levels", [2, 256])
@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
def test_the_fewest_and_the_most_levels_pass(n_levels: int, output: OutputKind) -> None:
    levels = (n_levels,) * (3 if output == "levels" else 2)
    check(random_network((1, 1, 1), levels, n_centres=1, output=output).document())


def test_the_most_centres_pass() -> None:
    document = example(factored=False)
    put("layers.0.product_table", (3, 65_536))({}, document.tensors)
    values = np.full((4, 3), 65_535)
    put_values("layers.0.weight_index", values, np.uint16)({}, document.tensors)
    check(document)
