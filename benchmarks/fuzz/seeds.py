"""Small valid files of every kind, made by the code itself: what fuzzing begins with."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nomul.boards.engine_protocol import level_requests, program_requests, status_request
from nomul.boards.protocol import encode_frame, pack_request
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import Program
from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    MaxPool2d,
    Network,
    Output,
)
from nomul.network.archive import write_archive
from nomul.network.encoded import write_encoded
from nomul.train.data_files import IDX_TYPES
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import format_experiment
from nomul.train.module_file import FORMAT as MODULE_FORMAT
from tests.networks import random_lookup, random_network, random_tables

__all__ = [
    "archives",
    "data_files",
    "encoded_archives",
    "engine_replies",
    "experiments",
    "frames",
    "module_archives",
    "small_program",
]

_EXPERIMENTS = (
    "",
    '[data]\nname = "digits"\nimage_size = 8\n[network]\nhidden = [4, 3]\nfan_in = [3, 4, 2]\n',
    '[network]\nlayers = [{ kind = "conv", channels = 2, kernel = 3 }, { kind = "max_pool", '
    'size = 2 }, { kind = "residual", layers = [{ kind = "conv", channels = 2, kernel = 1 }] }]\n',
    '[[network.layers]]\nkind = "lookup"\nneurons = 8\n[[network.layers]]\nkind = "class_sum"\n',
    '[codebook]\nscope = "groups"\ngroups = [[0], [1, 2]]\n[[variants]]\ncodebook.size = 9\n',
    "[training]\nseed = 1\nsteps = 8\nlearning_rate = 1e-3\nwarm_up = 2\nflip = true\n",
)


def archives() -> list[bytes]:
    """Network files with layers of every kind."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        contents = []
        for network in _networks():
            network.save(path)
            contents.append(path.read_bytes())
    return contents


def encoded_archives() -> list[bytes]:
    """The same networks, encoded."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "encoded.safetensors"
        contents = []
        for network in _networks():
            write_encoded(network.document(), path)
            contents.append(path.read_bytes())
    return contents


def experiments() -> list[bytes]:
    """Experiments with few keys, with lists of layers, with variants, and with every key."""
    return [text.encode() for text in (*_EXPERIMENTS, format_experiment(Experiment()))]


def frames() -> list[bytes]:
    """Frames of replies and of requests, as they come over the line."""
    program = small_program()
    contents = [
        pack_request(7, bytes([0x7E, 0x7D, 0x20, 1])),
        *program_requests(program),
        *level_requests([0, 1, 1], program.settings),
        status_request(3),
        bytes([1, 1, 5, 0, 0xFF, 0xFF, 9, 0, 0, 0]),
    ]
    return [encode_frame(content) for content in contents] + [
        b"noise" + b"".join(map(encode_frame, contents[-3:]))
    ]


def engine_replies() -> list[bytes]:
    """What a board might answer to the requests of a host, one frame after the other."""
    codes = ((5, 5), (0, 0, 0), (7, 0, 0), (8, 0), (3, 3, 3, 3), (4, 4, 4, 4), (2,), (6,))
    conversations = [[bytes([1 + n, code]) for n, code in enumerate(own)] for own in codes]
    answered = bytes([1, 1, 2, 0, 7, 0, 0, 0])
    return [b"".join(map(encode_frame, own)) for own in [*conversations, [answered]]]


def data_files() -> list[bytes]:
    """IDX files of every type, compressed or not, and ``.npz`` files, compressed or not."""
    contents = []
    for number, dtype in IDX_TYPES.items():
        array = np.arange(6).reshape(2, 3).astype(dtype)
        header = bytes([0, 0, number, 2]) + np.array([2, 3], ">u4").tobytes()
        contents.append(header + array.tobytes())
    contents.append(gzip.compress(contents[0], mtime=0))
    arrays: dict[str, Any] = {
        "x": np.arange(6, dtype=np.float32).reshape(3, 2),
        "y": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        contents.append(file.getvalue())
    return contents


def module_archives() -> list[bytes]:
    """Archives as a module's state is kept in: weights, a mask, a number and nothing."""
    tensors: dict[str, Any] = {
        "1.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "1.mask": np.array([[0, 1, 1]], np.uint8),
        "2.num_batches_tracked": np.array(7, np.int64),
        "2._extra_state": np.zeros(0, np.float64),
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "module.safetensors"
        contents = []
        for chosen in (tensors, {}):
            write_archive(path, MODULE_FORMAT, chosen)
            contents.append(path.read_bytes())
    return contents


def small_program() -> Program:
    """Return the program of a network with one neuron."""
    return fold(random_network((3, 1), (2,), output="accumulators"), EngineSettings())


def _networks() -> list[Network]:
    bits = Input((2, 5, 5), np.array([0.0, 1.0]), "thermometer")
    graph = (
        Conv2d(**random_tables((4, 4, 3, 3), 4, 2, None), padding=(1, 1)),
        Conv2d(**random_tables((4, 1, 1, 1), 4, 2, None), groups=4),
        Add(np.zeros(4, np.int32), np.arange(3, dtype=np.int32), ("layers.0", "layers.1")),
        MaxPool2d((3, 3), (2, 2), (1, 1), "layers.2"),
        ConvTranspose2d(
            **random_tables((4, 1, 3, 3), 2, 4, 3),
            source="layers.3",
            stride=(2, 2),
            padding=(1, 1),
            output_padding=(1, 1),
            groups=2,
        ),
        Dense(**random_tables((3, 72), 3, 3, None), source="layers.4"),
    )
    # A few hundred taps over millions of positions: what a small file can ask for.
    long = (
        Conv2d(**random_tables((1, 1, 1, 300), 1, 2, 2), stride=(1, 2), padding=(0, 1_000)),
        MaxPool2d((1, 1 << 21), (1, 1 << 21), source="layers.0"),
    )
    lookups = (random_lookup(4, 3, 10, 4), random_lookup(6, 2, 8, 5, source="layers.0"))
    return [
        random_network((1, 1), (2,), output="accumulators"),
        random_network((3, 4, 2), (3, 5), factored=True),
        random_network((3, 4, 2), (3, 5, 2), output="levels"),
        Network(bits, graph, Output("accumulators", 0.5, -1.0)),
        Network(Input((1, 1, 1 << 22), np.array([0.5])), long, Output("levels")),
        Network(Input((5,), np.array([0.0, 1.0])), lookups, Output("levels")),
    ]
