"""What is fuzzed: each parser with its seeds, its changes and what it may raise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from benchmarks.fuzz import seeds
from benchmarks.fuzz.archives import change_encoded, change_module, change_network
from benchmarks.fuzz.guard import watched
from benchmarks.fuzz.mutation import Bytes
from benchmarks.fuzz.streams import change_data, change_experiment, change_frames
from nomul.boards.engine_host import EngineHost
from nomul.boards.engine_protocol import unpack_engine_reply
from nomul.boards.protocol import (
    FrameDecoder,
    encode_frame,
    pack_numbers,
    unpack_numbers,
    unpack_reply,
)
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.program import Program
from nomul.network.archive import read_archive
from nomul.network.encoded import read_encoded
from nomul.network.errors import CheckFailed, UserError
from nomul.network.model import Network
from nomul.train.data_files import read_idx, read_npz
from nomul.train.experiment_file import load_variants
from nomul.train.module_file import FORMAT as MODULE_FORMAT

__all__ = ["TARGETS", "Target", "attempt", "prepare"]


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes
    ----------
    what
        What it reads, for people.
    seeds
        Valid inputs.
    change
        Returns an input that differs a little.
    parse
        Takes the input, and the file that holds it.
    allowed
        All that it may raise.
    share
        Of all inputs; more for what is fast.
    max_bytes
        Of the longest input.
    modules
        Whose lines are to be reached.
    suffix
        Of the file that holds an input; None if it comes from no file.
    events
        Audit events that it needs: compiling a literal runs nothing.
    """

    what: str
    seeds: Callable[[], list[bytes]]
    change: Callable[[bytes, Random, Bytes], bytes]
    parse: Callable[[bytes, Path], None]
    share: float
    modules: tuple[str, ...]
    allowed: tuple[type[Exception], ...] = (UserError,)
    max_bytes: int = 1 << 14
    suffix: Callable[[bytes], str] | None = None
    events: frozenset[str] = frozenset()


def prepare(target: Target, folder: Path) -> list[str]:
    """Read the seeds with nobody watching, for what is imported when it is first used.

    Returns the names of the files that inputs will be in.
    """
    names = set()
    for data in target.seeds():
        path = folder
        if target.suffix is not None:
            path = folder / f"input{target.suffix(data)}"
            path.write_bytes(data)
            names.add(path.name)
        with suppress(*target.allowed):
            target.parse(data, path)
    return sorted(names)


def attempt(target: Target, data: bytes, folder: Path) -> bool:
    """Let a target read ``data``; return whether it took them.

    Whatever it raises but what it may comes through: that is a finding.
    """
    path = None
    if target.suffix is not None:
        path = folder / f"input{target.suffix(data)}"
        path.write_bytes(data)
    with watched(path, target.events):
        try:
            target.parse(data, path or folder)
        except target.allowed:
            return False
        return True


def _load_network(data: bytes, path: Path) -> None:  # noqa: ARG001
    Network.load(path)


def _load_encoded(data: bytes, path: Path) -> None:  # noqa: ARG001
    Network.from_document(read_encoded(path))


def _load_experiment(data: bytes, path: Path) -> None:  # noqa: ARG001
    load_variants(path)


def _decode_frames(data: bytes, path: Path) -> None:  # noqa: ARG001
    """Decode at once and byte by byte; contents must be those that were framed."""
    contents = FrameDecoder().feed(data)
    decoder = FrameDecoder()
    assert [found for byte in data for found in decoder.feed(bytes([byte]))] == contents
    assert FrameDecoder().feed(b"".join(map(encode_frame, contents))) == contents
    for content in contents:
        for settings in (EngineSettings(), EngineSettings(sum_bits=20)):
            with suppress(ValueError):
                reply = unpack_engine_reply(content, settings)
                assert reply.cycles < 1 << 31
                assert all(-(1 << 31) <= answer < 1 << 31 for answer in reply.answers)
        with suppress(ValueError):
            payload = unpack_reply(content).payload
            width, count = 1 + content[0] % 40, content[-1]
            numbers = unpack_numbers(payload, width, count)
            assert len(numbers) == count
            kept = pack_numbers(numbers, width)
            assert unpack_numbers(kept, width, count) == numbers
            unpack_numbers(payload, width, count, signed=True)


class _Recording:
    """A line that says what it is given to say, and then is silent."""

    def __init__(self, said: bytes) -> None:
        self._said, self._place = said, 0

    def write(self, data: bytes, /) -> None:
        """Hear nothing."""

    def read(self, size: int, /) -> bytes:
        piece = self._said[self._place : self._place + size]
        self._place += size
        return piece


@cache
def _program() -> Program:
    return seeds.small_program()


def _converse(data: bytes, path: Path) -> None:  # noqa: ARG001
    """Answer a host's requests with ``data``: one host for each thing that it can be asked."""
    program = _program()
    questions: tuple[Callable[[EngineHost], object], ...] = (
        lambda host: host.has_program(),
        lambda host: host.answer([0, 1, 1], program),
        lambda host: host.load(program),
    )
    refused = 0
    for ask in questions:
        try:
            ask(EngineHost(_Recording(data), program.settings))
        except (UserError, CheckFailed):
            refused += 1
    if refused == len(questions):
        raise UserError("The board does not answer.")


def _read_module(data: bytes, path: Path) -> None:  # noqa: ARG001
    read_archive(path, MODULE_FORMAT)


def _read_data(data: bytes, path: Path) -> None:  # noqa: ARG001
    if path.suffix == ".npz":
        read_npz(path, ("x",), ("y",))
    else:
        read_idx(path)


def _data_suffix(data: bytes) -> str:
    return {b"PK": ".npz", b"\x1f\x8b": ".gz"}.get(data[:2], ".idx")


_NETWORK_MODULES = (
    *("file", "document", "description_rules", "table_rules", "misfits"),
    *("layers", "shapes", "bounds", "described", "tensors"),
)

TARGETS: dict[str, Target] = {
    "network": Target(
        "network file (`Network.load`)",
        seeds.archives,
        change_network,
        _load_network,
        0.12,
        tuple(f"nomul.network.{name}" for name in _NETWORK_MODULES),
        suffix=lambda _: ".safetensors",
    ),
    "encoded": Target(
        "encoded network file (`network.encoded`)",
        seeds.encoded_archives,
        change_encoded,
        _load_encoded,
        0.08,
        ("nomul.network.encoded", "nomul.network.coding"),
        suffix=lambda _: ".safetensors",
    ),
    "module": Target(
        "archive of a module's state (`network.archive`)",
        seeds.module_archives,
        change_module,
        _read_module,
        0.05,
        ("nomul.network.archive",),
        suffix=lambda _: ".safetensors",
    ),
    "experiment": Target(
        "experiment (`load_variants`)",
        seeds.experiments,
        change_experiment,
        _load_experiment,
        0.23,
        ("nomul.train.experiment_file", "nomul.train.experiment"),
        suffix=lambda _: ".toml",
    ),
    "frames": Target(
        "frames and replies (`boards.protocol`, `boards.engine_protocol`)",
        seeds.frames,
        change_frames,
        _decode_frames,
        0.32,
        ("nomul.boards.protocol", "nomul.boards.engine_protocol"),
        allowed=(),
        max_bytes=1 << 11,
    ),
    "host": Target(
        "what a board answers (`boards.engine_host`)",
        seeds.engine_replies,
        change_frames,
        _converse,
        0.1,
        ("nomul.boards.engine_host",),
        max_bytes=1 << 9,
    ),
    "data": Target(
        "IDX and `.npz` files (`train.data_files`)",
        seeds.data_files,
        change_data,
        _read_data,
        0.1,
        ("nomul.train.data_files",),
        suffix=_data_suffix,
        events=frozenset({"compile"}),
    ),
}
