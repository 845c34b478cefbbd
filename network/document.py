"""A network in the form in which it is checked and filed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nomul.network.layers import Layer, layer_from_entry, layer_name

__all__ = ["Document", "document_layers", "parsed"]

# A description's innermost number is four deep. Python's own limit depends on who calls, so that
# what was parsed could not be shown in a sentence.
_NESTED_MAX = 32


@dataclass(frozen=True)
class Document:
    """A network as it lies in a file: a JSON description and named tensors, nothing checked."""

    description: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def parsed(text: str | bytes) -> Any:
    """Return the value of a JSON text that is nested little deeper than a description.

    Raises
    ------
    ValueError
        If it is not JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    parts = [value]
    for _ in range(_NESTED_MAX + 1):
        parts = [inner for part in parts for inner in _inside(part)]
    if parts:
        raise ValueError("the JSON is nested too deeply")
    return value


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


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
