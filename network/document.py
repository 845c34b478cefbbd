"""A network in the form in which it is checked and filed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nomul.network.layers import Layer, layer_from_entry, layer_name

__all__ = ["Document", "document_layers"]


@dataclass(frozen=True)
class Document:
    """A network as it lies in a file: a JSON description and named tensors, nothing checked."""

    description: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def document_layers(document: Document) -> tuple[Layer, ...]:
    """Return the layers of a document whose description has been checked."""
    own: dict[str, dict[str, NDArray[Any]]] = {}
    for name, tensor in document.tensors.items():
        layer, _, tensor_name = name.rpartition(".")
        own.setdefault(layer, {})[tensor_name] = tensor
    return tuple(
        layer_from_entry(entry, own.get(layer_name(number), {}))
        for number, entry in enumerate(document.description["layers"])
    )
