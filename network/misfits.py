"""How a layer may not fit what its sources give, each with its own sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nomul.network.description_rules import DIMENSION_MAX
from nomul.network.layers import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    Lookup,
    MaxPool2d,
    Weighted,
)
from nomul.network.shapes import Shape, layer_shape

__all__ = ["misfits"]

# With 32-bit products, every partial sum stays within 2**53, where float64 is exact.
PRODUCTS_MAX = 1 << 22
# A table of 2**12 bits takes 64 LUT6 and what chooses among them: it doubles with each further bit.
ADDRESS_BITS_MAX = 12


def misfits(name: str, layer: Layer, sources: list[Shape]) -> Iterator[str]:
    """Yield a sentence for each of the ways in which ``layer`` does not fit its sources.

    Parameters
    ----------
    name
        What the sentences call the layer.
    layer
        Its tensors have their dtypes; nothing else of them has been checked.
    sources
        Shapes of what it takes.
    """
    if isinstance(layer, Weighted):
        yield from _weight_misfits(name, layer, sources[0])
    if isinstance(layer, Add) and len(set(sources)) > 1:
        listed = " and ".join(str(shape) for shape in dict.fromkeys(sources))
        yield f"{name} adds the shapes {listed}: they must be equal."
    if isinstance(layer, (Conv2d, ConvTranspose2d, MaxPool2d)):
        yield from _window_misfits(name, layer, sources[0])
    if isinstance(layer, Lookup):
        yield from _lookup_misfits(name, layer)


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


def _lookup_misfits(name: str, layer: Lookup) -> Iterator[str]:
    shape = layer.address_bit.shape
    if len(shape) != 2 or shape[0] < 1:
        yield (
            f"{name}.address_bit has shape {shape}: it must be (neurons, address bits), with at "
            "least one neuron."
        )
    elif not 1 <= shape[1] <= ADDRESS_BITS_MAX:
        yield (
            f"{name}.address_bit has {shape[1]} bits for each neuron: 1 to {ADDRESS_BITS_MAX} are "
            "possible."
        )
    elif layer.level_table.shape != (shape[0], 1 << shape[1]):
        yield (
            f"{name}.level_table has shape {layer.level_table.shape}: it must be "
            f"{(shape[0], 1 << shape[1])}, with a level for each address of each neuron."
        )
