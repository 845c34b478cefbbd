"""What can be refused before the first step, the float twin's included: it is trained first."""

from __future__ import annotations

from torch import Tensor, nn

from nomul.network import UserError
from nomul.train.experiment import Experiment
from nomul.train.layers import weighted_layers
from nomul.train.pruning import least_operand_bits
from nomul.train.scopes import check_codebooks

__all__ = ["check_not_empty", "check_settings"]


def check_settings(module: nn.Sequential, experiment: Experiment, x: Tensor) -> None:
    """Refuse codebooks and pruning that do not fit the layers.

    Parameters
    ----------
    module
        Of the experiment, discretized or not.
    x
        A sample, as the module takes it.

    Raises
    ------
    UserError
        Saying what does not fit.
    """
    layers, network = weighted_layers(module), experiment.network
    check_codebooks(layers, experiment)
    if network.fan_in and len(network.fan_in) != len(layers):
        raise UserError(
            f"network.fan_in has {len(network.fan_in)} entries: it must have one for each of the "
            f"{len(layers)} weighted layers, or none."
        )
    if network.operand_bits:
        least = least_operand_bits(module, x)
        if network.operand_bits < least:
            raise UserError(
                f"network.operand_bits is {network.operand_bits}: a single weight in each of the "
                f"{len(layers)} weighted layers takes {least} at least, so raise it."
            )


def check_not_empty(module: nn.Sequential, experiment: Experiment) -> None:
    """Refuse to go on where pruning to a cost has left a layer without any weight.

    Raises
    ------
    UserError
        Saying which.
    """
    for number, layer in enumerate(weighted_layers(module)):
        if not layer.mask.any():
            raise UserError(
                f"network.operand_bits is {experiment.network.operand_bits}: pruning to it leaves "
                f"weighted layer {number} without any weight, so raise it."
            )
