"""The rules of a network's tables: their shapes, their order and their range."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from nomul.network.bounds import all_bounds
from nomul.network.description_rules import DIMENSION_MAX, Rule
from nomul.network.document import Document, document_layers
from nomul.network.layers import (
    INPUT_NAME,
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    MaxPool2d,
    Weighted,
    layer_name,
)
from nomul.network.shapes import (
    Shape,
    all_level_counts,
    all_shapes,
    input_shape,
    layer_shape,
    level_shape,
)

__all__ = ["TABLE_RULES"]

LEVELS_MAX = 256
CENTRES_MAX = 65_536
# With 32-bit products, every partial sum stays within 2**53, where float64 is exact.
PRODUCTS_MAX = 1 << 22
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
        if INPUT_NAME in layer.sources and len(levels) > 3 and not isinstance(layer, Dense):
            yield (
                f"{name} is of kind {layer.kind} and takes the input, which has {len(levels)} "
                "axes: at most channels, height and width are possible."
            )
            return
        for sentence in _misfits(name, layer, [shapes[source] for source in layer.sources]):
            yield sentence
            return
        shapes[name] = layer_shape(layer, shapes[layer.sources[0]])


def _misfits(name: str, layer: Layer, sources: list[Shape]) -> Iterator[str]:
    if isinstance(layer, Weighted):
        yield from _weight_misfits(name, layer, sources[0])
    if isinstance(layer, Add) and len(set(sources)) > 1:
        listed = " and ".join(str(shape) for shape in dict.fromkeys(sources))
        yield f"{name} adds the shapes {listed}: they must be equal."
    if isinstance(layer, (Conv2d, ConvTranspose2d, MaxPool2d)):
        yield from _window_misfits(name, layer, sources[0])


def _weight_misfits(name: str, layer: Weighted, source: Shape) -> Iterator[str]:
    shape, n_channels = layer.weight_index.shape, source[0]
    if isinstance(layer, Dense):
        n_inputs = math.prod(source)
        if len(shape) != 2 or shape[0] < 1 or shape[1] != n_inputs:
            yield (
                f"{name}.weight_index has shape {shape}: it must be (neurons, inputs), with at "
                f"least one neuron and the {n_inputs} inputs that its source gives."
            )
            return
        n_products = n_inputs
    else:
        assert isinstance(layer, (Conv2d, ConvTranspose2d))
        per_group = n_channels // layer.groups
        if n_channels % layer.groups:
            yield (
                f"{name} has {layer.groups} groups: they must divide the {n_channels} channels "
                "that its source gives."
            )
            return
        if isinstance(layer, Conv2d):
            form = f"(channels out, {per_group}, kernel height, kernel width)"
            fits = len(shape) == 4 and shape[1] == per_group
        else:
            form = f"({n_channels}, channels out / groups, kernel height, kernel width)"
            fits = len(shape) == 4 and shape[0] == n_channels
        if not fits or 0 in shape:
            yield f"{name}.weight_index has shape {shape}: it must be {form}, none of them 0."
            return
        if isinstance(layer, Conv2d) and shape[0] % layer.groups:
            yield (
                f"{name} has {layer.groups} groups: they must divide its {shape[0]} channels out."
            )
        n_products = per_group * shape[2] * shape[3]
    if n_products > PRODUCTS_MAX:
        yield (
            f"{name} adds {n_products} products to an accumulator: at most {PRODUCTS_MAX} are "
            "possible."
        )


def _window_misfits(
    name: str, layer: Conv2d | ConvTranspose2d | MaxPool2d, source: Shape
) -> Iterator[str]:
    shape = layer_shape(layer, source)
    size = layer.size if isinstance(layer, MaxPool2d) else layer.weight_index.shape[2:]
    if min(shape) < 1:
        yield (
            f"{name} gives the shape {shape}: its windows {tuple(size)} do not fit into the shape "
            f"{source} of its source."
        )
        return
    # Transposed, padding is what is cut off.
    wide = shape if isinstance(layer, ConvTranspose2d) else source
    n_padded = math.prod(
        n + 2 * padding for n, padding in zip(wide[1:], layer.padding, strict=True)
    )
    n_values = max(math.prod(shape), wide[0] * n_padded)
    if n_values > DIMENSION_MAX:
        yield (
            f"{name} handles {n_values} values, padding included: at most {DIMENSION_MAX} are "
            "possible."
        )


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
    thermometer = document.description["input"].get("encoding") == "thermometer"
    thresholds = document.tensors[f"{INPUT_NAME}.thresholds"]
    n_levels_in = 2 if thermometer else thresholds.shape[-1] + 1
    layers = document_layers(document)
    level_counts = all_level_counts(n_levels_in, layers)
    for number, layer in enumerate(layers):
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
    _accumulators_fit_32_bits,
)


def _level_shape(document: Document) -> tuple[int, ...]:
    entry = document.description["input"]
    thresholds = document.tensors[f"{INPUT_NAME}.thresholds"]
    return level_shape(tuple(entry["shape"]), thresholds, entry.get("encoding", "level"))


def _shapes(document: Document) -> dict[str, Shape]:
    return dict(all_shapes(_level_shape(document), document_layers(document)))
