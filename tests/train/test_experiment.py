"""An experiment: its defaults, what contradicts itself, and what is used instead."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from nomul.network import UserError
from nomul.train.codebook import CODEBOOKS
from nomul.train.experiment import (
    CodebookKind,
    CodebookSettings,
    Experiment,
    NetworkSettings,
    TrainingSettings,
    notes,
)
from nomul.train.layer_settings import DenseSettings

DEFAULTS = {
    "data": {"name": "digits", "image_size": 0, "test_samples": 0},
    "input": {
        "levels": 16,
        "thresholds": "uniform",
        "sharing": "shared",
        "encoding": "level",
    },
    "network": {
        "task": "classify",
        "hidden": (32,),
        "layers": (),
        "output": None,
        "activation": "tanhd",
        "ceiling": 6.0,
        "levels": 32,
        "batch_norm": False,
        "fan_in": (),
        "operand_bits": 0,
    },
    "codebook": {
        "kind": "kmeans",
        "size": 101,
        "scope": "network",
        "groups": (),
        "biases": "apart",
        "zero": False,
        "pinned": True,
        "start_size": 0,
    },
    "training": {
        "seed": 0,
        "steps": 2000,
        "batch_size": 64,
        "learning_rate": 0.01,
        "schedule": "cosine",
        "warm_up": 0,
        "weight_decay": 0.0,
        "label_smoothing": 0.2,
        "noise": 0.0,
        "shift": 0,
        "flip": False,
        "cluster_every": 100,
        "cluster_every_start": 0,
        "cluster_from": 0.2,
        "straight_through_from": 0.6,
        "prune_until": 0.25,
        "connect_until": 0.6,
        "cost": 0.0,
        "validation": 0.0,
        "validate_every": 100,
        "patience": 0,
        "checkpoint_every": 1000,
        "precision": "float32",
        "compile": False,
    },
    "hardware": {"board": "icebreaker"},
}


def test_the_defaults_are_the_method_as_published() -> None:
    assert dataclasses.asdict(Experiment()) == DEFAULTS


def test_the_kinds_of_codebook_are_those_that_can_be_fitted() -> None:
    assert set(get_args(CodebookKind)) == set(CODEBOOKS)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"network": NetworkSettings(hidden=(4,), layers=(DenseSettings(4),))},
            "network.hidden and network.layers are both there: keep one of them.",
        ),
        (
            {"network": NetworkSettings(activation="sign")},
            "network.levels is 32: the sign has two levels, so write levels = 2.",
        ),
        (
            {"network": NetworkSettings(fan_in=(3, 3), operand_bits=100)},
            "network.fan_in and network.operand_bits are both there: keep one of them.",
        ),
        (
            {"network": NetworkSettings(hidden=(4, 4), fan_in=(3, 3))},
            "network.fan_in has 2 entries: it must have one for each of the 3 layers, or none.",
        ),
        (
            {"training": TrainingSettings(steps=50, warm_up=50)},
            "training.warm_up is 50: it must be less than training.steps, 50.",
        ),
        (
            {"codebook": CodebookSettings(scope="groups")},
            'codebook.groups lists the layers of each codebook where scope = "groups", and must be '
            "left out elsewhere.",
        ),
        (
            {"codebook": CodebookSettings(scope="groups", groups=((0, 1), ()))},
            "codebook.groups[1] is empty: each group must list at least one weighted layer.",
        ),
        (
            {"codebook": CodebookSettings(groups=((0,), (1,)))},
            'codebook.groups lists the layers of each codebook where scope = "groups", and must be '
            "left out elsewhere.",
        ),
        (
            {"codebook": CodebookSettings(kind="laplacian_l2", size=2)},
            "codebook.size is 2: laplacian_l2 is symmetric around a centre and would have that one "
            "alone, so write 3 or choose bilevel.",
        ),
        (
            {"codebook": CodebookSettings(kind="powers_of_two", size=2)},
            "codebook.size is 2: powers_of_two is symmetric around a centre and would have that "
            "one alone, so write 3 or choose bilevel.",
        ),
        (
            {"codebook": CodebookSettings(kind="bilevel", zero=True)},
            "codebook.kind is bilevel of two centres, which have no 0 between them: codebook.zero "
            "and pruning need one, so choose ternary.",
        ),
        (
            {
                "codebook": CodebookSettings(kind="bilevel"),
                "network": NetworkSettings(operand_bits=9),
            },
            "codebook.kind is bilevel of two centres, which have no 0 between them: codebook.zero "
            "and pruning need one, so choose ternary.",
        ),
        (
            {
                "codebook": CodebookSettings(kind="grid", size=2),
                "network": NetworkSettings(fan_in=(3, 3)),
            },
            "codebook.kind is grid of two centres, which have no 0 between them: codebook.zero and "
            "pruning need one, so choose ternary.",
        ),
        (
            {"codebook": CodebookSettings(size=10, start_size=9)},
            "codebook.start_size is 9: it must be at least the size 10, to which it shrinks.",
        ),
        (
            {"training": TrainingSettings(cluster_every=10, cluster_every_start=9)},
            "training.cluster_every_start is 9: it must be at least cluster_every, 10, to which it "
            "shrinks.",
        ),
        (
            {"training": TrainingSettings(patience=3)},
            "training.patience needs samples to validate on: write validation = 0.1, say.",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    parts: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as refused:
        Experiment(**parts)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "parts",
    [
        {"network": NetworkSettings(layers=(DenseSettings(4),), fan_in=(3, 3, 3))},
        {"network": NetworkSettings(activation="sign", levels=2)},
        {"codebook": CodebookSettings(scope="groups", groups=((0,), (1,)))},
        {"codebook": CodebookSettings(kind="bilevel")},
        {"codebook": CodebookSettings(kind="ternary", zero=True)},
        {"codebook": CodebookSettings(size=10, start_size=10)},
        {"training": TrainingSettings(cluster_every=10, cluster_every_start=10)},
        {"training": TrainingSettings(patience=3, validation=0.1)},
    ],
)
def test_settings_that_go_together_are_not(parts: dict[str, Any]) -> None:
    assert Experiment(**parts) != Experiment()


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        (
            "laplacian_l1",
            1000,
            "codebook.size is 1000: laplacian_l1 is symmetric around a centre, so 999 centres are "
            "used.",
        ),
        (
            "grid",
            4,
            "codebook.size is 4: grid is symmetric around a centre, so 3 centres are used.",
        ),
        (
            "powers_of_two",
            30,
            "codebook.size is 30: powers_of_two is symmetric around a centre, so 29 centres are "
            "used.",
        ),
        (
            "powers_of_two",
            101,
            "codebook.size is 101: powers_of_two has at most 31 centres, so these are used.",
        ),
        ("ternary", 5, "codebook.size is 5: ternary has 3 centres whatever the size."),
        ("bilevel", 3, "codebook.size is 3: bilevel has 2 centres whatever the size."),
    ],
)
def test_what_is_used_instead_is_said(kind: CodebookKind, size: int, expected: str) -> None:
    assert notes(Experiment(codebook=CodebookSettings(kind=kind, size=size))) == [expected]


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((kind, 101) for kind in get_args(CodebookKind) if kind != "powers_of_two"),
        ("kmeans", 1000),
        ("grid", 2),
        ("grid", 5),
        ("powers_of_two", 31),
        ("ternary", 3),
        ("bilevel", 2),
        ("laplacian_l2", 999),
    ],
)
def test_where_the_size_is_used_or_was_not_asked_for_nothing_is_said(
    kind: CodebookKind, size: int
) -> None:
    assert notes(Experiment(codebook=CodebookSettings(kind=kind, size=size))) == []
