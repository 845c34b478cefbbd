from __future__ import annotations

import numpy as np
import pytest

from nomul.sim.golden import evaluate, evaluate_levels, input_levels
from nomul.verify.samples import random_samples, samples_of
from tests.networks import random_network


@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
def test_samples_have_the_golden_models_answers_in_rows(output: str) -> None:
    levels = (4, 3, 2) if output == "levels" else (4, 3)
    network = random_network((5, 4, 3), levels, output=output)  # type: ignore[arg-type]
    features = np.random.default_rng(0).uniform(-1, 4, (20, 5))
    samples = samples_of(network, features)
    np.testing.assert_array_equal(samples.levels, input_levels(network, features))
    np.testing.assert_array_equal(samples.expected, evaluate(network, features).reshape(20, -1))
    part = samples.part(slice(3, 5))
    assert len(part) == 2
    assert part.features is not None
    np.testing.assert_array_equal(
        evaluate(network, part.features),
        part.expected.squeeze(1) if output == "class" else part.expected,
    )


def test_random_samples_reach_every_level_and_follow_from_the_seed() -> None:
    network = random_network((5, 4, 3), (4, 3))
    samples, again = random_samples(network, 50), random_samples(network, 50)
    np.testing.assert_array_equal(samples.levels, again.levels)
    assert (random_samples(network, 50, seed=1).levels != samples.levels).any()
    assert sorted(set(samples.levels.flat)) == [0, 1, 2, 3]
    answers = evaluate_levels(network, samples.levels)
    np.testing.assert_array_equal(samples.expected[:, 0], answers)
    assert samples.features is None
    assert samples.part(slice(2)).features is None
