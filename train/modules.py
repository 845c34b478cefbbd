"""From an experiment's settings to a PyTorch module."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nomul.network import UserError
from nomul.train.activations import ACTIVATIONS, Activation, ReluD
from nomul.train.batches import tensor_of
from nomul.train.dataset import Dataset, Samples
from nomul.train.experiment import Experiment, InputSettings
from nomul.train.input_thresholds import feature_range, input_thresholds, known_features
from nomul.train.layer_fit import check_fit, kind_name
from nomul.train.layer_settings import (
    AveragePoolSettings,
    ClassSumSettings,
    ConvSettings,
    ConvTransposeSettings,
    DenseSettings,
    DropoutSettings,
    LayerSettings,
    LookupSettings,
    MaxPoolSettings,
    ResidualSettings,
)
from nomul.train.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    InputLevels,
    Residual,
    Scale,
    weighted_layers,
)
from nomul.train.lookup import ClassSum, Lookup

__all__ = ["build_module"]

_START_GAINS = {"relud": math.sqrt(2), "hardtanhd": 1.0}
"""Of activations that are linear in parts (He et al. 2015, section 2.2).

PyTorch's own start would shrink their sums layer by layer, down to their first step.
"""

_KNOWN_SAMPLES = 10_000
"""Training samples by which level bits that never vary are found, at most."""

_BATCH_NORMS: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
}
_CONVOLUTIONS: dict[int, type[Conv1d | Conv2d]] = {3: Conv1d, 4: Conv2d}
_MAX_POOLS: dict[int, type[nn.MaxPool1d | nn.MaxPool2d]] = {3: nn.MaxPool1d, 4: nn.MaxPool2d}
_AVERAGE_POOLS: dict[int, type[nn.AvgPool1d | nn.AvgPool2d]] = {3: nn.AvgPool1d, 4: nn.AvgPool2d}


def build_module(experiment: Experiment, dataset: Dataset, *, discretized: bool) -> nn.Sequential:
    """Return the experiment's network, its weights drawn from the experiment's seed.

    Its first part is an :class:`InputLevels`.

    Parameters
    ----------
    discretized
        False for the float twin: the same layers with the same start, but continuous inputs and
        activations. In the place of a lookup it has a dense layer of as many tanh neurons, in that
        of a class sum a dense layer.

    Raises
    ------
    UserError
        If the layers do not fit the data.
    """
    settings = experiment.network
    inputs = _input_levels(experiment.input, dataset.train_features, discretized=discretized)
    classes = dataset.n_classes if settings.task == "classify" else 0
    if settings.task == "classify":
        _ = dataset.classes  # refuses a data set without them
        if classes == 1:
            raise UserError(
                f"The data set {dataset.name!r} has training samples of a single class: there is "
                "nothing to tell apart, so give it at least two."
            )
    n_outputs = classes or int(np.prod(dataset.train_features.shape[1:]))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(experiment.training.seed)
        builder = _Builder(
            experiment, inputs(torch.zeros(1, *dataset.train_features.shape[1:])), discretized
        )
        builder.levels = inputs.levels_out
        layers = settings.layers or tuple(map(DenseSettings, settings.hidden))
        builder.add_hidden(layers, "network.layers")
        builder.place = "network.output"
        if isinstance(settings.output, ClassSumSettings):
            builder.add_class_sum(settings.output, classes)
        else:
            builder.add_weighted(settings.output or DenseSettings(n_outputs), bias=True)
        builder.flatten()
    n_given = builder.x.numel()
    if n_given < n_outputs or (not classes and n_given != n_outputs):
        raise UserError(
            f"The network has {n_given} outputs: {n_outputs} "
            f"{'classes' if classes else 'features'} need one each."
        )
    scale = [Scale()] if settings.batch_norm and classes else []
    module = nn.Sequential(inputs, *builder.modules, *scale)
    lookups = [layer for layer in builder.modules if isinstance(layer, Lookup)]
    if lookups:
        _avoid_constants(module, lookups, tensor_of(dataset.train_features[:_KNOWN_SAMPLES]))
    return module


@torch.no_grad()
def _avoid_constants(module: nn.Sequential, lookups: list[Lookup], x: Tensor) -> None:
    """Begin without lookups' connections to bits that are the same in all samples ``x``."""
    for layer in module.eval():
        if isinstance(layer, Lookup):
            layer.avoid_constants(x)
        if layer is lookups[-1]:
            break
        x = layer(x)
    module.train()


def _input_levels(settings: InputSettings, features: Samples, *, discretized: bool) -> InputLevels:
    known = known_features(features)
    least, greatest = feature_range(known, settings.sharing)
    return InputLevels(
        input_thresholds(known, settings.levels, settings.thresholds, settings.sharing),
        least,
        greatest,
        encoding=settings.encoding,
        continuous=not discretized,
    )


_NO_END = "the last layer of a network or a residual must be a dense or a convolutional one"

_MISPLACED: dict[type[LayerSettings], str] = {
    ClassSumSettings: "it can be network.output alone",
}
"""What is said of kinds of layers where they cannot be, if it is more than :data:`_NO_END`."""


class _Builder:
    """Appends modules, and knows the shape of what leaves the last of them.

    Attributes
    ----------
    x
        One sample, as it leaves the last module; its first axis is the samples'.
    place
        Where the experiment has the layer that is being added: ``network.layers[3]``.
    levels
        L where what leaves are levels k that stand for k / (L - 1), or, in a float twin, would be;
        else 0.
    """

    def __init__(self, experiment: Experiment, x: Tensor, discretized: bool) -> None:
        self.experiment = experiment
        self.discretized = discretized
        self.modules: list[nn.Module] = []
        self.x = x
        self.place = ""
        self.levels = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, as it leaves the last module."""
        return tuple(self.x.shape[1:])

    def add_hidden(self, layers: Sequence[LayerSettings], place: str) -> None:
        """Append ``layers`` with batch-norms, if the network has them, and activations.

        ``place`` is where the experiment lists them.

        An activation comes behind the max-pools that follow its sums: of equal levels a pool would
        have to pick one to give the gradient to, and there are fewer sums behind it.
        """
        awaits_activation = False
        for number, layer in enumerate(layers):
            self.place = f"{place}[{number}]"
            if awaits_activation and not isinstance(layer, MaxPoolSettings):
                self._append(self._activation())
                awaits_activation = False
            match layer:
                case DropoutSettings():
                    self._append(nn.Dropout(layer.rate))
                    self.levels = 0
                case LookupSettings():
                    self._add_lookup(layer)
                case MaxPoolSettings():
                    check_fit(layer, self.shape, self.place)
                    max_pool = _MAX_POOLS[self.x.ndim]
                    self._append(max_pool(layer.size, layer.stride or layer.size))
                case AveragePoolSettings():
                    check_fit(layer, self.shape, self.place)
                    average_pool = _AVERAGE_POOLS[self.x.ndim]
                    self._append(average_pool(layer.size, layer.stride or layer.size))
                    self.levels = 0
                    awaits_activation = True
                case _:
                    self._add_normed(layer)
                    self.levels = 0
                    awaits_activation = True
        if awaits_activation:
            self._append(self._activation())

    def add_weighted(self, layer: LayerSettings, *, bias: bool) -> None:
        """Append a weighted layer alone."""
        check_fit(layer, self.shape, self.place)
        channels = self.x.shape[1]
        match layer:
            case DenseSettings():
                self.flatten()
                self._append(Dense(self.x.shape[1], layer.neurons, bias=bias))
            case ConvSettings():
                self._append(
                    _CONVOLUTIONS[self.x.ndim](
                        channels,
                        layer.channels,
                        layer.kernel,
                        stride=layer.stride,
                        padding=layer.padding,
                        groups=layer.groups,
                        bias=bias,
                    )
                )
            case ConvTransposeSettings():
                self._append(
                    ConvTranspose2d(
                        channels,
                        layer.channels,
                        layer.kernel,
                        stride=layer.stride,
                        padding=layer.padding,
                        output_padding=layer.output_padding,
                        groups=layer.groups,
                        bias=bias,
                    )
                )
            case _:
                raise UserError(
                    f"{self.place} is of kind {kind_name(layer)}: "
                    f"{_MISPLACED.get(type(layer), _NO_END)}."
                )

    def add_class_sum(self, layer: ClassSumSettings, n_classes: int) -> None:
        """Append the sums of each class's levels; in a float twin, a dense layer."""
        self.flatten()
        n_inputs = self.x.shape[1]
        if not n_classes:
            raise UserError(
                f"{self.place} is of kind class_sum: it needs classes, so write dense where "
                'network.task is "reconstruct".'
            )
        if n_inputs < n_classes:
            raise UserError(
                f"{self.place} is of kind class_sum and meets {n_inputs} levels: each of the "
                f"{n_classes} classes needs one of its own."
            )
        if self.discretized:
            self._append(ClassSum(n_inputs, n_classes, layer.temperature))
        else:
            self._append(nn.Linear(n_inputs, n_classes))

    def flatten(self) -> None:
        """Bring a signal or a picture into one row."""
        if self.x.ndim > 2:
            self._append(nn.Flatten())

    def _add_lookup(self, layer: LookupSettings) -> None:
        if not self.levels:
            raise UserError(
                f"{self.place} is of kind lookup: what comes to it must be the input, another "
                "lookup or a max-pool of these."
            )
        self.flatten()
        n_inputs = self.x.shape[1]
        if self.discretized:
            self._append(Lookup(n_inputs, layer.neurons, layer.fan_in, self.levels))
        else:
            self._append(nn.Linear(n_inputs, layer.neurons))
            self._append(nn.Tanh())
        self.levels = Lookup.levels_out

    def _add_normed(self, layer: LayerSettings) -> None:
        batch_norm = self.experiment.network.batch_norm
        if isinstance(layer, ResidualSettings):
            self._add_residual(layer)
        else:
            positions_in = math.prod(self.x.shape[2:])
            self.add_weighted(layer, bias=not batch_norm)
            gain = _START_GAINS.get(self.experiment.network.activation)
            if gain is not None:
                self._start(gain, positions_in)
        if batch_norm:
            self._append(_BATCH_NORMS[self.x.ndim](self.x.shape[1]))

    def _start(self, gain: float, positions_in: int) -> None:
        """Draw the last layer's weights so that its sums vary as its inputs do, times ``gain``."""
        layer = weighted_layers(self.modules[-1])[0]
        fan_in: float = layer.by_neuron(layer.weight).shape[1]
        if isinstance(layer, ConvTranspose2d):  # of its kernel, an output sees a part alone
            fan_in *= positions_in / math.prod(self.x.shape[2:])
        nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))

    def _add_residual(self, layer: ResidualSettings) -> None:
        if not layer.layers:
            raise UserError(f"{self.place} is a residual without layers: list at least one.")
        *hidden, last = layer.layers
        body = _Builder(self.experiment, self.x, self.discretized)
        body.add_hidden(hidden, f"{self.place}.layers")
        body.place = f"{self.place}.layers[{len(hidden)}]"
        body.add_weighted(last, bias=not self.experiment.network.batch_norm)
        self._append(Residual(nn.Sequential(*body.modules), self._shortcut(body.x)))

    def _shortcut(self, y: Tensor) -> nn.Module:
        """Return what brings ``x`` to the shape of ``y``."""
        if y.shape == self.x.shape:
            return nn.Identity()
        if y.ndim == self.x.ndim == 2:
            return Dense(self.x.shape[1], y.shape[1], bias=False)
        if y.ndim == self.x.ndim and y.ndim in _CONVOLUTIONS:
            sides = zip(self.x.shape[2:], y.shape[2:], strict=True)
            stride = max(-(-before // after) for before, after in sides)
            shortcut = _CONVOLUTIONS[y.ndim](
                self.x.shape[1], y.shape[1], 1, stride=stride, bias=False
            )
            if shortcut(self.x).shape == y.shape:
                return shortcut
        raise UserError(
            f"{self.place}: the residual's layers lead from shape {self.shape} to "
            f"{tuple(y.shape[1:])}: choose kernels, strides and paddings that keep the shape, or "
            "divide each side by the same stride."
        )

    def _activation(self) -> Activation:
        settings = self.experiment.network
        levels = settings.levels if self.discretized else None
        if settings.activation == "relud":
            return ReluD(levels, settings.ceiling)
        return ACTIVATIONS[settings.activation](levels)

    def _append(self, module: nn.Module) -> None:
        self.x = module.eval()(self.x)
        self.modules.append(module.train())
