"""``Network``: the integer tables that training hands to hardware, and their meaning.

A network turns real features into *levels* by thresholds, and then works on integers alone. A
layer looks every product up, adds and compares (Baluja et al. 2018, section 3)::

    accumulator[o] = bias[o] + sum over k of product_table[level[k], weight_index[o, k]]
    level[o]       = number of thresholds that are <= accumulator[o]

Its kind (:mod:`nomul.network.layers`) says which levels k belong to which accumulator o.
Max-pooling and lookup layers have no accumulators: they go from levels to levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nomul.network.bounds import Bounds, all_bounds
from nomul.network.document import Document, document_layers
from nomul.network.errors import InvalidNetwork
from nomul.network.layers import INPUT_NAME, Layer, layer_name
from nomul.network.rules import check, check_description
from nomul.network.shapes import Shape, all_level_counts, all_shapes, level_shape
from nomul.network.tensors import frozen, integers

__all__ = ["Encoding", "Input", "Network", "Output", "OutputKind"]

Encoding = Literal["level", "thermometer"]
OutputKind = Literal["class", "accumulators", "levels"]


@dataclass(frozen=True, eq=False)
class Input:
    """How real features become levels: ``level = number of thresholds <= feature``.

    Attributes
    ----------
    shape
        Shape of one sample's features: one axis; channels and width; channels, height and width;
        or more, which only dense and lookup layers can take.
    thresholds
        float64, finite, non-decreasing along the last axis, which has one entry less than there
        are levels. The axes before it are none (shared by all features) or as many as ``shape``
        has, each equal to it or 1 (per feature, per channel).
    encoding
        What enters the first layer: ``"level"``, the level of each feature; or
        ``"thermometer"``, a bit (a level of 0 or 1) for each feature and threshold, which is 1 if
        the feature reaches it. Threshold j of channel c makes channel ``c * thresholds + j``.
    """

    shape: tuple[int, ...]
    thresholds: NDArray[np.float64]
    encoding: Encoding = "level"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", integers(self.shape))
        object.__setattr__(self, "thresholds", frozen(self.thresholds))

    @property
    def n_levels(self) -> int:
        """Levels that enter the first layer: 2 where they are bits."""
        return 2 if self.encoding == "thermometer" else int(self.thresholds.shape[-1]) + 1

    @property
    def level_shape(self) -> tuple[int, ...]:
        """Shape of the levels that enter the first layer."""
        return level_shape(self.shape, self.thresholds, self.encoding)


@dataclass(frozen=True)
class Output:
    """What leaves the network.

    ``class``: the arg-max of the last layer's accumulators, ties to the lowest index.
    ``accumulators``: they themselves, to be read as ``scale * accumulator + offset``.
    ``levels``: the last layer's levels.

    Raises
    ------
    InvalidNetwork
        If another kind than ``accumulators`` is given a scale or an offset.
    """

    kind: OutputKind = "class"
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.kind != "accumulators" and (self.scale, self.offset) != (1.0, 0.0):
            raise InvalidNetwork(
                f"An output of kind {self.kind} has no scale and no offset: only accumulators do."
            )
        for name in ("scale", "offset"):
            value = getattr(self, name)
            object.__setattr__(self, name, value.item() if isinstance(value, np.number) else value)


@dataclass(frozen=True, eq=False)
class Network:
    """A whole network: plain, immutable data that has passed every rule.

    Raises
    ------
    InvalidNetwork
        With the sentence of the first rule that the parts break.
    """

    input: Input
    layers: tuple[Layer, ...]
    output: Output = Output()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        check(self.document())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        mine, theirs = self.document(), other.document()
        return (
            mine.description == theirs.description
            and mine.tensors.keys() == theirs.tensors.keys()
            and all(
                tensor.dtype == theirs.tensors[name].dtype
                and np.array_equal(tensor, theirs.tensors[name])
                for name, tensor in mine.tensors.items()
            )
        )

    def document(self) -> Document:
        """Return the network in the form in which it is checked and filed."""
        output: dict[str, Any] = {"kind": self.output.kind}
        if self.output.kind == "accumulators":
            output |= {"scale": self.output.scale, "offset": self.output.offset}
        entry: dict[str, Any] = {"shape": list(self.input.shape)}
        if self.input.encoding != "level":
            entry["encoding"] = self.input.encoding
        description = {
            "input": entry,
            "layers": [layer.entry() for layer in self.layers],
            "output": output,
        }
        tensors: dict[str, NDArray[Any]] = {f"{INPUT_NAME}.thresholds": self.input.thresholds}
        for number, layer in enumerate(self.layers):
            for name, tensor in layer.tensors().items():
                tensors[f"{layer_name(number)}.{name}"] = tensor
        return Document(description, tensors)

    @classmethod
    def from_document(cls, document: Document) -> Network:
        """Build the network that ``document`` describes.

        Raises
        ------
        InvalidNetwork
            If the document breaks a rule.
        """
        check_description(document)
        description = document.description
        entry = description["input"]
        return cls(
            Input(
                tuple(entry["shape"]),
                document.tensors[f"{INPUT_NAME}.thresholds"],
                entry.get("encoding", "level"),
            ),
            document_layers(document),
            Output(**description["output"]),
        )

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a network file; see docs/network-file.md.

        Raises
        ------
        InvalidNetwork
            If the file is absent, truncated, foreign, newer, altered or breaks a rule.
        """
        from nomul.network.file import read_document

        return cls.from_document(read_document(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the network to ``path``, complete or not at all.

        Raises
        ------
        UserError
            If the folder cannot be written.
        """
        from nomul.network.file import write_document

        write_document(self.document(), Path(path))

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shapes (channels, height, width) of what ``"input"`` and each ``"layers.N"`` give.

        Inputs of more than three axes are counted as channels: dense and lookup layers alone can
        take them.
        """
        return all_shapes(self.input.level_shape, self.layers)

    @cached_property
    def level_counts(self) -> Mapping[str, int | None]:
        """Levels that ``"input"`` and each ``"layers.N"`` give; None where accumulators leave."""
        return all_level_counts(self.input.n_levels, self.layers)

    @cached_property
    def bounds(self) -> Mapping[str, Bounds]:
        """Least and greatest accumulators of each ``"layers.N"``, each int64, (channels,).

        Max-pooling and lookup layers, which have no accumulators, are left out.
        """
        return all_bounds(self.shapes, self.layers)

    @property
    def n_inputs(self) -> int:
        """Levels that enter the first layer."""
        return math.prod(self.input.level_shape)

    @property
    def n_outputs(self) -> int:
        """Accumulators or levels of the last layer: the classes, where the output is a class."""
        return math.prod(self.shapes[layer_name(len(self.layers) - 1)])
