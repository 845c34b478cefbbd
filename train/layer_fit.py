"""Whether a layer of an experiment fits what comes to it."""

from __future__ import annotations

from nomul.network.errors import UserError
from nomul.train.layer_settings import (
    LAYER_KINDS,
    AveragePoolSettings,
    ConvSettings,
    ConvTransposeSettings,
    LayerSettings,
    MaxPoolSettings,
)

__all__ = ["check_fit", "kind_name"]


def check_fit(layer: LayerSettings, shape: tuple[int, ...], place: str) -> None:
    """Refuse a convolution or a pool that PyTorch would refuse.

    Parameters
    ----------
    shape
        Of what comes to the layer, one sample: a picture is (channels, height, width), a signal
        (channels, length), a row of a table (features,).
    place
        Where the experiment has the layer: ``network.layers[3]``.

    Raises
    ------
    UserError
        Saying what does not fit.
    """
    match layer:
        case ConvSettings():
            _check_axes(layer, shape, place, (2, 3))
            _check_groups(layer, shape[0], place)
            _check_window(f"kernel of {layer.kernel}", layer.kernel, shape, place, layer.padding)
        case ConvTransposeSettings():
            _check_axes(layer, shape, place, (3,))
            _check_groups(layer, shape[0], place)
            _check_transposed(layer, shape, place)
        case MaxPoolSettings() | AveragePoolSettings():
            _check_axes(layer, shape, place, (2, 3))
            _check_window(f"size of {layer.size}", layer.size, shape, place)


def kind_name(layer: LayerSettings) -> str:
    """Return what an experiment calls the layer's kind."""
    return next(name for name, kind in LAYER_KINDS.items() if type(layer) is kind)


def _check_axes(
    layer: LayerSettings, shape: tuple[int, ...], place: str, accepted: tuple[int, ...]
) -> None:
    if len(shape) not in accepted:
        raise UserError(
            f"{place} is of kind {kind_name(layer)} and meets data of shape {shape}: it needs a "
            "picture (channels, height, width)"
            f"{' or a signal (channels, length)' if 2 in accepted else ''}."
        )


def _check_groups(layer: ConvSettings | ConvTransposeSettings, channels: int, place: str) -> None:
    if channels % layer.groups or layer.channels % layer.groups:
        raise UserError(
            f"{place} has {layer.groups} groups: its {channels} channels in and {layer.channels} "
            "out must both be multiples of that."
        )


def _check_window(
    window: str, size: int, shape: tuple[int, ...], place: str, padding: int = 0
) -> None:
    if size > min(shape[1:]) + 2 * padding:
        padded = f" padded by {padding}" if padding else ""
        raise UserError(f"{place}: a {window} does not fit {_samples(shape)}{padded}.")


def _check_transposed(layer: ConvTransposeSettings, shape: tuple[int, ...], place: str) -> None:
    if layer.output_padding >= layer.stride:
        raise UserError(
            f"{place} has an output_padding of {layer.output_padding}: it must be less than the "
            f"stride, {layer.stride}."
        )
    reach = (min(shape[1:]) - 1) * layer.stride + layer.kernel + layer.output_padding
    if reach <= 2 * layer.padding:
        raise UserError(
            f"{place}: a padding of {layer.padding} leaves nothing of {_samples(shape)}."
        )


def _samples(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return f"signals of length {shape[1]}"
    return f"pictures of {shape[1]}×{shape[2]}"
