"""A kind of layer is described by what it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nomul.network.described import SingleSource


@dataclass(frozen=True, eq=False)
class Example(SingleSource):
    kind: ClassVar[str] = "example"
    REQUIRED: ClassVar[tuple[str, ...]] = ("centre", "bias")
    OPTIONAL: ClassVar[tuple[str, ...]] = ("thresholds",)
    GEOMETRY: ClassVar[tuple[str, ...]] = ("stride", "groups")

    bias: NDArray[Any]
    centre: NDArray[Any]
    thresholds: NDArray[Any] | None = None
    stride: Any = (1, 1)
    groups: Any = 1
    source: str = "input"


def test_an_entry_has_the_kind_the_source_and_the_geometry() -> None:
    layer = Example(np.zeros(1), np.ones(2), stride=[np.int8(2), 3], source="layers.4")
    entry = {"kind": "example", "input": "layers.4", "stride": [2, 3], "groups": 1}
    assert layer.entry() == entry
    assert (layer.sources, layer.stride) == (("layers.4",), (2, 3))


def test_tensors_that_are_not_there_are_left_out() -> None:
    tensors = Example(np.zeros(1), np.ones(2)).tensors()
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "bias": [0.0],
        "centre": [1.0, 1.0],
    }
    both = Example(np.zeros(1), np.ones(2), np.arange(3))
    assert both.tensors().keys() == {"bias", "thresholds", "centre"}


def test_each_tensor_is_its_own_and_cannot_be_written() -> None:
    bias = np.zeros(1, np.int32)
    layer = Example(bias, bias)
    bias[0] = 7
    assert layer.bias.tolist() == layer.centre.tolist() == [0]
    assert not any(tensor.flags.writeable for tensor in layer.tensors().values())
