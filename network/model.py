"""``Network``: the integer tables that training hands to hardware, and their meaning.

A network turns real features into *levels* by thresholds, and then works on integers alone. A
layer looks every product up, adds and compares (Baluja et al. 2018, section 3)::

    accumulator[o] = bias[o] + sum over k of product_table[level[k], weight_index[o, k]]
    level[o]       = number of thresholds that are <= accumulator[o]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import InvalidNetwork
from nomul.network.rules import INPUT_NAME, TENSOR_DTYPES, Document, check, layer_name

__all__ = ["Dense", "Input", "Network", "Output", "OutputKind"]

OutputKind = Literal["class", "accumulators", "levels"]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Input:
    """How real features become levels: ``level = number of thresholds <= feature``.

    Attributes
    ----------
    shape
        Shape of one sample's features.
    thresholds
        float64, finite, non-decreasing along the last axis, which has one entry less than there
        are levels. The axes before it are none (shared by all features) or as many as ``shape``
        has, each equal to it or 1 (per feature, per channel).
    """

    shape: tuple[int, ...]
    thresholds: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) if isinstance(n, np.integer) else n for n in self.shape)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "thresholds", _frozen(self.thresholds))

    @property
    def n_levels(self) -> int:
        return int(self.thresholds.shape[-1]) + 1


@dataclass(frozen=True, eq=False)
class Dense:
    """A layer in which every neuron sees every input.

    Attributes
    ----------
    weight_index
        uint8 or uint16, shape (neurons, inputs): which column of the product table.
    product_table
        int32, shape (levels of the source, centres): ``T[level, weight index]``.
    bias
        int32, shape (neurons,).
    thresholds
        int32, non-decreasing along the last axis: shape (levels - 1,), shared, or
        (neurons, levels - 1). None where the accumulators themselves are the output.
    level_value, centre
        int32, shapes (levels of the source,) and (centres,); both or neither:
        ``product_table == outer(level_value, centre)``.
    source
        Name of what feeds the layer: ``"input"`` or ``"layers.N"``.
    """

    weight_index: NDArray[np.uint8] | NDArray[np.uint16]
    product_table: NDArray[np.int32]
    bias: NDArray[np.int32]
    thresholds: NDArray[np.int32] | None = None
    level_value: NDArray[np.int32] | None = None
    centre: NDArray[np.int32] | None = None
    source: str = INPUT_NAME

    def __post_init__(self) -> None:
        for name, tensor in self.tensors().items():
            object.__setattr__(self, name, _frozen(tensor))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors that the layer has, by name."""
        found = {name: getattr(self, name) for name in TENSOR_DTYPES}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @property
    def n_inputs(self) -> int:
        return int(self.weight_index.shape[1])

    @property
    def n_outputs(self) -> int:
        return int(self.weight_index.shape[0])

    @property
    def n_levels(self) -> int | None:
        """Levels that come out; None where the layer ends in accumulators."""
        return None if self.thresholds is None else self.thresholds.shape[-1] + 1

    @property
    def n_levels_in(self) -> int:
        return int(self.product_table.shape[0])

    def neuron_thresholds(self) -> NDArray[np.int32]:
        """Return the thresholds of every neuron, int32, shape (neurons, levels - 1)."""
        assert self.thresholds is not None, "a layer without thresholds has no levels"
        return np.broadcast_to(self.thresholds, (self.n_outputs, self.thresholds.shape[-1]))

    def fan_in(self) -> NDArray[np.int64]:
        """Return how many inputs each neuron really uses, int64, shape (neurons,)."""
        used_centre: NDArray[np.bool_] = np.any(self.product_table != 0, axis=0)
        counts: NDArray[np.int64] = used_centre[self.weight_index].sum(axis=1, dtype=np.int64)
        return counts


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
    layers: tuple[Dense, ...]
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
        description = {
            "input": {"shape": list(self.input.shape)},
            "layers": [{"kind": "dense", "input": layer.source} for layer in self.layers],
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
        check(document)
        description, tensors = document.description, document.tensors
        layers = []
        for number, entry in enumerate(description["layers"]):
            prefix = f"{layer_name(number)}."
            own = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            layers.append(Dense(source=entry["input"], **own))
        return cls(
            Input(tuple(description["input"]["shape"]), tensors[f"{INPUT_NAME}.thresholds"]),
            tuple(layers),
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

    @property
    def n_inputs(self) -> int:
        return int(np.prod(self.input.shape))

    @property
    def n_outputs(self) -> int:
        """Neurons of the last layer: the classes, where the output is a class."""
        return self.layers[-1].n_outputs
