"""Every kind of layer that an experiment may list."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest

from nomul.network import UserError
from nomul.train.experiment_file import load_experiment
from nomul.train.layer_settings import (
    LAYER_KINDS,
    AveragePoolSettings,
    ClassSumSettings,
    ConvSettings,
    ConvTransposeSettings,
    DenseSettings,
    DropoutSettings,
    LayerSettings,
    LookupSettings,
    MaxPoolSettings,
    ResidualSettings,
)

# What each kind needs, as TOML, and what else it may be told.
NEEDED: dict[str, dict[str, Any]] = {
    "dense": {"neurons": 4},
    "conv": {"channels": 8, "kernel": 3},
    "conv_transpose": {"channels": 8, "kernel": 3},
    "max_pool": {"size": 2},
    "average_pool": {"size": 2},
    "dropout": {},
    "lookup": {"neurons": 4},
    "class_sum": {},
    "residual": {"layers": "[{ kind = 'dense', neurons = 4 }]"},
}
OPTIONAL: dict[str, dict[str, Any]] = {
    "dense": {},
    "conv": {"stride": 1, "padding": 0, "groups": 1},
    "conv_transpose": {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1},
    "max_pool": {"stride": 0},
    "average_pool": {"stride": 0},
    "dropout": {"rate": 0.5},
    "lookup": {"fan_in": 4},
    "class_sum": {"temperature": 0.0},
    "residual": {},
}
SETTINGS: dict[str, LayerSettings] = {
    "dense": DenseSettings(4),
    "conv": ConvSettings(8, 3),
    "conv_transpose": ConvTransposeSettings(8, 3),
    "max_pool": MaxPoolSettings(2),
    "average_pool": AveragePoolSettings(2),
    "dropout": DropoutSettings(),
    "lookup": LookupSettings(4),
    "class_sum": ClassSumSettings(),
    "residual": ResidualSettings((DenseSettings(4),)),
}
LEAST = {
    **dict.fromkeys(("neurons", "channels", "kernel", "size", "groups", "fan_in"), 1),
    **dict.fromkeys(("padding", "output_padding"), 0),
}
GREATEST = {
    **dict.fromkeys(("neurons", "channels", "groups"), 65_536),
    **dict.fromkeys(("kernel", "size", "stride", "padding", "output_padding"), 1_024),
    "fan_in": 12,
}


def document(kind: str, **keys: Any) -> str:
    entries = [f"kind = '{kind}'", *(f"{key} = {value}" for key, value in keys.items())]
    return "[network]\nlayers = [{ " + ", ".join(entries) + " }]"


def loaded(folder: Path, text: str) -> LayerSettings:
    path = folder / "experiment.toml"
    path.write_text(text)
    (layer,) = load_experiment(path).network.layers
    return layer


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as refused:
        loaded(folder, text)
    return str(refused.value).removeprefix(f"{folder / 'experiment.toml'}: ")


def test_every_kind_is_tried_here() -> None:
    assert set(NEEDED) == set(OPTIONAL) == set(SETTINGS) == set(LAYER_KINDS)
    assert set(LAYER_KINDS.values()) == set(get_args(LayerSettings))


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_a_layer_has_these_keys_and_defaults(kind: str, tmp_path: Path) -> None:
    fields = dataclasses.fields(LAYER_KINDS[kind])
    assert [field.name for field in fields] == [*NEEDED[kind], *OPTIONAL[kind]]
    assert loaded(tmp_path, document(kind, **NEEDED[kind])) == SETTINGS[kind]
    assert loaded(tmp_path, document(kind, **NEEDED[kind], **OPTIONAL[kind])) == SETTINGS[kind]


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind, keys in NEEDED.items() for key in keys]
)
def test_a_key_that_is_needed_is_asked_for(kind: str, key: str, tmp_path: Path) -> None:
    others = {name: value for name, value in NEEDED[kind].items() if name != key}
    assert refusal(tmp_path, document(kind, **others)) == (
        f"network.layers[0]: {kind} needs the key {key}."
    )


NUMBERS = [
    (kind, key)
    for kind in LAYER_KINDS
    for key in {**NEEDED[kind], **OPTIONAL[kind]}
    if key not in ("rate", "layers", "temperature")
]


@pytest.mark.parametrize(("kind", "key"), NUMBERS)
def test_counts_have_bounds(kind: str, key: str, tmp_path: Path) -> None:
    least = LEAST.get(key, 0 if kind.endswith("pool") else 1)  # a pool's stride may be left out
    greatest = GREATEST[key]
    keys = {**NEEDED[kind], **OPTIONAL[kind]}
    for value in (least, greatest):
        assert getattr(loaded(tmp_path, document(kind, **keys | {key: value})), key) == value
    where = f"network.layers[0]: {kind}.{key} is"
    assert refusal(tmp_path, document(kind, **keys | {key: least - 1})) == (
        f"{where} {least - 1}: it must be at least {least}."
    )
    assert refusal(tmp_path, document(kind, **keys | {key: greatest + 1})) == (
        f"{where} {greatest + 1}: it must be at most {greatest}."
    )
    assert refusal(tmp_path, document(kind, **keys | {key: 1.5})) == (
        f"{where} 1.5: it must be an integer."
    )


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [
        ("1.0", "is 1.0: it must be at most 0.99."),
        ("-0.1", "is -0.1: it must be at least 0.0."),
        ("'a'", "is 'a': it must be a number."),
    ],
)
def test_a_rate_is_a_share(rate: str, sentence: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, document("dropout", rate=rate)) == (
        f"network.layers[0]: dropout.rate {sentence}"
    )


@pytest.mark.parametrize(
    ("temperature", "sentence"),
    [("-0.5", "is -0.5: it must be at least 0.0."), ("inf", "is inf: it must be finite.")],
)
def test_a_temperature_is_a_number(temperature: str, sentence: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, document("class_sum", temperature=temperature)) == (
        f"network.layers[0]: class_sum.temperature {sentence}"
    )


def test_residuals_hold_layers_of_any_kind(tmp_path: Path) -> None:
    inner = "{ kind = 'residual', layers = [{ kind = 'conv', channels = 2, kernel = 1 }] }"
    text = document("residual", layers=f"[{inner}, {{ kind = 'dropout', rate = 0 }}]")
    expected = ResidualSettings(
        (ResidualSettings((ConvSettings(2, 1),)), DropoutSettings(0.0)),
    )
    assert loaded(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("3", "network.layers[0]: residual.layers is 3: it must be a list of layers."),
        (
            "[3]",
            "network.layers[0]: residual.layers[0] is 3: it must be a table such as "
            '{ kind = "dense" }.',
        ),
        (
            "[{ kind = 'dense', neurons = 1 }, { kind = 'dense', neurons = 0 }]",
            "network.layers[0]: residual.layers[1]: dense.neurons is 0: it must be at least 1.",
        ),
    ],
)
def test_a_layer_in_a_residual_is_named(layers: str, sentence: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, document("residual", layers=layers)) == sentence
