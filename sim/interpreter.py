"""The golden model of folded hardware: what a program computes, tap by tap, and in what time.

Written from the meaning of :class:`nomul.hw.program.Pass` alone, in plain integers. The golden
model of networks (:mod:`nomul.sim.golden`) says what one answers, this what its program does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nomul.hw.program import Pass, Program, field_widths

__all__ = ["Execution", "execute", "pass_cycles", "sample_cycles"]

_SAMPLES_AT_A_TIME = 256


@dataclass(frozen=True, eq=False)
class Execution:
    """What leaves an engine for samples, and when.

    Attributes
    ----------
    answers
        int64, shape (samples, outputs): the class; or sums or levels, in their order.
    cycles
        int64, shape (samples,): between the answers to the sample before and to this one, where it
        is there in time.
    """

    answers: NDArray[np.int64]
    cycles: NDArray[np.int64]


@dataclass(frozen=True)
class _Results:
    """What leaves a pass for samples, or is compared there, and the cycles of its taps."""

    left: list[NDArray[np.int64]]
    issued: NDArray[np.int64]


def execute(program: Program, levels: NDArray[np.integer]) -> Execution:
    """Return what a program answers to samples.

    Parameters
    ----------
    levels
        Of the network's inputs in their order, shape (samples, inputs).
    """
    parts = [
        _execute(program, levels[first : first + _SAMPLES_AT_A_TIME])
        for first in range(0, len(levels), _SAMPLES_AT_A_TIME)
    ]
    return Execution(
        np.concatenate([part.answers for part in parts]),
        np.concatenate([part.cycles for part in parts]),
    )


def _execute(program: Program, levels: NDArray[np.integer]) -> Execution:
    n_samples, n_inputs = levels.shape
    held = np.zeros((n_samples, program.settings.map_depth), np.int64)
    held[:, :n_inputs] = levels[:, program.input_order]
    answers: list[NDArray[np.int64]] = []
    cycles = np.full(n_samples, _answering(program), np.int64)
    for made in program.passes:
        found = _run(program, made, held)
        if made.result == "class":
            answers.append(np.argmax(found.left, axis=0))
        else:
            answers += found.left
        cycles += _around(program, made) + found.issued
    return Execution(np.stack(answers, axis=1), cycles)


def _run(program: Program, made: Pass, held: NDArray[np.int64]) -> _Results:
    """Run a pass on samples, whose levels ``held`` has then if they belong there.

    The loops count, and each of them has steps for what it moves: nothing else is known here of
    kernels, strides and shapes.
    """
    settings = program.settings
    address = made.start_address
    out, weight, channel = made.out_start, made.weight_start, 0
    shortcut = made.shortcut
    shortcut_address = shortcut.start_address if shortcut else 0
    skips = settings.skips_zeros
    results = _Results([], np.full(len(held), -made.idle))
    counts = [last + 1 for last in made.last]
    for block, line, position in product(*map(range, counts[:2:-1])):
        n_channels = made.n_channels_last if block == made.last[5] else made.n_channels
        at_end = position == made.last[3]
        n_positions = made.n_positions_last if at_end else settings.position_lanes
        sums = np.zeros((settings.position_lanes, len(held), n_channels), np.int64)
        n_taps = np.zeros(len(held), np.int64)
        for tap, (row, column, source) in enumerate(product(*map(range, counts[2::-1]))):
            x = made.start_x + position * made.x_stride + column
            y = made.start_y + line * made.y_stride + row
            seen = np.zeros((n_positions, made.levels_per_tap, len(held)), np.int64)
            for lane, number in product(range(n_positions), range(made.levels_per_tap)):
                inside = 0 <= x + lane * made.lane_x < made.width and 0 <= y < made.height
                if inside:
                    seen[lane, number] = held[:, address + lane * made.lane_address + number]
                if made.is_greatest:
                    sums[lane] = np.maximum(sums[lane], seen[lane, number, :, None])
                    continue
                weights = program.weights[weight + tap * made.levels_per_tap + number, :n_channels]
                levels = seen[lane, number]
                sums[lane] += _products(program, made.page, levels, weights, inside=inside)
            n_taps += _taps(made, seen)
            indices = (source, column, row, position, line, block)
            advancing = [k for k in range(6) if indices[k] < made.last[k]][:1]
            for k in advancing:
                address += made.address_step[k]
        if shortcut:
            seen = np.zeros((n_positions, shortcut.n_levels, len(held)), np.int64)
            for number, lane in product(range(shortcut.n_levels), range(n_positions)):
                place = shortcut_address + number + lane * shortcut.lane_address
                weights = program.weights[weight + made.kernel_taps + number, :n_channels]
                seen[lane, number] = held[:, place % held.shape[1]]
                sums[lane] += _products(program, shortcut.page, seen[lane, number], weights)
            for first in range(0, shortcut.n_levels, made.levels_per_tap):
                n_taps += _taps(made, seen[:, first : first + made.levels_per_tap])
            for k in advancing:
                shortcut_address += shortcut.address_step[k - 3]
        for lane in range(n_positions):
            for number in range(n_channels):
                bias = program.biases[made.bias_start + channel + number]
                total = sums[lane, :, number] + bias
                if made.result in ("class", "sums"):
                    results.left.append(total)
                    continue
                own = channel + number if made.thresholds_per_channel else 0
                thresholds = program.thresholds[made.threshold_start + own]
                level = (thresholds <= total[:, None]).sum(axis=1)
                if made.result == "map":
                    held[:, out + lane * made.out_lane + number] = level
                else:
                    results.left.append(level)
        # The sums of the block before have left when the next ones come.
        has_before = skips & (results.issued > 0)
        earliest = results.issued + has_before * made.sums(settings)
        results.issued[:] = np.maximum(results.issued + made.idle + n_taps, earliest)
        for k in advancing:
            out += made.out_step[k - 3]
        if advancing == [5]:
            weight += made.taps
            channel += 0 if made.is_greatest else made.n_channels
    return results


def _taps(made: Pass, seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the taps, shape (samples,), of levels of shape (positions, levels read, samples)."""
    if not made.skips_zeros:
        return np.ones(seen.shape[2], np.int64)
    taken: NDArray[np.int64] = np.maximum((seen != 0).any(axis=0).sum(axis=0), 1)
    return taken


def _products(
    program: Program,
    page: int,
    levels: NDArray[np.int64],
    weights: NDArray[np.uint8],
    *,
    inside: bool = True,
) -> NDArray[np.int64]:
    """Return what levels add to each channel; a padded position's level 0 has no products."""
    columns = program.settings.columns
    products = program.tables[page][levels][:, weights % columns].astype(np.int64) * inside
    negative = -products if program.settings.skips_zeros else ~products
    summed: NDArray[np.int64] = np.where(weights < columns, products, negative)
    return summed


def pass_cycles(program: Program, made: Pass) -> int:
    """Return the cycles that a pass takes, from when it is fetched to when its last level is held.

    Where zeros are skipped, it is the most: that of levels none of which is 0.
    """
    between = made.idle
    if program.settings.skips_zeros:
        between = max(between, made.sums(program.settings) - made.taps)
    return _around(program, made) + made.blocks * (made.taps + between) - between


def _around(program: Program, made: Pass) -> int:
    """Return the cycles of a pass before its taps and after them.

    One for each word of the pass and two more; and behind its taps the last block's sums, one by
    one, through seven pipeline stages and one for each bit of a level. To find
    zeros takes one more.
    """
    settings = program.settings
    fetched = len(field_widths(settings)) + 2 + settings.skips_zeros
    drained = made.n_channels_last * made.n_positions_last + settings.level_bits + 7
    return fetched + (drained if settings.skips_zeros else max(drained, made.idle + 2))


def _answering(program: Program) -> int:
    """Return the cycles between a sample's last pass and the next one's first."""
    return 2 if program.passes[-1].result == "class" else 1


def sample_cycles(program: Program) -> int:
    """Return the cycles between two samples' answers, where the next one is there in time.

    Where zeros are skipped, it is the most.
    """
    return sum(pass_cycles(program, made) for made in program.passes) + _answering(program)
