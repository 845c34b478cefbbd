from __future__ import annotations

import gc
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import UnusedElaboratable
from amaranth.sim import Simulator

from nomul.hw.front_end import Quantizer, Window
from nomul.network import UserError

PATIENCE = 100  # cycles


def pauses(seed: int) -> Callable[[], bool]:
    rng = random.Random(seed)
    return lambda: seed > 0 and rng.random() < 0.4


def stream_through(component: Any, words: list[int], n_answers: int, seed: int = 0) -> list[int]:
    """Return what leaves when ``words`` are offered; with a seed, both ends pause at random."""
    found: list[int] = []
    source_pauses, sink_pauses = pauses(seed), pauses(seed and seed + 1)

    async def bench(ctx: Any) -> None:
        n_taken, patience = 0, PATIENCE
        while len(found) < n_answers:
            # What was on offer stays so until it is taken.
            if not ctx.get(component.i.valid):
                ctx.set(component.i.valid, n_taken < len(words) and not source_pauses())
            if ctx.get(component.i.valid):
                ctx.set(component.i.payload, words[n_taken])
            ctx.set(component.o.ready, not sink_pauses())
            _, _, taken, payload, given = await ctx.tick().sample(
                component.i.valid & component.i.ready,
                component.o.payload,
                component.o.valid & component.o.ready,
            )
            if taken:
                n_taken += 1
                ctx.set(component.i.valid, 0)
            if given:
                found.append(payload)
            patience = PATIENCE if taken or given else patience - 1
            assert patience, "nothing moves any more"

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def refusal(make: Callable[[], object]) -> str:
    """Return the sentence of a refusal, and collect the component, which is in no design."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        with pytest.raises(UserError) as caught:
            make()
        sentence = str(caught.value)
        del caught
        gc.collect()
    return sentence


def windows(signal: list[int], length: int, hop: int) -> Iterator[int]:
    for start in range(0, len(signal) - length + 1, hop):
        yield from signal[start : start + length]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("length", "hop"), [(1, 1), (4, 1), (4, 4), (5, 3), (16, 7)])
def test_a_window_holds_the_last_levels(length: int, hop: int, seed: int) -> None:
    rng = random.Random(length + hop)
    signal = [rng.randrange(16) for _ in range(length + 5 * hop)]
    expected = list(windows(signal, length, hop))
    assert stream_through(Window(length, hop, 4), signal, len(expected), seed) == expected


@pytest.mark.parametrize("hop", [0, 5])
def test_a_hop_beyond_the_window_is_refused(hop: int) -> None:
    assert (
        refusal(lambda: Window(4, hop, 4))
        == f"The hop is {hop}: a window of 4 levels moves by 1 to 4 of them."
    )


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(
    "thresholds",
    [
        [0.0],
        [-1.5, -1.5, 2.25],
        [-300.0, -4.0, 0.5, 300.0],
        np.linspace(-100, 100, 15).tolist(),
        [126.5, 127.0, 127.5],
    ],
    ids=len,
)
def test_a_level_counts_the_thresholds_that_a_number_reaches(
    thresholds: list[float], seed: int
) -> None:
    numbers = list(range(-128, 128))
    expected = [sum(number >= threshold for threshold in thresholds) for number in numbers]
    assert stream_through(Quantizer(thresholds, 8), numbers, len(numbers), seed) == expected


def test_thresholds_of_each_feature_are_refused() -> None:
    assert refusal(lambda: Quantizer([[1.0, 2.0], [3.0, 4.0]], 8)) == (
        "The thresholds have shape (2, 2): a quantizer takes those that all features share, so "
        'train with input.sharing = "shared".'
    )
