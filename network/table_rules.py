"""The rules of a network's tables: their shapes, their order and their range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from nomul.network.bounds import all_bounds
from nomul.network.description_rules import DIMENSION_MAX, LEVELS_MAX, Rule
from nomul.network.document import Document, document_layers
from nomul.network.layers import INPUT_NAME, Dense, Lookup, Weighted, layer_name
from nomul.network.misfits import misfits
from nomul.network.shapes import (
    Shape,
    all_level_counts,
    all_shapes,
    input_shape,
    layer_shape,
    level_shape,
    n_level_bits,
)

__all__ = ["TABLE_RULES"]

CENTRES_MAX = 65_536
ACCUMULATOR_LEAST, ACCUMULATOR_GREATEST = -(1 << 31), (1 << 31) - 1


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


def _levels_are_two_to_256(document: Document) -> Iterator[str]:
    for name, tensor in document.tensors.items():
        if name.endswith(".thresholds") and tensor.ndim:
            n_levels = tensor.shape[-1] + 1
            if not 2 <= n_levels <= LEVELS_MAX:
                yield (
                    f"{name} makes {n_levels} levels: 2 to {LEVELS_MAX} are possible, with one "
                    "threshold less."
                )


def _thermometer_has_room(document: Document) -> Iterator[str]:
    n_inputs = math.prod(_level_shape(document))
    if n_inputs > DIMENSION_MAX:
        yield f"The input makes {n_inputs} bits: at most {DIMENSION_MAX} are possible."


def _layers_fit_their_sources(document: Document) -> Iterator[str]:
    levels = _level_shape(document)
    shapes = {INPUT_NAME: input_shape(levels)}
    for number, layer in enumerate(document_layers(document)):
        name = layer_name(number)
        flattens = isinstance(layer, (Dense, Lookup))
        if INPUT_NAME in layer.sources and len(levels) > 3 and not flattens:
            yield (
                f"{name} is of kind {layer.kind} and takes the input, which has {len(levels)} "
                "axes: at most channels, height and width are possible."
            )
            return
        for sentence in misfits(name, layer, [shapes[source] for source in layer.sources]):
            yield sentence
            return
        shapes[name] = layer_shape(layer, shapes[layer.sources[0]])


def _layer_tensors_fit(document: Document) -> Iterator[str]:
    shapes = _shapes(document)
    for number, layer in enumerate(document_layers(document)):
        name = layer_name(number)
        n_channels = shapes[name][0]
        tensors = layer.tensors()
        if "bias" in tensors and tensors["bias"].shape != (n_channels,):
            yield f"{name}.bias has shape {tensors['bias'].shape}: it must be {(n_channels,)}."
        if "product_table" in tensors:
            shape = tensors["product_table"].shape
            if len(shape) != 2 or not 1 <= shape[1] <= CENTRES_MAX:
                yield (
                    f"{name}.product_table has shape {shape}: it must be (levels, centres), with "
                    f"1 to {CENTRES_MAX} centres."
                )
        if "thresholds" in tensors:
            shape = tensors["thresholds"].shape
            if len(shape) not in (1, 2) or shape[:-1] not in ((), (n_channels,)):
                yield (
                    f"{name}.thresholds has shape {shape}: it must be (levels - 1,) or "
                    f"({n_channels}, levels - 1)."
                )


def _thresholds_do_not_decrease(document: Document) -> Iterator[str]:
    for name, tensor in document.tensors.items():
        if name.endswith(".thresholds"):
            if not np.all(np.isfinite(tensor)):
                yield f"{name} must be finite."
            if np.any(tensor[..., 1:] < tensor[..., :-1]):
                yield f"{name} must not decrease along its last axis."


def _product_tables_have_a_row_per_level(document: Document) -> Iterator[str]:
    level_counts = _level_counts(document)
    for number, layer in enumerate(document_layers(document)):
        if isinstance(layer, Weighted) and layer.n_levels_in != level_counts[layer.source]:
            yield (
                f"{layer_name(number)}.product_table has {layer.n_levels_in} rows: it must have "
                f"one for each of the {level_counts[layer.source]} levels of {layer.source}."
            )


def _weight_indices_name_a_centre(document: Document) -> Iterator[str]:
    for number, layer in enumerate(document_layers(document)):
        if isinstance(layer, Weighted):
            n_centres = layer.product_table.shape[1]
            largest = int(layer.weight_index.max())
            if largest >= n_centres:
                yield (
                    f"{layer_name(number)}.weight_index holds {largest}: the product table has "
                    f"{n_centres} centres, numbered from 0."
                )


def _addresses_are_of_the_sources_bits(document: Document) -> Iterator[str]:
    level_counts, shapes = _level_counts(document), _shapes(document)
    for number, layer in enumerate(document_layers(document)):
        if isinstance(layer, Lookup):
            n_bits = n_level_bits(shapes[layer.source], level_counts[layer.source])
            for found in (int(layer.address_bit.min()), int(layer.address_bit.max())):
                if not 0 <= found < n_bits:
                    yield (
                        f"{layer_name(number)}.address_bit holds {found}: the levels of "
                        f"{layer.source} have {n_bits} bits, numbered from 0."
                    )


def _level_tables_hold_levels(document: Document) -> Iterator[str]:
    for number, layer in enumerate(document_layers(document)):
        if isinstance(layer, Lookup):
            largest = int(layer.level_table.max())
            if largest >= layer.levels:
                yield (
                    f"{layer_name(number)}.level_table holds {largest}: the layer gives "
                    f"{layer.levels} levels, numbered from 0."
                )


def _factors_give_the_product_table(document: Document) -> Iterator[str]:
    for number, layer in enumerate(document_layers(document)):
        tensors = layer.tensors()
        present = [name for name in ("level_value", "centre") if name in tensors]
        if not present:
            continue
        name = layer_name(number)
        if len(present) == 1:
            yield f"{name} has {present[0]} alone: level_value and centre go together."
            continue
        n_levels, n_centres = tensors["product_table"].shape
        value, centre = tensors["level_value"], tensors["centre"]
        if value.shape != (n_levels,) or centre.shape != (n_centres,):
            yield (
                f"{name}.level_value and centre have shapes {value.shape} and {centre.shape}: "
                f"they must be ({n_levels},) and ({n_centres},)."
            )
        elif not np.array_equal(
            np.outer(value.astype(np.int64), centre.astype(np.int64)), tensors["product_table"]
        ):
            yield f"{name}.product_table is not the product of its level_value and centre."


def _accumulators_fit_32_bits(document: Document) -> Iterator[str]:
    bounds = all_bounds(_shapes(document), document_layers(document))
    for name, (least, greatest) in bounds.items():
        if least.min() < ACCUMULATOR_LEAST or greatest.max() > ACCUMULATOR_GREATEST:
            yield (
                f"{name} has accumulators from {least.min()} to {greatest.max()}: they must stay "
                f"within 32 bits, {ACCUMULATOR_LEAST} to {ACCUMULATOR_GREATEST}."
            )


TABLE_RULES: tuple[Rule, ...] = (
    _input_thresholds_fit,
    _levels_are_two_to_256,
    _thermometer_has_room,
    _layers_fit_their_sources,
    _layer_tensors_fit,
    _thresholds_do_not_decrease,
    _product_tables_have_a_row_per_level,
    _weight_indices_name_a_centre,
    _factors_give_the_product_table,
    _addresses_are_of_the_sources_bits,
    _level_tables_hold_levels,
    _accumulators_fit_32_bits,
)


def _level_shape(document: Document) -> tuple[int, ...]:
    entry = document.description["input"]
    thresholds = document.tensors[f"{INPUT_NAME}.thresholds"]
    return level_shape(tuple(entry["shape"]), thresholds, entry.get("encoding", "level"))


def _shapes(document: Document) -> dict[str, Shape]:
    return dict(all_shapes(_level_shape(document), document_layers(document)))


def _level_counts(document: Document) -> Mapping[str, int | None]:
    """Return how many levels the input and each layer give; None: accumulators."""
    thermometer = document.description["input"].get("encoding") == "thermometer"
    thresholds = document.tensors[f"{INPUT_NAME}.thresholds"]
    n_levels_in = 2 if thermometer else thresholds.shape[-1] + 1
    return all_level_counts(n_levels_in, document_layers(document))
