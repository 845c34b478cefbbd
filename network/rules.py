"""What makes a document a valid network: one list of rules, each with its own sentence.

Rules are tried in order and each may rely on those before it, so the first that fails names the
fault. They hold for networks built in Python and for files alike.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import InvalidNetwork, unknown_name

__all__ = ["INPUT_NAME", "RULES", "TENSOR_DTYPES", "Document", "check", "layer_name"]

INPUT_NAME = "input"
LEVELS_MAX = 256
CENTRES_MAX = 65_536
AXES_MAX = 32
DIMENSION_MAX = 1 << 24

OUTPUT_KEYS = {"class": {"kind"}, "accumulators": {"kind", "scale", "offset"}, "levels": {"kind"}}
TENSOR_DTYPES: dict[str, tuple[str, ...]] = {
    "weight_index": ("uint8", "uint16"),
    "product_table": ("int32",),
    "bias": ("int32",),
    "thresholds": ("int32",),
    "level_value": ("int32",),
    "centre": ("int32",),
}
REQUIRED_TENSORS = ("weight_index", "product_table", "bias")


@dataclass(frozen=True)
class Document:
    """A network as it lies in a file: a JSON description and named tensors, nothing checked."""

    description: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def layer_name(number: int) -> str:
    """Name of layer ``number``, counted from 0: what other layers and tensors call it."""
    return f"layers.{number}"


def check(document: Document) -> None:
    """Apply every rule.

    Raises
    ------
    InvalidNetwork
        With the sentence of the first rule that fails.
    """
    for rule in RULES:
        for sentence in rule(document):
            raise InvalidNetwork(sentence)


def _description_has_three_parts(document: Document) -> Iterator[str]:
    parts = {"input": dict, "layers": list, "output": dict}
    description = document.description
    if not isinstance(description, dict) or description.keys() != parts.keys():
        yield "The network's description must be an object with the keys input, layers and output."
        return
    for key, kind in parts.items():
        if not isinstance(description[key], kind):
            form = "an object" if kind is dict else "a list"
            yield f"The network's {key} must be {form}."


def _input_has_a_shape(document: Document) -> Iterator[str]:
    entry = document.description["input"]
    shape = entry.get("shape")
    if entry.keys() != {"shape"} or not isinstance(shape, list):
        yield "The input must be an object with the one key shape, a list of positive integers."
    elif len(shape) > AXES_MAX:
        yield f"The input's shape has {len(shape)} axes: at most {AXES_MAX} are possible."
    elif not shape or not all(type(n) is int and 0 < n <= DIMENSION_MAX for n in shape):
        yield f"The input's shape must be positive integers up to {DIMENSION_MAX}, not {shape}."
    elif math.prod(shape) > DIMENSION_MAX:
        yield f"The input has {math.prod(shape)} features: at most {DIMENSION_MAX} are possible."


def _layers_are_known(document: Document) -> Iterator[str]:
    layers = document.description["layers"]
    if not layers:
        yield "The network has no layers: it needs at least one."
    for number, entry in enumerate(layers):
        if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
            yield f"{layer_name(number)} must be an object with a kind."
        elif entry["kind"] != "dense":
            yield f"{layer_name(number)}: " + unknown_name("layer kind", entry["kind"], ["dense"])
        elif entry.keys() != {"kind", "input"}:
            yield f"{layer_name(number)} must have the keys kind and input, not {sorted(entry)}."


def _layers_form_a_chain(document: Document) -> Iterator[str]:
    for number, entry in enumerate(document.description["layers"]):
        expected = layer_name(number - 1) if number else INPUT_NAME
        if entry["input"] != expected:
            yield (
                f"{layer_name(number)} takes its levels from {entry['input']!r}: this version "
                f"knows chains only, where it must be {expected!r}."
            )


def _output_is_known(document: Document) -> Iterator[str]:
    entry = document.description["output"]
    kind = entry.get("kind")
    if not isinstance(kind, str):
        yield "The output must have a kind."
    elif kind not in OUTPUT_KEYS:
        yield unknown_name("output kind", kind, OUTPUT_KEYS)
    elif entry.keys() != OUTPUT_KEYS[kind]:
        yield f"An output of kind {kind} must have the keys {', '.join(sorted(OUTPUT_KEYS[kind]))}."
    else:
        for key in sorted(entry.keys() - {"kind"}):
            value = entry[key]
            # Python compares an integer beyond float64 exactly; math.isfinite would overflow.
            if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
                yield f"The output's {key} must be a finite number, not {value!r}."
        if kind == "accumulators" and entry["scale"] == 0:
            yield "The output's scale must not be 0."


def _tensors_are_those_described(document: Document) -> Iterator[str]:
    allowed = {f"{INPUT_NAME}.thresholds"}
    required = set(allowed)
    for number in range(len(document.description["layers"])):
        allowed |= {f"{layer_name(number)}.{name}" for name in TENSOR_DTYPES}
        required |= {f"{layer_name(number)}.{name}" for name in REQUIRED_TENSORS}
    for name in sorted(required - document.tensors.keys()):
        yield f"The tensor {name} is missing."
    for name in sorted(document.tensors.keys() - allowed):
        yield unknown_name("tensor", name, allowed)


def _tensors_have_their_dtype(document: Document) -> Iterator[str]:
    for name, tensor in document.tensors.items():
        dtypes = (
            ("float64",)
            if name.startswith(f"{INPUT_NAME}.")
            else TENSOR_DTYPES[name.rpartition(".")[2]]
        )
        if tensor.dtype not in [np.dtype(dtype) for dtype in dtypes]:
            yield f"{name} must be {' or '.join(dtypes)}, not {tensor.dtype}."


def _input_thresholds_fit(document: Document) -> Iterator[str]:
    name = f"{INPUT_NAME}.thresholds"
    shape = document.tensors[name].shape
    features = tuple(document.description["input"]["shape"])
    if not shape or (
        shape[:-1]
        and (
            len(shape[:-1]) != len(features)
            or any(own not in (1, n) for own, n in zip(shape[:-1], features, strict=True))
        )
    ):
        yield (
            f"{name} has shape {shape}: it must be (levels - 1,), or as many axes as the "
            f"features {features} have, each equal or 1, and then levels - 1."
        )


def _weight_indices_fit_their_source(document: Document) -> Iterator[str]:
    n_inputs = math.prod(document.description["input"]["shape"])
    for number, tensors in _layers(document):
        name = f"{layer_name(number)}.weight_index"
        shape = tensors["weight_index"].shape
        if len(shape) != 2 or shape[0] < 1 or shape[1] != n_inputs:
            yield (
                f"{name} has shape {shape}: it must be (neurons, inputs), with at least one "
                f"neuron and the {n_inputs} inputs that its source gives."
            )
            return
        n_inputs = shape[0]


def _thresholds_stand_where_levels_leave(document: Document) -> Iterator[str]:
    last = len(document.description["layers"]) - 1
    kind = document.description["output"]["kind"]
    for number, tensors in _layers(document):
        name = f"{layer_name(number)}.thresholds"
        if number < last and "thresholds" not in tensors:
            yield f"{name} is missing: {layer_name(number + 1)} takes levels from it."
        if number == last and kind == "levels" and "thresholds" not in tensors:
            yield f"{name} is missing: the output is levels."
        if number == last and kind != "levels" and "thresholds" in tensors:
            yield f"{name} must not be there: the output is made of the last layer's accumulators."


def _layer_tensors_fit(document: Document) -> Iterator[str]:
    for number, tensors in _layers(document):
        prefix = layer_name(number)
        n_neurons = tensors["weight_index"].shape[0]
        shape = tensors["bias"].shape
        if shape != (n_neurons,):
            yield f"{prefix}.bias has shape {shape}: it must be {(n_neurons,)}."
        shape = tensors["product_table"].shape
        if len(shape) != 2 or not 1 <= shape[1] <= CENTRES_MAX:
            yield (
                f"{prefix}.product_table has shape {shape}: it must be (levels, centres), with "
                f"1 to {CENTRES_MAX} centres."
            )
        if "thresholds" in tensors:
            shape = tensors["thresholds"].shape
            if len(shape) not in (1, 2) or shape[:-1] not in ((), (n_neurons,)):
                yield (
                    f"{prefix}.thresholds has shape {shape}: it must be (levels - 1,) or "
                    f"({n_neurons}, levels - 1)."
                )


def _levels_are_two_to_256(document: Document) -> Iterator[str]:
    for name, tensor in document.tensors.items():
        if name.endswith(".thresholds") and not 1 <= tensor.shape[-1] < LEVELS_MAX:
            yield (
                f"{name} makes {tensor.shape[-1] + 1} levels: 2 to {LEVELS_MAX} are possible, "
                "with one threshold less."
            )


def _thresholds_do_not_decrease(document: Document) -> Iterator[str]:
    for name, tensor in document.tensors.items():
        if name.endswith(".thresholds"):
            if not np.all(np.isfinite(tensor)):
                yield f"{name} must be finite."
            if np.any(tensor[..., 1:] < tensor[..., :-1]):
                yield f"{name} must not decrease along its last axis."


def _product_tables_have_a_row_per_level(document: Document) -> Iterator[str]:
    source, n_levels = INPUT_NAME, document.tensors[f"{INPUT_NAME}.thresholds"].shape[-1] + 1
    for number, tensors in _layers(document):
        n_rows = tensors["product_table"].shape[0]
        if n_rows != n_levels:
            yield (
                f"{layer_name(number)}.product_table has {n_rows} rows: it must have one for "
                f"each of the {n_levels} levels of {source}."
            )
        if "thresholds" in tensors:
            source, n_levels = layer_name(number), tensors["thresholds"].shape[-1] + 1


def _weight_indices_name_a_centre(document: Document) -> Iterator[str]:
    for number, tensors in _layers(document):
        n_centres = tensors["product_table"].shape[1]
        largest = int(tensors["weight_index"].max())
        if largest >= n_centres:
            yield (
                f"{layer_name(number)}.weight_index holds {largest}: the product table has "
                f"{n_centres} centres, numbered from 0."
            )


def _factors_give_the_product_table(document: Document) -> Iterator[str]:
    for number, tensors in _layers(document):
        present = [name for name in ("level_value", "centre") if name in tensors]
        if not present:
            continue
        prefix = layer_name(number)
        if len(present) == 1:
            yield f"{prefix} has {present[0]} alone: level_value and centre go together."
            continue
        n_levels, n_centres = tensors["product_table"].shape
        value, centre = tensors["level_value"], tensors["centre"]
        if value.shape != (n_levels,) or centre.shape != (n_centres,):
            yield (
                f"{prefix}.level_value and centre have shapes {value.shape} and {centre.shape}: "
                f"they must be ({n_levels},) and ({n_centres},)."
            )
        elif not np.array_equal(
            np.outer(value.astype(np.int64), centre.astype(np.int64)), tensors["product_table"]
        ):
            yield f"{prefix}.product_table is not the product of its level_value and centre."


RULES: tuple[Callable[[Document], Iterator[str]], ...] = (
    _description_has_three_parts,
    _input_has_a_shape,
    _layers_are_known,
    _layers_form_a_chain,
    _output_is_known,
    _tensors_are_those_described,
    _tensors_have_their_dtype,
    _input_thresholds_fit,
    _weight_indices_fit_their_source,
    _thresholds_stand_where_levels_leave,
    _layer_tensors_fit,
    _levels_are_two_to_256,
    _thresholds_do_not_decrease,
    _product_tables_have_a_row_per_level,
    _weight_indices_name_a_centre,
    _factors_give_the_product_table,
)


def _layers(document: Document) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield every layer's number and its tensors by their own names."""
    for number in range(len(document.description["layers"])):
        prefix = f"{layer_name(number)}."
        yield (
            number,
            {
                name.removeprefix(prefix): tensor
                for name, tensor in document.tensors.items()
                if name.startswith(prefix)
            },
        )
