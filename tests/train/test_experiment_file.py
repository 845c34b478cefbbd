"""An experiment's file: what it may say, its variants, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nomul.network import UserError
from nomul.train.experiment import DataSettings, Experiment, NetworkSettings
from nomul.train.experiment_file import format_experiment, load_experiment, load_variants
from nomul.train.layer_settings import LAYER_KINDS, DenseSettings, LayerSettings, ResidualSettings

EXAMPLES = Path(__file__).parents[2] / "examples"


def write(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    """Return what is said of the file, but for its path."""
    path = write(folder, text)
    with pytest.raises(UserError) as refused:
        load_experiment(path)
    return str(refused.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "text", ["", *(f"[{section.name}]" for section in dataclasses.fields(Experiment))]
)
def test_what_is_not_there_keeps_its_default(tmp_path: Path, text: str) -> None:
    assert load_experiment(write(tmp_path, text)) == Experiment()


@pytest.mark.parametrize(
    ("section", "key", "text", "value"),
    [
        ("data", "name", '"other"', "other"),
        ("data", "image_size", "224", 224),
        ("input", "levels", "2", 2),
        ("input", "levels", "256", 256),
        ("input", "thresholds", '"quantile"', "quantile"),
        ("input", "sharing", '"per_channel"', "per_channel"),
        ("input", "encoding", '"thermometer"', "thermometer"),
        ("network", "task", '"reconstruct"', "reconstruct"),
        ("network", "hidden", "[]", ()),
        ("network", "hidden", "[1, 2]", (1, 2)),
        ("network", "activation", '"relud"', "relud"),
        ("network", "ceiling", "6", 6.0),
        ("network", "batch_norm", "true", True),
        ("network", "fan_in", "[3, 4]", (3, 4)),
        ("codebook", "size", "65_535", 65_535),
        ("codebook", "scope", '"layer"', "layer"),
        ("codebook", "pinned", "false", False),
        ("training", "learning_rate", "1", 1.0),
        ("training", "label_smoothing", "0", 0.0),
        ("training", "cluster_every", "0", 0),
        ("training", "prune_until", "1.0", 1.0),
        ("training", "precision", '"bfloat16"', "bfloat16"),
        ("hardware", "board", '"other"', "other"),
    ],
)
def test_a_key_sets_its_value(
    tmp_path: Path, section: str, key: str, text: str, value: object
) -> None:
    experiment = load_experiment(write(tmp_path, f"[{section}]\n{key} = {text}"))
    found = getattr(getattr(experiment, section), key)
    assert found == value
    assert type(found) is type(value)


def test_groups_are_lists_of_lists(tmp_path: Path) -> None:
    text = "[codebook]\nscope = 'groups'\ngroups = [[0, 2], [1]]"
    assert load_experiment(write(tmp_path, text)).codebook.groups == ((0, 2), (1,))


def test_the_last_layer_is_a_table(tmp_path: Path) -> None:
    text = "[network.output]\nkind = 'dense'\nneurons = 12"
    assert load_experiment(write(tmp_path, text)).network.output == DenseSettings(12)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[trainning]",
            "Unknown section 'trainning': did you mean 'training'? The known ones are codebook, "
            "data, hardware, input, network, training, variants.",
        ),
        (
            "[[variant]]",
            "Unknown section 'variant': did you mean 'variants'? The known ones are codebook, "
            "data, hardware, input, network, training, variants.",
        ),
        (
            "steps = 3",
            "steps belongs under [training]: its whole name is training.steps.",
        ),
        (
            "[[variants]]\nboard = 'icesugar'",
            "variants[0]: board belongs under [hardware]: its whole name is hardware.board.",
        ),
        (
            "levels = 3",  # of the input or of the network
            "Unknown section 'levels': choose one of codebook, data, hardware, input, network, "
            "training, variants.",
        ),
        (
            "[steps]",
            "Unknown section 'steps': choose one of codebook, data, hardware, input, network, "
            "training, variants.",
        ),
        (
            "steps = 3\n[[variants]]",
            "steps belongs under [training]: its whole name is training.steps.",
        ),
        (
            "[codebook]\nsizes = 3",
            "Unknown key 'sizes': did you mean 'size'? The known ones are biases, groups, kind, "
            "pinned, scope, size, start_size, zero.",
        ),
        ("training = 1", "training must be a section: write [training] above its keys."),
        ("[input]\nlevels = 1", "input.levels is 1: it must be at least 2."),
        ("[input]\nlevels = 257", "input.levels is 257: it must be at most 256."),
        ("[input]\nlevels = 16.0", "input.levels is 16.0: it must be an integer."),
        ("[input]\nlevels = true", "input.levels is True: it must be an integer."),
        (
            "[input]\nencoding = 'unary'",
            "input.encoding is 'unary': choose one of level, thermometer.",
        ),
        ("[network]\nlevels = 1", "network.levels is 1: it must be at least 2."),
        ("[network]\nhidden = 32", "network.hidden is 32: it must be a list of integers."),
        ("[network]\nhidden = [0]", "network.hidden[0] is 0: it must be at least 1."),
        ("[network]\nhidden = ['a']", "network.hidden[0] is 'a': it must be an integer."),
        ("[network]\nhidden = [[1]]", "network.hidden[0] is [1]: it must be an integer."),
        ("[network]\nfan_in = [1, 0]", "network.fan_in[1] is 0: it must be at least 1."),
        ("[network]\nbatch_norm = 1", "network.batch_norm is 1: it must be true or false."),
        (
            "[network]\nactivation = 'relu'",
            "network.activation is 'relu': choose one of tanhd, relud, sign, hardtanhd, sigmoidd.",
        ),
        ("[network]\nceiling = 0", "network.ceiling is 0: it must be at least 1e-06."),
        ("[network]\nceiling = inf", "network.ceiling is inf: it must be finite."),
        (
            f"[network]\nceiling = {10**400}",
            f"network.ceiling is {10**400}: it must be at most 1000000.0.",
        ),
        ("[network]\nlayers = 3", "network.layers is 3: it must be a list of layers."),
        (
            "[network]\nlayers = [{ neurons = 3 }]",
            "network.layers[0] is {'neurons': 3}: it must be a table such as { kind = \"dense\" }.",
        ),
        (
            "[network]\nlayers = [{ kind = 'dense', neurons = 3 }, { kind = 'dens' }]",
            "network.layers[1]: Unknown layer kind 'dens': did you mean 'dense'? The known ones "
            "are average_pool, class_sum, conv, conv_transpose, dense, dropout, lookup, max_pool, "
            "residual.",
        ),
        (
            "[network]\nlayers = [{ kind = 'conv', channels = 3, kernel = 1, strides = 2 }]",
            "network.layers[0]: Unknown key 'strides': did you mean 'stride'? The known ones are "
            "channels, groups, kernel, padding, stride.",
        ),
        (
            "[network]\noutput = 'dense'",
            "network.output is 'dense': it must be a table such as { kind = \"dense\" }.",
        ),
        (
            "[codebook]\nkind = []",
            "codebook.kind is []: choose one of kmeans, laplacian_l1, laplacian_l2, gaussian_l1, "
            "gaussian_l2, grid, powers_of_two, ternary, bilevel.",
        ),
        ("[codebook]\nsize = 1", "codebook.size is 1: it must be at least 2."),
        ("[codebook]\nsize = 65_536", "codebook.size is 65536: it must be at most 65535."),
        (
            "[codebook]\nscope = 'all'",
            "codebook.scope is 'all': choose one of network, layer, groups.",
        ),
        (
            "[codebook]\ngroups = 1",
            "codebook.groups is 1: it must be a list of lists of integers.",
        ),
        ("[codebook]\ngroups = [1]", "codebook.groups[0] is 1: it must be a list of integers."),
        (
            "[codebook]\ngroups = [[1], [0, -1]]",
            "codebook.groups[1][1] is -1: it must be at least 0.",
        ),
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
            "[network]\nfan_in = [3]",
            "network.fan_in has 1 entry: it must have one for each of the 2 layers, or none.",
        ),
        ("variants = 3", "write [[variants]] above each variant's keys."),
        ("variants = [3]", "write [[variants]] above each variant's keys."),
        ("[variants]\nseed = 3", "write [[variants]] above each variant's keys."),
        (
            "[[variants]]\n[[variants]]\ntraining.seed = -1",
            "variants[1]: training.seed is -1: it must be at least 0.",
        ),
        (
            "[[variants]]\ntrainning.seed = 1",
            "variants[0]: Unknown section 'trainning': did you mean 'training'? The known ones are "
            "codebook, data, hardware, input, network, training.",
        ),
        (
            "[[variants]]\nnetwork.activation = 'sign'",
            "variants[0]: network.levels is 32: the sign has two levels, so write levels = 2.",
        ),
        (
            "[[variants]]\ntraining = 3",
            "variants[0]: training must be a section: write [training] above its keys.",
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
    [b"\xff\xfe", b"a = " + b"[" * 2000 + b"]" * 2000],
    ids=["bytes", "deep"],
)
def test_a_file_that_cannot_be_parsed_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "experiment.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a TOML file"):
        load_experiment(path)


def test_a_variant_changes_the_keys_that_it_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [network]
        levels = 8
        layers = [{ kind = "dense", neurons = 3 }]
        [training]
        seed = 5
        [[variants]]
        network.levels = 4
        [[variants]]
        training.steps = 7
        network.layers = [{ kind = "dropout" }]
        [[variants]]
        """,
    )
    base, fewer_levels, other_layers, same = load_variants(path)
    assert (base.network.levels, base.training.seed) == (8, 5)
    assert base.network.layers == (DenseSettings(3),)
    assert fewer_levels == dataclasses.replace(
        base, network=dataclasses.replace(base.network, levels=4)
    )
    assert other_layers.network.levels == 8
    assert [type(layer).__name__ for layer in other_layers.network.layers] == ["DropoutSettings"]
    assert (other_layers.training.steps, other_layers.training.seed) == (7, 5)
    assert same == base
    assert load_experiment(path) == base


def test_without_variants_there_is_the_experiment_alone(tmp_path: Path) -> None:
    assert load_variants(write(tmp_path, "")) == (Experiment(),)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_an_example_loads_and_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    for experiment in load_variants(path):
        assert load_experiment(write(tmp_path, format_experiment(experiment))) == experiment
    assert load_experiment(path) != Experiment()


def test_there_are_examples() -> None:
    assert list(EXAMPLES.glob("*.toml"))


def _values(kind: Any, least: float | None = None, greatest: float | None = None) -> Any:
    """Return a strategy of what a setting of the type ``kind`` may be."""
    if kind == LayerSettings:
        return st.deferred(lambda: layer_settings)
    if kind == LayerSettings | None:
        return st.none() | st.deferred(lambda: layer_settings)
    if get_origin(kind) is tuple:
        return st.lists(_values(get_args(kind)[0], least, greatest), max_size=3).map(tuple)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is int:
        return st.integers(int(least or 0), 2**63 - 1 if greatest is None else int(greatest))
    if kind is float:
        assert greatest is not None
        return st.floats(least, greatest)
    return {bool: st.booleans(), str: st.text()}[kind]


def _of(kind: Callable[..., Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    values = {entry.name: _values(hints[entry.name], **entry.metadata) for entry in fields}
    return st.fixed_dictionaries(values).map(lambda found: kind(**found))


layer_settings: st.SearchStrategy[LayerSettings] = st.recursive(
    st.one_of(*(_of(kind) for kind in LAYER_KINDS.values() if kind is not ResidualSettings)),
    lambda inner: st.lists(inner, max_size=3).map(tuple).map(ResidualSettings),
    max_leaves=4,
)
sections = {name: _of(kind) for name, kind in get_type_hints(Experiment).items()}


@settings(deadline=None, max_examples=150)
@given(parts=st.fixed_dictionaries(sections))
def test_what_is_written_is_read_again(
    parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    experiment = Experiment()
    for name, part in parts.items():
        try:
            experiment = dataclasses.replace(experiment, **{name: part})
        except UserError:
            continue  # it contradicts itself or the others
    assume(experiment != Experiment())
    path = write(tmp_path_factory.getbasetemp(), format_experiment(experiment))
    assert load_experiment(path) == experiment


@settings(deadline=None, max_examples=100)
@given(layers=st.lists(layer_settings, max_size=4), output=st.none() | layer_settings)
def test_layers_that_are_written_are_read_again(
    layers: list[LayerSettings],
    output: LayerSettings | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    experiment = Experiment(network=NetworkSettings(layers=tuple(layers), output=output))
    path = write(tmp_path_factory.getbasetemp(), format_experiment(experiment))
    assert load_experiment(path) == experiment


@pytest.mark.parametrize("name", ['a "b"', "a\\b", "\x7f\x00\n\t", "häuser", "\U0001f600", "'"])
def test_texts_are_written_as_toml_has_them(name: str, tmp_path: Path) -> None:
    experiment = Experiment(data=DataSettings(name=name))
    assert load_experiment(write(tmp_path, format_experiment(experiment))) == experiment


@pytest.mark.parametrize("ceiling", [1e-6, 1e6, 0.1, 5e-5, math.pi])
def test_numbers_are_written_to_the_bit(ceiling: float, tmp_path: Path) -> None:
    experiment = Experiment(network=NetworkSettings(ceiling=ceiling))
    assert load_experiment(write(tmp_path, format_experiment(experiment))) == experiment


def test_what_is_written_reads_like_what_is_typed() -> None:
    layers = (ResidualSettings((DenseSettings(3),)), DenseSettings(4))
    text = format_experiment(Experiment(network=NetworkSettings(layers=layers)))
    assert text.startswith('[data]\nname = "digits"\nimage_size = 0\ntest_samples = 0\n\n[input]\n')
    assert (
        'layers = [{ kind = "residual", layers = [{ kind = "dense", neurons = 3 }] }, '
        '{ kind = "dense", neurons = 4 }]\n'
    ) in text
    assert "output" not in text
    assert text.endswith('[hardware]\nboard = "icebreaker"\n')


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"[[network{'.layers' * depth}]]\nkind = 'residual'\n" for depth in range(1, 250)),
        f"[network]\nlayers{'.layers' * 550} = 1\n",
        f"[network]\nhidden = [1]\n[data]\nname{'.a' * 900} = 1\n[[variants]]\n",
    ],
    ids=["lists", "shown", "variants"],
)
def test_tables_that_dots_nest_too_deeply_are_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError):
        load_variants(path)


def test_a_key_that_would_take_minutes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a." * 30_000 + "a = 1")
    with pytest.raises(UserError) as refused:
        load_experiment(path)
    assert str(refused.value) == f"{path} has a line of more than 4,096 bytes: break it."


def test_what_is_too_long_for_an_experiment_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "# comment\n" * 30_000)
    with pytest.raises(UserError) as refused:
        load_experiment(path)
    assert str(refused.value) == f"{path} is no experiment: it has more than 262,144 bytes."
