"""Changes to what comes over a serial line, and to data files, that keep their checksums right."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from random import Random

from benchmarks.fuzz.mutation import EXTREMES, Bytes, changed_text
from nomul.boards.protocol import FrameDecoder, encode_frame

__all__ = ["change_data", "change_experiment", "change_frames"]

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_TYPES = ("<f4", "|b1", "|O", ">i2", "<U3", "|V8", "<M8[s]", "<c16", "[('a', '<f4')]")
_SHAPES = ("(3, 2)", "(0,)", "()", "(-1,)", "(1 << 40,)", "(1099511627776,)", "(2, 0, 9)", "[3]")
_KEYS = (
    *("data", "input", "network", "codebook", "training", "hardware", "variants", "levels"),
    *("hidden", "layers", "output", "fan_in", "groups", "size", "kind", "steps", "name"),
)
_TEXTS = tuple(map(json.dumps, EXTREMES))
_PIECES = (
    *_KEYS,
    *(f"[{key}]" for key in _KEYS),
    *(f"[[{key}]]" for key in _KEYS),
    *_TEXTS,
    *('"ternary"', '"groups"', '{ kind = "residual", layers = [] }', "[[0], []]", "1979-05-27"),
    *("0x10", "1e400", "nan", "-inf", "'''", '"""', "\\u0000", "a.b.c.d", "#", "{", "}", ","),
)


def change_frames(data: bytes, rng: Random, change: Bytes) -> bytes:
    """Return a line's bytes with some contents changed, their checksums right, and some noise."""
    contents = FrameDecoder().feed(data)
    if not contents or rng.random() < 0.15:
        return change(data)
    place = rng.randrange(len(contents))
    match rng.randrange(6):
        case 0:
            contents.insert(place, rng.choice(contents))
        case 1:
            del contents[place]
        case 2:
            head = bytes([rng.randrange(16), rng.randrange(10)])
            contents[place] = head + contents[place][2:]
        case _:
            contents[place] = change(contents[place])
    sent = [encode_frame(content) for content in contents]
    if rng.random() < 0.2:
        sent.insert(rng.randrange(len(sent) + 1), change(b"~}~}]\x00"))
    return b"".join(sent)


def change_experiment(data: bytes, rng: Random, change: Bytes) -> bytes:
    """Return an experiment's text with lines and values changed."""
    if rng.random() < 0.2:
        return change(data)
    text = data.decode(errors="replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        text = changed_text(text, _PIECES, rng)
    return text.encode(errors="replace")


def change_data(data: bytes, rng: Random, change: Bytes) -> bytes:
    """Return an IDX or ``.npz`` file, changed; archives are packed again, with right checksums."""
    if rng.random() < 0.1:
        return change(data)
    if data[:2] == b"\x1f\x8b":
        try:
            return gzip.compress(change(zlib.decompressobj(31).decompress(data, 1 << 16)), mtime=0)
        except zlib.error:
            return change(data)
    if data[:2] != b"PK":
        return change(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {}
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    members[entry.filename] = member.read(1 << 16)
    except Exception:  # the target meets it as well
        return change(data)
    if not members:
        return change(data)
    name = rng.choice(list(members))
    match rng.randrange(6):
        case 0:
            members[rng.choice(("x.npy", "y.npy", "x", "../x.npy"))] = members[name]
        case 1:
            del members[name]
        case 2:
            members[name] = change(members[name])
        case _:
            members[name] = _changed_npy(members[name], rng, change)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice(_METHODS)) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
    return file.getvalue()


def _changed_npy(content: bytes, rng: Random, change: Bytes) -> bytes:
    """Return an ``.npy`` file with another header, whose length is right."""
    length = int.from_bytes(content[8:10], "little")
    header, body = content[10 : 10 + length], content[10 + length :]
    match rng.randrange(4):
        case 0:
            header = change(header)
        case 1:
            body = change(body)
        case _:
            dtype, shape = rng.choice(_TYPES), rng.choice(_SHAPES)
            quoted = dtype if dtype.startswith("[") else repr(dtype)
            order = rng.choice(("True", "False", "None"))
            header = f"{{'descr': {quoted}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    if rng.random() < 0.1:
        header = header.replace(b"'shape'", b"'shape':" + b"(" * 200)
    return content[:8] + len(header[:60_000]).to_bytes(2, "little") + header[:60_000] + body
