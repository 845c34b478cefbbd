"""Experiments as TOML files, with variants that change some of their keys."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nomul.network.errors import UserError, unknown_name
from nomul.train.experiment import Experiment
from nomul.train.layer_settings import LAYER_KINDS, LayerSettings

__all__ = ["MODULE_FILE", "format_experiment", "load_experiment", "load_variants"]

MODULE_FILE = "module.safetensors"
"""The trained module's state, beside experiment and network: PyTorch answers from it again."""

_KIND_NAMES: dict[type, str] = {kind: name for name, kind in LAYER_KINDS.items()}
_VARIANTS = "variants"

_SECTIONS: dict[str, type[Any]] = get_type_hints(Experiment)
_HINTS: dict[type, dict[str, Any]] = {
    kind: get_type_hints(kind) for kind in (*_SECTIONS.values(), *LAYER_KINDS.values())
}

# Python's parser takes time by the square of a key's length: so no file takes more than seconds.
_BYTES_MAX = 1 << 18
_LINE_MAX = 4_096


def load_experiment(path: Path) -> Experiment:
    """Read an experiment's TOML file, without its variants.

    Raises
    ------
    UserError
        If the file is absent or no TOML, or a section, key or value is not known.
    """
    return load_variants(path)[0]


def load_variants(path: Path) -> tuple[Experiment, ...]:
    """Read an experiment's TOML file: the experiment itself, and then each of its variants.

    A variant, ``[[variants]]``, is the experiment with the keys that it names, such as
    ``network.levels = 16``, in the place of the experiment's.

    Raises
    ------
    UserError
        As :func:`load_experiment`.
    """
    document = _document(path)
    variants = document.pop(_VARIANTS, [])
    if not isinstance(variants, list) or not all(isinstance(entry, dict) for entry in variants):
        raise UserError(f"{path}: write [[{_VARIANTS}]] above each variant's keys.")
    try:
        experiment = _experiment(document, f"{path}: ", (_VARIANTS,))
        merged = [
            _experiment(_merged(document, variant), f"{path}: {_VARIANTS}[{number}]: ")
            for number, variant in enumerate(variants)
        ]
    except RecursionError as error:  # dotted keys nest as deeply as they are long
        raise UserError(
            f"{path} nests its tables too deeply: write fewer in each other."
        ) from error
    return experiment, *merged


def _document(path: Path) -> dict[str, Any]:
    """Return what a TOML file says."""
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise UserError(f"Cannot read the experiment {path}: {error.strerror}.") from error
    if len(content) > _BYTES_MAX:
        raise UserError(f"{path} is no experiment: it has more than {_BYTES_MAX:,} bytes.")
    if max(map(len, content.split(b"\n"))) > _LINE_MAX:
        raise UserError(f"{path} has a line of more than {_LINE_MAX:,} bytes: break it.")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # tomllib's own errors are ValueErrors
        raise UserError(f"{path} is not a TOML file: {error}.") from error


def format_experiment(experiment: Experiment) -> str:
    """Return the TOML text that :func:`load_experiment` reads ``experiment`` from, every key."""
    lines = []
    for section in dataclasses.fields(experiment):
        lines.append(f"[{section.name}]")
        settings = getattr(experiment, section.name)
        for entry in dataclasses.fields(settings):
            value = getattr(settings, entry.name)
            if value is not None:
                lines.append(f"{entry.name} = {_toml(value)}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        entries = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        keys = [f"{name} = {_toml(setting)}" for name, setting in entries.items()]
        return "{ " + ", ".join([f'kind = "{_KIND_NAMES[type(value)]}"', *keys]) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    # JSON writes our texts, numbers and truth values as TOML does, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _merged(document: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with the keys of ``variant``'s sections in the place of its own."""
    merged = copy.deepcopy(document)
    for name, entries in variant.items():
        own = merged.get(name, {})
        both_sections = isinstance(own, dict) and isinstance(entries, dict)
        merged[name] = own | entries if both_sections else entries
    return merged


def _experiment(
    document: dict[str, Any], where: str, read_elsewhere: tuple[str, ...] = ()
) -> Experiment:
    """Return the experiment; ``read_elsewhere`` names sections that the user may also write."""
    sections = {}
    for name, entries in document.items():
        if name not in _SECTIONS:
            owners = [section for section, kind in _SECTIONS.items() if name in _HINTS[kind]]
            if len(owners) == 1 and not isinstance(entries, dict):
                raise UserError(
                    f"{where}{name} belongs under [{owners[0]}]: its whole name is "
                    f"{owners[0]}.{name}."
                )
            raise UserError(where + unknown_name("section", name, (*_SECTIONS, *read_elsewhere)))
        if not isinstance(entries, dict):
            raise UserError(f"{where}{name} must be a section: write [{name}] above its keys.")
        sections[name] = _section(_SECTIONS[name], entries, where, f"{name}.")
    try:
        return Experiment(**sections)
    except UserError as error:
        raise UserError(f"{where}{error}") from error


def _section(kind: type[Any], entries: dict[str, Any], where: str, prefix: str) -> Any:
    """Return the settings ``kind`` made of ``entries``; ``prefix`` stands before their keys."""
    hints = _HINTS[kind]
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    values = {}
    for key, value in entries.items():
        if key not in hints:
            raise UserError(where + unknown_name("key", key, hints))
        values[key] = _value(hints[key], value, where + prefix + key, **fields[key].metadata)
    for name, entry in fields.items():
        if entry.default is dataclasses.MISSING and name not in values:
            raise UserError(f"{where}{prefix.rstrip('.')} needs the key {name}.")
    return kind(**values)


def _layer(value: Any, where: str) -> LayerSettings:
    """Return the settings of one layer, a table whose key ``kind`` says which."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise UserError(f'{where} is {value!r}: it must be a table such as {{ kind = "dense" }}.')
    if value["kind"] not in LAYER_KINDS:
        raise UserError(f"{where}: " + unknown_name("layer kind", value["kind"], LAYER_KINDS))
    entries = {key: setting for key, setting in value.items() if key != "kind"}
    kind = LAYER_KINDS[value["kind"]]
    settings: LayerSettings = _section(kind, entries, f"{where}: ", f"{value['kind']}.")
    return settings


def _value(
    kind: Any, value: Any, where: str, least: float | None = None, greatest: float | None = None
) -> Any:
    """Return ``value`` as the type ``kind`` if it is of that type and within its bounds."""
    if kind == LayerSettings | None:
        return _layer(value, where)
    if get_origin(kind) is tuple:
        entry_kind = get_args(kind)[0]
        if not isinstance(value, list):
            deeper = {LayerSettings: "layers", int: "integers"}
            entries = deeper.get(entry_kind, "lists of integers")
            raise UserError(f"{where} is {value!r}: it must be a list of {entries}.")
        if entry_kind == LayerSettings:
            return tuple(_layer(entry, f"{where}[{n}]") for n, entry in enumerate(value))
        return tuple(
            _value(entry_kind, entry, f"{where}[{n}]", least, greatest)
            for n, entry in enumerate(value)
        )
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise UserError(f"{where} is {value!r}: choose one of {', '.join(choices)}.")
        return value
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    accepted = (int, float) if kind is float else (kind,)
    if type(value) not in accepted:
        raise UserError(f"{where} is {value!r}: it must be {names[kind]}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where} is {value}: it must be finite.")
    if least is not None and not value >= least:
        raise UserError(f"{where} is {value}: it must be at least {least}.")
    if greatest is not None and not value <= greatest:
        raise UserError(f"{where} is {value}: it must be at most {greatest}.")
    return kind(value)
