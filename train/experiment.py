"""An experiment: one TOML file that says data, network, training and hardware.

Every key has a default, and the defaults together are the method as published: 32 levels, 101
centres, one codebook for the whole network (Baluja et al. 2018).
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nomul.network.errors import UserError, unknown_name

__all__ = [
    "CodebookSettings",
    "DataSettings",
    "Experiment",
    "HardwareSettings",
    "InputSettings",
    "NetworkSettings",
    "TrainingSettings",
    "format_experiment",
    "load_experiment",
]


@dataclass(frozen=True)
class DataSettings:
    """Where the samples come from."""

    name: str = "digits"


@dataclass(frozen=True)
class InputSettings:
    """How features become levels: uniform thresholds over the range of the training set."""

    levels: int = field(default=16, metadata={"least": 2, "greatest": 256})


@dataclass(frozen=True)
class NetworkSettings:
    """The layers.

    ``fan_in`` limits how many inputs each neuron uses, layer by layer, the output layer included;
    empty: all of them. ``batch_norm`` normalizes the hidden layers; it becomes part of their
    thresholds.
    """

    hidden: tuple[int, ...] = field(default=(32,), metadata={"least": 1, "greatest": 65_536})
    activation: Literal["tanhd", "relud"] = "tanhd"
    levels: int = field(default=32, metadata={"least": 2, "greatest": 256})
    batch_norm: bool = False
    fan_in: tuple[int, ...] = field(default=(), metadata={"least": 1})


@dataclass(frozen=True)
class CodebookSettings:
    """The values that weights may take.

    ``kmeans``: the centres of exact one-dimensional k-means, rounded to an integer grid from -2047
    to 2047. ``grid``: a step times the integers
    around 0, for an odd size. ``scope``: what shares a codebook.
    """

    kind: Literal["kmeans", "grid"] = "kmeans"
    size: int = field(default=101, metadata={"least": 2, "greatest": 4_095})
    scope: Literal["network", "layer"] = "network"


@dataclass(frozen=True)
class TrainingSettings:
    """The loop: Adam, its learning rate falling to zero along a cosine.

    ``noise`` is the standard deviation of what is added to the features, in their own unit.
    ``cluster_every`` steps the weights are replaced by their nearest centres, from the fraction
    ``cluster_from`` of the steps on; 0: never before the end. From the fraction
    ``straight_through_from`` on the codebook is fixed and the forward pass uses it; 1: never.
    ``prune_until`` is the fraction of the steps at which every neuron has reached its fan-in.
    """

    seed: int = field(default=0, metadata={"least": 0, "greatest": 2**63 - 1})
    steps: int = field(default=2000, metadata={"least": 1})
    batch_size: int = field(default=64, metadata={"least": 2, "greatest": 65_536})
    learning_rate: float = field(default=0.01, metadata={"least": 0.0, "greatest": 1.0})
    label_smoothing: float = field(default=0.2, metadata={"least": 0.0, "greatest": 1.0})
    noise: float = field(default=0.0, metadata={"least": 0.0, "greatest": 1e6})
    cluster_every: int = field(default=100, metadata={"least": 0})
    cluster_from: float = field(default=0.2, metadata={"least": 0.0, "greatest": 1.0})
    straight_through_from: float = field(default=0.6, metadata={"least": 0.0, "greatest": 1.0})
    prune_until: float = field(default=0.25, metadata={"least": 0.0, "greatest": 1.0})


@dataclass(frozen=True)
class HardwareSettings:
    """Which board the network is built for."""

    board: str = "icebreaker"


@dataclass(frozen=True)
class Experiment:
    """All settings of one experiment."""

    data: DataSettings = DataSettings()
    input: InputSettings = InputSettings()
    network: NetworkSettings = NetworkSettings()
    codebook: CodebookSettings = CodebookSettings()
    training: TrainingSettings = TrainingSettings()
    hardware: HardwareSettings = HardwareSettings()

    def __post_init__(self) -> None:
        n_layers = len(self.network.hidden) + 1
        if self.network.fan_in and len(self.network.fan_in) != n_layers:
            raise UserError(
                f"network.fan_in has {len(self.network.fan_in)} entries: it must have one for each "
                f"of the {n_layers} layers, or none."
            )
        if self.codebook.kind == "grid" and self.codebook.size % 2 == 0:
            raise UserError(
                f"codebook.size is {self.codebook.size}: a grid is symmetric around 0 and needs an "
                "odd size."
            )
        if self.codebook.kind == "grid" and self.codebook.scope == "network":
            raise UserError(
                'codebook.scope is "network": a grid has one step for each layer, so write '
                'scope = "layer".'
            )


def load_experiment(path: Path) -> Experiment:
    """Read an experiment's TOML file.

    Raises
    ------
    UserError
        If the file is absent or no TOML, or a section, key or value is not known.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the experiment {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # tomllib's own errors are ValueErrors
        raise UserError(f"{path} is not a TOML file: {error}.") from error
    hints = get_type_hints(Experiment)
    sections = {}
    for name, entries in document.items():
        if name not in hints:
            raise UserError(f"{path}: " + unknown_name("section", name, hints))
        if not isinstance(entries, dict):
            raise UserError(f"{path}: {name} must be a section: write [{name}] above its keys.")
        sections[name] = _section(hints[name], name, entries, path)
    return Experiment(**sections)


def format_experiment(experiment: Experiment) -> str:
    """Return the TOML text that :func:`load_experiment` reads ``experiment`` from, every key."""
    lines = []
    for name, section in dataclasses.asdict(experiment).items():
        lines.append(f"[{name}]")
        # JSON writes our texts, numbers, truth values and lists of integers as TOML does.
        lines += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
        lines.append("")
    return "\n".join(lines)


def _section(kind: type[Any], name: str, entries: dict[str, Any], path: Path) -> Any:
    hints = get_type_hints(kind)
    metadata = {entry.name: entry.metadata for entry in dataclasses.fields(kind)}
    values = {}
    for key, value in entries.items():
        if key not in hints:
            raise UserError(f"{path}: " + unknown_name("key", key, hints))
        values[key] = _value(hints[key], value, f"{path}: {name}.{key}", **metadata[key])
    return kind(**values)


def _value(
    kind: Any, value: Any, where: str, least: float | None = None, greatest: float | None = None
) -> Any:
    """Return ``value`` as the type ``kind`` if it is of that type and within its bounds."""
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise UserError(f"{where} is {value!r}: choose one of {', '.join(choices)}.")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where} is {value!r}: it must be a list of integers.")
        return tuple(_value(int, entry, where, least, greatest) for entry in value)
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    accepted = (int, float) if kind is float else (kind,)
    if type(value) not in accepted:
        raise UserError(f"{where} is {value!r}: it must be {names[kind]}.")
    if kind is float and not math.isfinite(value):
        raise UserError(f"{where} is {value}: it must be finite.")
    if least is not None and not value >= least:
        raise UserError(f"{where} is {value}: it must be at least {least}.")
    if greatest is not None and not value <= greatest:
        raise UserError(f"{where} is {value}: it must be at most {greatest}.")
    return kind(value)
