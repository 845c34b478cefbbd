"""A document makes layers of its entries and of the tensors that bear their names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nomul.network import Add, Dense, MaxPool2d
from nomul.network.document import Document, document_layers, parsed


def test_each_layer_gets_its_own_tensors() -> None:
    tensors = {"input.thresholds": np.array([0.5])}
    for number in (1, 10):
        tensors[f"layers.{number}.bias"] = np.array([number], np.int32)
    for name in ("weight_index", "product_table", "bias"):
        tensors[f"layers.0.{name}"] = np.array([[0]], np.int32)
    entries: list[dict[str, object]] = [{"kind": "dense", "input": "input"}]
    entries += [{"kind": "add", "inputs": ["layers.0", "layers.0"]}]
    entries += [
        {
            "kind": "max_pool2d",
            "input": "layers.1",
            "size": [1, 1],
            "stride": [1, 1],
            "padding": [0, 0],
        }
    ] * 8
    entries += [{"kind": "add", "inputs": ["layers.1", "layers.0"]}]
    layers = document_layers(Document({"layers": entries}, tensors))
    assert [type(layer) for layer in layers] == [Dense, Add, *[MaxPool2d] * 8, Add]
    assert layers[1].sources == ("layers.0", "layers.0")
    biases = [layer.bias.tolist() for layer in layers if isinstance(layer, Add)]
    assert biases == [[1], [10]]


@pytest.mark.parametrize("text", ["{}", '{"a": [[1], -2.5, "[["]}', "[" * 32 + "1" + "]" * 32])
def test_a_description_is_read_as_json(text: str) -> None:
    assert parsed(text) == parsed(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 33 + "1" + "]" * 33,
        '{"a":' * 900 + "1" + "}" * 900,
        '["' + "]" * 9000 + '",' + "[" * 900 + "1" + "]" * 901,
        "[" * 100_000 + "]" * 100_000,
        "[",
        "\0",
    ],
    ids=["lists", "objects", "behind a text", "beyond Python's limit", "cut", "no JSON"],
)
def test_what_is_no_json_or_nested_like_none_is_refused(text: str) -> None:
    """So deep that it is read but cannot be shown in a sentence, too."""
    with pytest.raises(ValueError, match=r"nested|Expecting"):
        parsed(text)
