"""Valid documents, and changes that make them break a rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    InvalidNetwork,
    Layer,
    MaxPool2d,
    Network,
    Output,
)
from nomul.network.document import Document
from nomul.network.model import OutputKind
from nomul.network.rules import RULES, check
from tests.networks import random_lookup, random_network, random_tables

__all__ = [
    "Case",
    "Change",
    "assert_refused",
    "changed",
    "drop",
    "example",
    "graph_example",
    "lookup_example",
    "put",
    "put_values",
    "set_entry",
    "set_input",
    "set_layer",
    "set_output",
]

Tensors = dict[str, NDArray[Any]]
Change = Callable[[dict[str, Any], Tensors], object]
# A rule's name, what breaks it and its sentence.
Case = tuple[str, Change, str]

INT32 = np.dtype(np.int32)


def example(output: OutputKind = "class", *, factored: bool = True) -> Document:
    """Return a valid document that may be changed: 3 inputs, 4 neurons, 2 neurons."""
    levels = (3, 5, 2) if output == "levels" else (3, 5)
    return changed(random_network((3, 4, 2), levels, output=output, factored=factored).document())


def graph_example() -> Document:
    """Return a valid document with a layer of every kind but lookup, which may be changed.

    Of input bits (4, 5, 5), layers 0 and 1 make (4, 5, 5), which 2 adds and 3 pools to (4, 3, 3);
    4 spreads these to (2, 6, 6); 5 is dense, 3 neurons.
    """
    source = Input((2, 5, 5), np.array([0.0, 1.0]), "thermometer")
    return changed(
        Network(
            source,
            (
                Conv2d(**random_tables((4, 4, 3, 3), 4, 2, None), padding=(1, 1)),
                Conv2d(**random_tables((4, 1, 1, 1), 4, 2, None), groups=4),
                Add(
                    np.zeros(4, np.int32),
                    np.arange(3, dtype=np.int32),
                    ("layers.0", "layers.1"),
                ),
                MaxPool2d((3, 3), (2, 2), (1, 1), "layers.2"),
                ConvTranspose2d(
                    **random_tables((4, 1, 3, 3), 2, 4, 3),
                    source="layers.3",
                    stride=(2, 2),
                    padding=(1, 1),
                    output_padding=(1, 1),
                    groups=2,
                ),
                Dense(**random_tables((3, 72), 3, 3, None), source="layers.4"),
            ),
            Output("accumulators"),
        ).document()
    )


def lookup_example(output: OutputKind = "levels") -> Document:
    """Return a valid document that may be changed: two lookup layers, and a dense one for a class.

    The input is 5 features of 3 levels, which are 10 bits; layer 0 has 4 neurons of 3 address bits
    and 4 levels, which are 8 bits; layer 1 has 6 neurons of 2 address bits and 5 levels.
    """
    layers: list[Layer] = [
        random_lookup(4, 3, 10, 4),
        random_lookup(6, 2, 8, 5, source="layers.0"),
    ]
    if output != "levels":
        layers.append(Dense(**random_tables((3, 6), 3, 5, None), source="layers.1"))
    source = Input((5,), np.array([0.0, 1.0]))
    return changed(Network(source, tuple(layers), Output(output)).document())


def changed(document: Document, *changes: Change) -> Document:
    """Return a copy, changed."""
    copied = Document(copy.deepcopy(document.description), dict(document.tensors))
    for change in changes:
        change(copied.description, copied.tensors)
    return copied


def assert_refused(document: Document, rule: str, sentence: str) -> None:
    """Assert that ``rule`` is the first that ``document`` breaks, and its sentence."""
    with pytest.raises(InvalidNetwork) as refused:
        check(document)
    assert str(refused.value) == sentence
    assert next(rule.__name__ for rule in RULES if any(rule(document))) == rule


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


def set_entry(number: int, **entries: Any) -> Change:
    return lambda description, _: description["layers"][number].update(entries)
