"""What an experiment's float twin depends on."""

from __future__ import annotations

from dataclasses import replace

from nomul.train.experiment import (
    CodebookSettings,
    Experiment,
    HardwareSettings,
    NetworkSettings,
    TrainingSettings,
)

__all__ = ["twin_of"]

_NO_DEPENDENCE = (
    "cluster_every",
    "cluster_every_start",
    "cluster_from",
    "straight_through_from",
    "prune_until",
    "checkpoint_every",
)
"""Settings of the training that a float twin does not depend on."""


def twin_of(experiment: Experiment) -> Experiment:
    """Return ``experiment`` with defaults for all that its float twin does not depend on.

    That is the codebook, pruning, the board and, but for the sign, which has two, the levels of
    activations: experiments that differ in these alone have the same twin.
    """
    network, defaults = experiment.network, TrainingSettings()
    same = {name: getattr(defaults, name) for name in _NO_DEPENDENCE}
    levels = network.levels if network.activation == "sign" else NetworkSettings.levels
    return replace(
        experiment,
        network=replace(network, levels=levels, fan_in=(), operand_bits=0),
        codebook=CodebookSettings(),
        training=replace(experiment.training, **same),
        hardware=HardwareSettings(),
    )
