"""What every kind of layer tells of itself, from the names of its tensors and numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from nomul.network.tensors import TENSOR_DTYPES, frozen, integers

__all__ = ["Described", "SingleSource"]


class Described:
    """What every kind of layer tells of itself.

    Attributes
    ----------
    kind
        Its name in the network file.
    REQUIRED, OPTIONAL
        Names of the tensors that it must and may have.
    GEOMETRY
        Names of the numbers, or pairs of numbers for height and width, that it has.
    """

    kind: ClassVar[str]
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    GEOMETRY: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, tensor in self.tensors().items():
            object.__setattr__(self, name, frozen(tensor))
        for name in self.GEOMETRY:
            object.__setattr__(self, name, integers(getattr(self, name)))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors that the layer has, by name."""
        names = [name for name in TENSOR_DTYPES if name in self.REQUIRED + self.OPTIONAL]
        found = {name: getattr(self, name) for name in names}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def entry(self) -> dict[str, Any]:
        """Return what the network's description says of the layer."""
        geometry = {name: getattr(self, name) for name in self.GEOMETRY}
        return (
            {"kind": self.kind}
            | self._source_entry()
            | {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in geometry.items()
            }
        )

    def _source_entry(self) -> dict[str, Any]:
        raise NotImplementedError


class SingleSource(Described):
    """A kind of layer with one source.

    Attributes
    ----------
    source
        Name of what feeds the layer: ``"input"`` or ``"layers.N"``.
    """

    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    def _source_entry(self) -> dict[str, Any]:
        return {"input": self.source}
