"""What happens at which step, by formula and by enumeration."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from nomul.train.experiment import CodebookSettings, Experiment, NetworkSettings, TrainingSettings
from nomul.train.schedules import (
    cluster_steps,
    codebook_size,
    fixing_step,
    learning_rate,
    pruning_steps,
)


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    settings = TrainingSettings(steps=8, learning_rate=0.4)
    rates = [learning_rate(step, settings) for step in range(8)]
    assert rates == pytest.approx([0.2 + 0.2 * math.cos(math.pi * k / 8) for k in range(8)])
    assert rates[0] == 0.4


def test_the_learning_rate_falls_to_a_tenth_twice() -> None:
    settings = TrainingSettings(steps=8, learning_rate=0.4, schedule="steps")
    rates = [learning_rate(step, settings) for step in range(8)]
    assert rates == pytest.approx([0.4, 0.4, 0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_the_learning_rate_stays() -> None:
    settings = TrainingSettings(steps=8, learning_rate=0.4, schedule="constant")
    assert {learning_rate(step, settings) for step in range(8)} == {0.4}


def test_the_learning_rate_rises_for_as_long_as_it_warms_up() -> None:
    settings = TrainingSettings(steps=8, learning_rate=0.4, schedule="constant", warm_up=3)
    rates = [learning_rate(step, settings) for step in range(8)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4])


@pytest.mark.parametrize(("fraction", "step"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_the_codebook_is_fixed_at_its_fraction_of_the_steps(fraction: float, step: int) -> None:
    assert fixing_step(TrainingSettings(steps=8, straight_through_from=fraction)) == step


@pytest.mark.parametrize("cluster_every", [1, 3, 7])
@pytest.mark.parametrize("cluster_from", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("straight_through_from", [0.0, 0.6, 1.0])
def test_clustering_is_at_the_multiples_of_the_interval(
    cluster_every: int, cluster_from: float, straight_through_from: float
) -> None:
    settings = TrainingSettings(
        steps=20,
        cluster_every=cluster_every,
        cluster_from=cluster_from,
        straight_through_from=straight_through_from,
    )
    expected = [
        step
        for step in range(20)
        if step % cluster_every == 0
        and step >= cluster_from * 20
        and step < round(straight_through_from * 20)
    ]
    assert sorted(cluster_steps(settings)) == expected


def test_without_an_interval_nothing_is_clustered() -> None:
    assert cluster_steps(TrainingSettings(cluster_every=0)) == frozenset()


def test_a_shrinking_interval_goes_from_the_one_to_the_other() -> None:
    settings = TrainingSettings(
        steps=10_000, cluster_every=10, cluster_every_start=500, cluster_from=0.1
    )
    steps = sorted(cluster_steps(settings))
    intervals = [after - before for before, after in pairwise(steps)]
    assert steps[0] == 1_000
    assert steps[-1] < 6_000 <= steps[-1] + 20, "the codebook is fixed at 6,000"
    assert intervals[0] == 500
    assert intervals[-1] <= 12
    assert all(after <= before + 1 for before, after in pairwise(intervals)), "but for rounding"
    for step, interval in zip(steps, intervals, strict=False):
        assert interval == pytest.approx(10 + 490 * (6_000 - step) / 5_000, abs=1.5)


def test_an_interval_that_shrinks_to_itself_is_a_fixed_one() -> None:
    shrinking = TrainingSettings(
        steps=100, cluster_every=10, cluster_every_start=10, cluster_from=0.2
    )
    assert sorted(cluster_steps(shrinking)) == [20, 30, 40, 50]


@pytest.mark.parametrize("cluster_from", [0.5, 0.6, 1.0])
def test_a_shrinking_interval_may_have_no_time(cluster_from: float) -> None:
    settings = TrainingSettings(
        steps=100, cluster_every_start=100, cluster_from=cluster_from, straight_through_from=0.5
    )
    assert cluster_steps(settings) == frozenset()


def test_every_clustering_is_before_the_codebook_is_fixed() -> None:
    for start in range(3, 40):
        settings = TrainingSettings(
            steps=50, cluster_every=3, cluster_every_start=start, cluster_from=0.11
        )
        steps = cluster_steps(settings)
        assert steps
        assert min(steps) == 6, "the first after 5.5"
        assert max(steps) < 30


def test_a_codebook_keeps_its_size() -> None:
    codebook = CodebookSettings(size=11)
    assert {codebook_size(step, codebook, TrainingSettings(steps=9)) for step in range(9)} == {11}


def test_a_codebook_shrinks_geometrically_until_it_is_fixed() -> None:
    codebook = CodebookSettings(size=10, start_size=1000)
    training = TrainingSettings(steps=100, straight_through_from=0.4)
    sizes = [codebook_size(step, codebook, training) for step in range(100)]
    assert sizes[0] == 1000
    assert sizes[10] == round(1000 / 10**0.5)
    assert sizes[20] == 100
    assert sizes[39] == round(1000 * 0.01 ** (39 / 40))
    assert sizes[40:] == [10] * 60


@pytest.mark.parametrize("straight_through_from", [0.0, 0.01, 0.99, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_codebook_has_its_size_when_it_is_fixed_and_at_the_last_step(
    steps: int, straight_through_from: float
) -> None:
    codebook = CodebookSettings(size=10, start_size=13)
    training = TrainingSettings(steps=steps, straight_through_from=straight_through_from)
    assert codebook_size(fixing_step(training), codebook, training) == 10
    assert codebook_size(steps - 1, codebook, training) == 10


PRUNED = (NetworkSettings(fan_in=(8, 4)), NetworkSettings(operand_bits=100))


@pytest.mark.parametrize("network", PRUNED)
def test_pruning_goes_to_four_and_two_times_and_then_to_what_is_wanted(
    network: NetworkSettings,
) -> None:
    training = TrainingSettings(steps=90, prune_until=0.5)
    assert pruning_steps(Experiment(network=network, training=training)) == {15: 4, 30: 2, 45: 1}


@pytest.mark.parametrize("prune_until", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_pruning_ends_at_what_is_wanted_however_few_the_steps(
    steps: int, prune_until: float
) -> None:
    training = TrainingSettings(steps=steps, prune_until=prune_until)
    planned = pruning_steps(Experiment(network=PRUNED[0], training=training))
    assert max(planned) < steps
    assert planned[max(planned)] == 1


def test_without_a_limit_nothing_is_pruned() -> None:
    assert pruning_steps(Experiment()) == {}
