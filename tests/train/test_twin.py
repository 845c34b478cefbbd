"""What a float twin does not depend on: trainings that differ in it alone end alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nomul.train.experiment import CodebookSettings, Experiment, HardwareSettings, NetworkSettings
from nomul.train.layer_settings import (
    ClassSumSettings,
    DenseSettings,
    LayerSettings,
    LookupSettings,
)
from nomul.train.trainer import train
from nomul.train.twin import twin_of
from tests.train.short import CONVOLUTIONS, assert_same_state, experiment, pictures

FORM = experiment(network=CONVOLUTIONS, steps=4)


def changed(section: str, **values: Any) -> Experiment:
    settings: Any = dataclasses.replace(getattr(FORM, section), **values)
    return dataclasses.replace(FORM, **{section: settings})


ALIKE = {
    "codebook": dataclasses.replace(
        FORM, codebook=CodebookSettings("ternary", 3, "groups", ((0, 1), (2,)), "clustered")
    ),
    "levels": changed("network", levels=9),
    "fan-in": changed("network", fan_in=(3, 3, 3)),
    "operand-bits": changed("network", operand_bits=5000),
    "clustering": changed(
        "training",
        cluster_every=2,
        cluster_every_start=3,
        cluster_from=0.5,
        straight_through_from=0.75,
        prune_until=0.5,
        connect_until=0.5,
        cost=0.5,
    ),
    "checkpoints": changed("training", checkpoint_every=3),
    "board": dataclasses.replace(FORM, hardware=HardwareSettings("other")),
}

OTHERS = {
    "batch-norm": changed("network", batch_norm=False),
    "input": changed("input", levels=8),
    "seed": changed("training", seed=1),
    "steps": changed("training", steps=5),
    "shift": changed("training", shift=1),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_makes_no_difference_leads_to_the_same_twin(name: str) -> None:
    assert ALIKE[name] != FORM
    assert twin_of(ALIKE[name]) == twin_of(FORM)
    one, other = (train(form, pictures(), discretized=False) for form in (FORM, ALIKE[name]))
    assert_same_state(one[1:], other[1:])


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_leads_to_another_twin(name: str) -> None:
    assert twin_of(OTHERS[name]) != twin_of(FORM)


def lookups(output: LayerSettings, *layers: LayerSettings) -> Experiment:
    return experiment(network=NetworkSettings(layers=layers, output=output), steps=4)


def test_lookups_of_another_fan_in_have_the_same_twin() -> None:
    one = lookups(ClassSumSettings(), LookupSettings(9), LookupSettings(6))
    other = lookups(ClassSumSettings(2.5), LookupSettings(9, 6), LookupSettings(6, 2))
    assert twin_of(one) == twin_of(other)
    trained = (train(form, pictures(), discretized=False) for form in (one, other))
    assert_same_state(*trained)


@pytest.mark.parametrize(
    "other",
    [
        lookups(ClassSumSettings(), LookupSettings(8)),
        lookups(ClassSumSettings(), DenseSettings(9)),
        lookups(DenseSettings(3), LookupSettings(9)),
    ],
    ids=["neurons", "kind", "output"],
)
def test_other_lookups_have_another_twin(other: Experiment) -> None:
    assert twin_of(other) != twin_of(lookups(ClassSumSettings(), LookupSettings(9)))


def test_the_sign_keeps_its_two_levels() -> None:
    form = Experiment(network=NetworkSettings(activation="sign", levels=2))
    assert twin_of(form) == form


def test_the_twin_of_a_twin_is_itself() -> None:
    assert twin_of(twin_of(ALIKE["fan-in"])) == twin_of(FORM)
