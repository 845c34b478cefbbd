"""What happens at which step: pure functions of the settings and the step."""

from __future__ import annotations

import math

from nomul.train.experiment import CodebookSettings, Experiment, TrainingSettings

__all__ = ["cluster_steps", "codebook_size", "fixing_step", "learning_rate", "pruning_steps"]

PRUNING_ROUNDS = (4, 2, 1)
"""Multiples of the final fan-in, reached one after the other at equal distances."""

STEPS_DOWN = (0.5, 0.75)
"""Fractions of the steps at which the schedule in steps divides the learning rate by ten."""


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of ``step``, counted from 0."""
    rate = settings.learning_rate * min(1.0, (step + 1) / (settings.warm_up + 1))
    match settings.schedule:
        case "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        case "steps":
            return rate * 0.1 ** sum(step >= place * settings.steps for place in STEPS_DOWN)
        case "constant":
            return rate


def fixing_step(settings: TrainingSettings) -> int:
    """Return the step from which the codebook is fixed; the number of steps: never."""
    return round(settings.straight_through_from * settings.steps)


def cluster_steps(settings: TrainingSettings) -> frozenset[int]:
    """Return the steps before which weights are replaced by their centres.

    The interval is ``cluster_every``, whose multiples they are; or it shrinks to that from
    ``cluster_every_start``, in proportion to the steps that are left.
    """
    if settings.cluster_every == 0:
        return frozenset()
    first = settings.cluster_from * settings.steps
    last = min(fixing_step(settings), settings.steps)
    if not settings.cluster_every_start:
        return frozenset(step for step in range(0, last, settings.cluster_every) if step >= first)
    steps, step = [], first
    while math.ceil(step) < last:
        steps.append(math.ceil(step))
        left = (last - step) / (last - first)
        widest = settings.cluster_every_start - settings.cluster_every
        step += settings.cluster_every + widest * left
    return frozenset(steps)


def codebook_size(step: int, codebook: CodebookSettings, training: TrainingSettings) -> int:
    """Return |W| at ``step``: shrinking geometrically from ``start_size`` until it is fixed."""
    end = min(fixing_step(training), training.steps - 1)
    if not codebook.start_size or step >= end:
        return codebook.size
    ratio = codebook.size / codebook.start_size
    return round(codebook.start_size * math.pow(ratio, step / end))


def pruning_steps(experiment: Experiment) -> dict[int, int]:
    """Return the steps before which to prune, and what multiple of the final inputs is left."""
    settings = experiment.training
    if not (experiment.network.fan_in or experiment.network.operand_bits):
        return {}
    end = min(settings.prune_until * settings.steps, settings.steps - 1)
    return {
        int(end * (number + 1) / len(PRUNING_ROUNDS)): multiple
        for number, multiple in enumerate(PRUNING_ROUNDS)
    }
