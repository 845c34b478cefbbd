from __future__ import annotations

import itertools
import random

import pytest

from nomul.sim.streams import bursts


@pytest.mark.parametrize("longest", [1, 2, 7, 500])
def test_bursts_follow_from_the_seed_and_pause_as_long_as_asked(longest: int) -> None:
    first, again = (
        list(itertools.islice(bursts(random.Random(longest), longest), 50_000)) for _ in range(2)
    )
    assert first == again
    runs = [(pausing, len(list(group))) for pausing, group in itertools.groupby(first)][:-1]
    for pausing in (True, False):
        lengths = {length for kind, length in runs if kind is pausing}
        assert min(lengths) == 1
        assert max(lengths) <= max(3, longest)
        assert max(lengths) >= 0.9 * longest
