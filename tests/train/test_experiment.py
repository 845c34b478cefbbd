"""An experiment's file: its defaults, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nomul.network import UserError
from nomul.train.experiment import Experiment, load_experiment

EXAMPLES = Path(__file__).parents[2] / "examples"

DEFAULTS = {
    "data": {"name": "digits"},
    "input": {"levels": 16},
    "network": {
        "hidden": (32,),
        "activation": "tanhd",
        "levels": 32,
        "batch_norm": False,
        "fan_in": (),
    },
    "codebook": {"kind": "kmeans", "size": 101, "scope": "network"},
    "training": {
        "seed": 0,
        "steps": 2000,
        "batch_size": 64,
        "learning_rate": 0.01,
        "label_smoothing": 0.2,
        "noise": 0.0,
        "cluster_every": 100,
        "cluster_from": 0.2,
        "straight_through_from": 0.6,
        "prune_until": 0.25,
    },
    "hardware": {"board": "icebreaker"},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    """Return what is said of the file, but for its path."""
    path = write(folder, text)
    with pytest.raises(UserError) as refused:
        load_experiment(path)
    return str(refused.value).removeprefix(f"{path}: ")


def test_every_key_has_its_default(tmp_path: Path) -> None:
    assert dataclasses.asdict(load_experiment(write(tmp_path, ""))) == DEFAULTS
    assert load_experiment(write(tmp_path, "")) == Experiment()


@pytest.mark.parametrize("section", DEFAULTS)
def test_an_empty_section_keeps_the_defaults(tmp_path: Path, section: str) -> None:
    assert load_experiment(write(tmp_path, f"[{section}]")) == Experiment()


@pytest.mark.parametrize(
    ("section", "key", "text", "value"),
    [
        ("data", "name", '"other"', "other"),
        ("input", "levels", "2", 2),
        ("input", "levels", "256", 256),
        ("network", "hidden", "[]", ()),
        ("network", "hidden", "[1, 2]", (1, 2)),
        ("network", "activation", '"relud"', "relud"),
        ("network", "batch_norm", "true", True),
        ("network", "fan_in", "[3, 4]", (3, 4)),
        ("codebook", "size", "4_095", 4_095),
        ("codebook", "scope", '"layer"', "layer"),
        ("training", "learning_rate", "1", 1.0),
        ("training", "label_smoothing", "0", 0.0),
        ("training", "cluster_every", "0", 0),
        ("training", "prune_until", "1.0", 1.0),
        ("hardware", "board", '"other"', "other"),
    ],
)
def test_a_key_sets_its_value(
    tmp_path: Path, section: str, key: str, text: str, value: object
) -> None:
    experiment = load_experiment(write(tmp_path, f"[{section}]\n{key} = {text}"))
    found = dataclasses.asdict(experiment)[section][key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[trainning]",
            "Unknown section 'trainning': did you mean 'training'? The known ones are codebook, "
            "data, hardware, input, network, training.",
        ),
        (
            "[codebook]\nsizes = 3",
            "Unknown key 'sizes': did you mean 'size'? The known ones are kind, scope, size.",
        ),
        ("training = 1", "training must be a section: write [training] above its keys."),
        ("[input]\nlevels = 1", "input.levels is 1: it must be at least 2."),
        ("[input]\nlevels = 257", "input.levels is 257: it must be at most 256."),
        ("[input]\nlevels = 16.0", "input.levels is 16.0: it must be an integer."),
        ("[input]\nlevels = true", "input.levels is True: it must be an integer."),
        ("[network]\nlevels = 1", "network.levels is 1: it must be at least 2."),
        ("[network]\nhidden = 32", "network.hidden is 32: it must be a list of integers."),
        ("[network]\nhidden = [0]", "network.hidden is 0: it must be at least 1."),
        ("[network]\nhidden = ['a']", "network.hidden is 'a': it must be an integer."),
        ("[network]\nhidden = [[1]]", "network.hidden is [1]: it must be an integer."),
        ("[network]\nfan_in = [1, 0]", "network.fan_in is 0: it must be at least 1."),
        ("[network]\nbatch_norm = 1", "network.batch_norm is 1: it must be true or false."),
        (
            "[network]\nactivation = 'relu'",
            "network.activation is 'relu': choose one of tanhd, relud.",
        ),
        ("[codebook]\nkind = []", "codebook.kind is []: choose one of kmeans, grid."),
        ("[codebook]\nsize = 1", "codebook.size is 1: it must be at least 2."),
        ("[codebook]\nsize = 4_096", "codebook.size is 4096: it must be at most 4095."),
        ("[codebook]\nscope = 'all'", "codebook.scope is 'all': choose one of network, layer."),
        ("[data]\nname = 1", "data.name is 1: it must be a text."),
        ("[hardware]\nboard = false", "hardware.board is False: it must be a text."),
        ("[training]\nseed = -1", "training.seed is -1: it must be at least 0."),
        ("[training]\nsteps = 0", "training.steps is 0: it must be at least 1."),
        ("[training]\nbatch_size = 1", "training.batch_size is 1: it must be at least 2."),
        (
            "[training]\nlearning_rate = '1'",
            "training.learning_rate is '1': it must be a number.",
        ),
        (
            "[training]\nlearning_rate = nan",
            "training.learning_rate is nan: it must be finite.",
        ),
        ("[training]\nnoise = -0.5", "training.noise is -0.5: it must be at least 0.0."),
        (
            "[training]\nlabel_smoothing = 1.5",
            "training.label_smoothing is 1.5: it must be at most 1.0.",
        ),
        (
            "[training]\ncluster_every = -1",
            "training.cluster_every is -1: it must be at least 0.",
        ),
        ("[training]\ncluster_from = 2", "training.cluster_from is 2: it must be at most 1.0."),
        (
            "[training]\nstraight_through_from = -1",
            "training.straight_through_from is -1: it must be at least 0.0.",
        ),
        ("[training]\nprune_until = 1.1", "training.prune_until is 1.1: it must be at most 1.0."),
        (
            "[network]\nhidden = [4, 4]\nfan_in = [3, 3]",
            "network.fan_in has 2 entries: it must have one for each of the 3 layers, or none.",
        ),
        (
            "[codebook]\nkind = 'grid'\nsize = 4\nscope = 'layer'",
            "codebook.size is 4: a grid is symmetric around 0 and needs an odd size.",
        ),
        (
            "[codebook]\nkind = 'grid'\nsize = 5",
            'codebook.scope is "network": a grid has one step for each layer, so write '
            'scope = "layer".',
        ),
    ],
)
def test_what_an_experiment_cannot_be_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    assert refusal(tmp_path, text) == sentence


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    with pytest.raises(UserError) as refused:
        load_experiment(path)
    assert str(refused.value) == (f"Cannot read the experiment {path}: No such file or directory.")


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "levels: 16")
    with pytest.raises(UserError) as refused:
        load_experiment(path)
    assert str(refused.value) == (
        f"{path} is not a TOML file: Expected '=' after a key in a key/value pair "
        "(at line 1, column 7)."
    )


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"a = " + b"[" * 5000 + b"]" * 5000, b"a = " + b"9" * 5000],
    ids=["bytes", "deep", "digits"],
)
def test_a_file_that_cannot_be_parsed_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "experiment.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a TOML file"):
        load_experiment(path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_an_example_loads(path: Path) -> None:
    assert load_experiment(path) != Experiment()


def test_there_are_examples() -> None:
    assert list(EXAMPLES.glob("*.toml"))
