"""The golden model of folded hardware: what a program computes, tap by tap, and in what time.

Written from the meaning of :class:`nomul.hw.program.Pass` alone, in plain integers. The golden
model of networks (:mod:`nomul.sim.golden`) says what one answers, this what its program does.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from nomul.hw.program import Pass, Program, field_widths

__all__ = ["execute", "pass_cycles", "sample_cycles"]


def execute(program: Program, levels: NDArray[np.integer]) -> list[int]:
    """Return what leaves for one sample: the class; or sums or levels, in their order.

    Parameters
    ----------
    levels
        Of the network's inputs in their order, shape (inputs,).
    """
    held = np.zeros(program.settings.map_depth, np.int64)
    held[: len(levels)] = levels[program.input_order]
    answers: list[int] = []
    for made in program.passes:
        totals, found = _run(program, made, held)
        if made.result == "sums":
            answers += totals
        elif made.result == "levels":
            answers += found
        elif made.result == "class":
            answers.append(totals.index(max(totals)))
    return answers


def _run(program: Program, made: Pass, held: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Run a pass; return all sums and their levels, which ``held`` has then if they belong there.

    The loops count, and each of them has steps for what it moves: nothing else is known here of
    kernels, strides and shapes.
    """
    settings = program.settings
    address = made.start_address
    out, weight, channel = made.out_start, made.weight_start, 0
    shortcut = made.shortcut
    shortcut_address = shortcut.start_address if shortcut else 0
    totals: list[int] = []
    found: list[int] = []
    counts = [last + 1 for last in made.last]
    for block, line, position in product(*map(range, counts[:2:-1])):
        n_channels = made.n_channels_last if block == made.last[5] else made.n_channels
        at_end = position == made.last[3]
        n_positions = made.n_positions_last if at_end else settings.position_lanes
        sums = np.zeros((settings.position_lanes, n_channels), np.int64)
        for tap, (row, column, source) in enumerate(product(*map(range, counts[2::-1]))):
            x = made.start_x + position * made.x_stride + column
            y = made.start_y + line * made.y_stride + row
            for lane in range(n_positions):
                inside = 0 <= x + lane * made.lane_x < made.width and 0 <= y < made.height
                level = held[address + lane * made.lane_address] if inside else 0
                if made.is_greatest:
                    sums[lane] = np.maximum(sums[lane], level)
                    continue
                weights = program.weights[weight + tap, :n_channels]
                sums[lane] += _products(program, made.page, level, weights, inside=inside)
            indices = (source, column, row, position, line, block)
            advancing = [k for k in range(6) if indices[k] < made.last[k]][:1]
            for k in advancing:
                address += made.address_step[k]
        if shortcut:
            for number, lane in product(range(shortcut.n_levels), range(n_positions)):
                place = shortcut_address + number + lane * shortcut.lane_address
                weights = program.weights[weight + made.kernel_taps + number, :n_channels]
                level = held[place % len(held)]
                sums[lane] += _products(program, shortcut.page, level, weights)
            for k in advancing:
                shortcut_address += shortcut.address_step[k - 3]
        for lane in range(n_positions):
            for number in range(n_channels):
                total = int(sums[lane, number] + program.biases[made.bias_start + channel + number])
                totals.append(total)
                if made.result in ("class", "sums"):
                    continue
                own = channel + number if made.thresholds_per_channel else 0
                level = int((program.thresholds[made.threshold_start + own] <= total).sum())
                found.append(level)
                if made.result == "map":
                    held[out + lane * made.out_lane + number] = level
        for k in advancing:
            out += made.out_step[k - 3]
        if advancing == [5]:
            weight += made.taps
            channel += 0 if made.is_greatest else made.n_channels
    return totals, found


def _products(
    program: Program,
    page: int,
    level: int,
    weights: NDArray[np.uint8],
    *,
    inside: bool = True,
) -> NDArray[np.int64]:
    """Return what a level adds to each channel; a padded position's level 0 has no products."""
    columns = program.settings.columns
    products = program.tables[page, level, weights % columns].astype(np.int64) * inside
    summed: NDArray[np.int64] = np.where(weights < columns, products, ~products)
    return summed


def pass_cycles(program: Program, made: Pass) -> int:
    """Return the cycles that a pass takes, from when it is fetched to when its last level is held.

    One for each word of the pass and two more; one for each tap, and the idle ones behind blocks,
    of which those of the last one overlap with what follows; then the last block's sums, one by
    one, through six pipeline stages and one for each bit of a level.
    """
    settings = program.settings
    fetched = len(field_widths(settings)) + 2
    issued = made.blocks * (made.taps + made.idle) - made.idle
    drained = made.n_channels_last * made.n_positions_last + settings.level_bits + 6
    return fetched + issued + max(drained, made.idle + 2)


def sample_cycles(program: Program) -> int:
    """Return the cycles between two samples' answers, where the next one is there in time."""
    answer = 1 if program.passes[-1].result == "class" else 0
    return sum(pass_cycles(program, made) for made in program.passes) + answer + 1
