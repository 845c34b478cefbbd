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
from nomul.train.layer_settings import ClassSumSettings, LookupSettings

__all__ = ["twin_of"]

_NO_DEPENDENCE = (
    "cluster_every",
    "cluster_every_start",
    "cluster_from",
    "straight_through_from",
    "prune_until",
    "connect_until",
    "cost",
    "checkpoint_every",
)
"""Settings of the training that a float twin does not depend on."""


def twin_of(experiment: Experiment) -> Experiment:
    """Return ``experiment`` with defaults for all that its float twin does not depend on.

    That is the codebook, pruning, the board, lookups' fan-in, the temperature of a class sum and,
    but for the sign, which has two, the levels of activations: experiments that differ in these
    alone have the same twin.
    """
    network, defaults = experiment.network, TrainingSettings()
    layers = tuple(
        LookupSettings(layer.neurons) if isinstance(layer, LookupSettings) else layer
        for layer in network.layers
    )
    output = network.output
    if isinstance(output, ClassSumSettings):
        output = ClassSumSettings()
    same = {name: getattr(defaults, name) for name in _NO_DEPENDENCE}
    levels = network.levels if network.activation == "sign" else NetworkSettings.levels
    return replace(
        experiment,
        network=replace(
            network, layers=layers, output=output, levels=levels, fan_in=(), operand_bits=0
        ),
        codebook=CodebookSettings(),
        training=replace(experiment.training, **same),
        hardware=HardwareSettings(),
    )
