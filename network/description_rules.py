"""The rules of a network's description, and of which tensors belong to it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nomul.network.document import Document
from nomul.network.errors import unknown_name
from nomul.network.layers import INPUT_NAME, LAYER_KINDS, layer_name
from nomul.network.tensors import TENSOR_DTYPES

__all__ = ["DESCRIPTION_RULES", "DIMENSION_MAX", "LEVELS_MAX", "Rule"]

Rule = Callable[[Document], Iterator[str]]

AXES_MAX = 32
DIMENSION_MAX = 1 << 24
LEVELS_MAX = 256

ENCODINGS = ("level", "thermometer")
OUTPUT_KEYS = {"class": {"kind"}, "accumulators": {"kind", "scale", "offset"}, "levels": {"kind"}}

# The geometry that is one number, not two for height and width.
SINGLE = {"groups", "levels"}
# The geometry whose least number is not 1, and whose greatest is not DIMENSION_MAX.
LEAST = {"padding": 0, "output_padding": 0, "levels": 2}
GREATEST = {"levels": LEVELS_MAX}


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
    if not {"shape"} <= entry.keys() <= {"shape", "encoding"} or not isinstance(shape, list):
        yield (
            "The input must be an object with the key shape, a list of positive integers, and "
            "perhaps the key encoding."
        )
    elif len(shape) > AXES_MAX:
        yield f"The input's shape has {len(shape)} axes: at most {AXES_MAX} are possible."
    elif not shape or not all(type(n) is int and 0 < n <= DIMENSION_MAX for n in shape):
        yield f"The input's shape must be positive integers up to {DIMENSION_MAX}, not {shape}."
    elif math.prod(shape) > DIMENSION_MAX:
        yield f"The input has {math.prod(shape)} features: at most {DIMENSION_MAX} are possible."


def _input_encoding_is_known(document: Document) -> Iterator[str]:
    encoding = document.description["input"].get("encoding", ENCODINGS[0])
    if encoding not in ENCODINGS:
        yield unknown_name("input encoding", str(encoding), ENCODINGS)


def _layers_are_known(document: Document) -> Iterator[str]:
    layers = document.description["layers"]
    if not layers:
        yield "The network has no layers: it needs at least one."
    for number, entry in enumerate(layers):
        name = layer_name(number)
        if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
            yield f"{name} must be an object with a kind."
        elif entry["kind"] not in LAYER_KINDS:
            yield f"{name}: " + unknown_name("layer kind", entry["kind"], LAYER_KINDS)
        else:
            source = "inputs" if entry["kind"] == "add" else "input"
            keys = ["kind", source, *LAYER_KINDS[entry["kind"]].GEOMETRY]
            if entry.keys() != set(keys):
                listed = ", ".join(keys[:-1]) + f" and {keys[-1]}"
                yield f"{name} must have the keys {listed}, not {sorted(entry)}."


def _geometry_is_whole_numbers(document: Document) -> Iterator[str]:
    for number, entry in enumerate(document.description["layers"]):
        for name in LAYER_KINDS[entry["kind"]].GEOMETRY:
            value, is_single = entry[name], name in SINGLE
            least, greatest = LEAST.get(name, 1), GREATEST.get(name, DIMENSION_MAX)
            found = [value] if is_single else value
            if (
                not isinstance(found, list)
                or len(found) != (1 if is_single else 2)
                or not all(type(n) is int and least <= n <= greatest for n in found)
            ):
                form = "an integer" if is_single else "two integers, for height and width,"
                yield (
                    f"{layer_name(number)}.{name} must be {form} from {least} to {greatest}, "
                    f"not {value!r}."
                )


def _padding_fits_its_window(document: Document) -> Iterator[str]:
    for number, entry in enumerate(document.description["layers"]):
        name = layer_name(number)
        if entry["kind"] == "max_pool2d" and any(
            2 * padding > size
            for padding, size in zip(entry["padding"], entry["size"], strict=True)
        ):
            yield (
                f"{name}.padding is {entry['padding']}: it must be at most half the window's "
                f"size {entry['size']}."
            )
        if entry["kind"] == "conv_transpose2d" and any(
            added >= stride
            for added, stride in zip(entry["output_padding"], entry["stride"], strict=True)
        ):
            yield (
                f"{name}.output_padding is {entry['output_padding']}: it must be less than the "
                f"stride {entry['stride']}."
            )


def _sources_come_before(document: Document) -> Iterator[str]:
    known = {INPUT_NAME}
    for number, entry in enumerate(document.description["layers"]):
        name = layer_name(number)
        sources = _sources(entry)
        if entry["kind"] == "add" and (not isinstance(sources, list) or len(sources) < 2):
            yield f"{name}.inputs must be a list of two or more layers, not {sources!r}."
            return
        for source in sources:
            if not isinstance(source, str) or source not in known:
                yield (
                    f"{name} takes its input from {source!r}: it must be {INPUT_NAME!r} or the "
                    "name of an earlier layer."
                )
        known.add(name)


def _every_layer_is_used(document: Document) -> Iterator[str]:
    layers = document.description["layers"]
    last = layer_name(len(layers) - 1)
    used = {source for entry in layers for source in _sources(entry)}
    for number in range(len(layers) - 1):
        if layer_name(number) not in used:
            yield (f"{layer_name(number)} feeds no layer: each but the last, {last}, must.")


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
    for number, entry in enumerate(document.description["layers"]):
        kind, prefix = LAYER_KINDS[entry["kind"]], layer_name(number)
        required |= {f"{prefix}.{name}" for name in kind.REQUIRED}
        allowed |= {f"{prefix}.{name}" for name in kind.REQUIRED + kind.OPTIONAL}
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


def _levels_leave_where_levels_are_taken(document: Document) -> Iterator[str]:
    layers = document.description["layers"]
    takers = [
        (source, f"{layer_name(number)} takes levels from it")
        for number, entry in enumerate(layers)
        if entry["kind"] != "add"
        for source in _sources(entry)
    ]
    if document.description["output"]["kind"] == "levels":
        takers.append((layer_name(len(layers) - 1), "the output is levels"))
    for name, reason in takers:
        if _ends_in_accumulators(document, name):
            yield f"{name}.thresholds is missing: {reason}."


def _accumulators_leave_where_they_are_taken(document: Document) -> Iterator[str]:
    layers = document.description["layers"]
    takers = [
        (source, f"{layer_name(number)} adds accumulators")
        for number, entry in enumerate(layers)
        if entry["kind"] == "add"
        for source in _sources(entry)
    ]
    if document.description["output"]["kind"] != "levels":
        takers.append((layer_name(len(layers) - 1), "the output is made of accumulators"))
    for name, reason in takers:
        if f"{name}.thresholds" in document.tensors and name != INPUT_NAME:
            yield f"{name}.thresholds must not be there: {reason}."
        elif not _ends_in_accumulators(document, name):
            yield f"{name} gives levels, and has no accumulators: {reason}."


DESCRIPTION_RULES: tuple[Rule, ...] = (
    _description_has_three_parts,
    _input_has_a_shape,
    _input_encoding_is_known,
    _layers_are_known,
    _geometry_is_whole_numbers,
    _padding_fits_its_window,
    _sources_come_before,
    _every_layer_is_used,
    _output_is_known,
    _tensors_are_those_described,
    _tensors_have_their_dtype,
    _levels_leave_where_levels_are_taken,
    _accumulators_leave_where_they_are_taken,
)


def _sources(entry: dict[str, Any]) -> list[Any]:
    return entry["inputs"] if entry["kind"] == "add" else [entry["input"]]


def _ends_in_accumulators(document: Document, name: str) -> bool:
    if name == INPUT_NAME:
        return False
    entry = document.description["layers"][int(name.rpartition(".")[2])]
    has_accumulators = "thresholds" in LAYER_KINDS[entry["kind"]].OPTIONAL
    return has_accumulators and f"{name}.thresholds" not in document.tensors
