"""Random small experiments of every kind of layer, and modules as training would leave them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn

from nomul.network import UserError
from nomul.train.dataset import Dataset
from nomul.train.exact_layers import ExactNetwork
from nomul.train.exact_mode import exact
from nomul.train.experiment import (
    CodebookKind,
    CodebookSettings,
    Experiment,
    InputSettings,
    NetworkSettings,
    TrainingSettings,
)
from nomul.train.layer_settings import (
    AveragePoolSettings,
    ConvSettings,
    ConvTransposeSettings,
    DenseSettings,
    DropoutSettings,
    LayerSettings,
    MaxPoolSettings,
    ResidualSettings,
)
from nomul.train.layers import InputLevels, weighted_layers
from nomul.train.modules import build_module
from nomul.train.scopes import fit_codebooks

__all__ = ["CLASSES", "Case", "cases", "exact_of", "random_dataset", "samples", "trained"]

CLASSES = 3
ActivationName = Literal["tanhd", "relud", "sign", "hardtanhd", "sigmoidd"]


@dataclass(frozen=True)
class Case:
    """An experiment, the shape of its features, and whether half of its weights are pruned."""

    experiment: Experiment
    shape: tuple[int, ...]
    pruned: bool = False


def random_dataset(shape: tuple[int, ...], n_samples: int = 24, seed: int = 0) -> Dataset:
    """Return random features of ``shape``, with classes, as many for training as for the test."""
    rng = np.random.default_rng([seed, *shape])
    features = rng.normal(size=(2, n_samples, *shape)).astype(np.float32)
    classes = np.arange(n_samples) % CLASSES
    return Dataset("random", features[0], classes, features[1], classes)


def trained(case: Case) -> nn.Sequential:
    """Return the case's module with codebooks, biases and statistics of batch-norms of its own."""
    experiment = case.experiment
    module = build_module(experiment, random_dataset(case.shape), discretized=True)
    layers = weighted_layers(module)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(experiment.training.seed)
        for layer in layers:
            layer.clusters_bias = experiment.codebook.biases == "clustered"
            if case.pruned:
                layer.mask.copy_(torch.rand_like(layer.mask).round())
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.weight.uniform_(0.3, 3.0)
                part.bias.normal_()
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_(0.0, 0.3)
                part.running_var.uniform_(0.05, 2.0)
        for layer, codebook in fit_codebooks(layers, experiment, experiment.codebook.size):
            layer.fix_codebook(codebook)
            layer.cluster(codebook)
    return module.eval()


def exact_of(module: nn.Sequential) -> ExactNetwork:
    """Return the module in integers; skip a case whose sums leave 32 bits: it is refused."""
    try:
        return exact(module)
    except UserError as error:
        assume("beyond the 32 bits of an accumulator" not in str(error))
        raise


def samples(case: Case, n_samples: int = 8) -> Tensor:
    """Return random samples, float64, some features of which lie on a threshold or at infinity."""
    dataset = random_dataset(case.shape, n_samples, seed=1)
    x = torch.from_numpy(np.asarray(dataset.test_features[:])).double()
    inputs = build_module(case.experiment, random_dataset(case.shape), discretized=True)[0]
    assert isinstance(inputs, InputLevels)
    on_threshold = inputs.thresholds.expand(*case.shape, -1)
    chosen = on_threshold[..., torch.arange(n_samples) % on_threshold.shape[-1]]
    even = torch.arange(x[0].numel()).view(case.shape) % 2 == 0
    x = torch.where(even, x, chosen.movedim(-1, 0))
    x[0, 0], x[1, 0] = math.inf, -math.inf
    return x


# What a layer's shape becomes.
def _conv_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


@st.composite
def _conv(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[LayerSettings, tuple[int, ...]]:
    padding = draw(st.integers(0, 1))
    kernel = draw(st.integers(1, min(3, min(shape[1:]) + 2 * padding)))
    stride = draw(st.integers(1, 2))
    groups = draw(st.sampled_from([g for g in (1, 2, shape[0]) if shape[0] % g == 0]))
    channels = groups * draw(st.integers(1, 2))
    sizes = [_conv_size(size, kernel, stride, padding) for size in shape[1:]]
    return ConvSettings(channels, kernel, stride, padding, groups), (channels, *sizes)


@st.composite
def _conv_transpose(
    draw: st.DrawFn, shape: tuple[int, ...]
) -> tuple[LayerSettings, tuple[int, ...]]:
    kernel = draw(st.integers(1, 3))
    padding = draw(st.integers(0, (kernel - 1) // 2))
    stride = draw(st.integers(1, 2))
    output_padding = draw(st.integers(0, stride - 1))
    groups = draw(st.sampled_from([g for g in (1, 2, shape[0]) if shape[0] % g == 0]))
    channels = groups * draw(st.integers(1, 2))
    sizes = [(n - 1) * stride - 2 * padding + kernel + output_padding for n in shape[1:]]
    layer = ConvTransposeSettings(channels, kernel, stride, padding, output_padding, groups)
    return layer, (channels, *sizes)


@st.composite
def _pool(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[LayerSettings, tuple[int, ...]]:
    is_maximum = draw(st.booleans())
    size = draw(st.integers(1, min(3, *shape[1:])))
    stride = draw(st.integers(0, 2))
    sizes = [_conv_size(n, size, stride or size, 0) for n in shape[1:]]
    if is_maximum:
        return MaxPoolSettings(size, stride), (shape[0], *sizes)
    return AveragePoolSettings(size, stride), (shape[0], *sizes)


_Bodies = st.SearchStrategy[tuple[LayerSettings, ...]]
_dense_bodies: _Bodies = st.sampled_from(((), (DenseSettings(4),), (DropoutSettings(),)))
_conv_bodies: _Bodies = st.sampled_from(
    ((), (ConvSettings(2, 1),), (ConvSettings(2, 3, padding=1), DropoutSettings()))
)


@st.composite
def _residual(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[LayerSettings, tuple[int, ...]]:
    """A residual with the identity or a projection as its shortcut."""
    if len(shape) == 1:
        neurons = draw(st.sampled_from((shape[0], 3)))
        return ResidualSettings((*draw(_dense_bodies), DenseSettings(neurons))), (neurons,)
    channels, stride = draw(st.sampled_from(((shape[0], 1), (2, 1), (shape[0], 2), (3, 2))))
    last = ConvSettings(channels, 3, stride, padding=1)
    sizes = [_conv_size(size, 3, stride, 1) for size in shape[1:]]
    return ResidualSettings((*draw(_conv_bodies), last)), (channels, *sizes)


@st.composite
def _layers(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[LayerSettings, ...]:
    layers: list[LayerSettings] = []
    for _ in range(draw(st.integers(0, 4))):
        kinds = ["dense", "residual", "dropout"]
        if len(shape) > 1:
            kinds += ["conv", "conv", "pool", "pool"]
        if len(shape) == 3 and max(shape) < 8:
            kinds += ["conv_transpose"]
        kind = draw(st.sampled_from(kinds))
        layer: LayerSettings
        match kind:
            case "dense":
                neurons = draw(st.integers(1, 5))
                layer, shape = DenseSettings(neurons), (neurons,)
            case "dropout":
                layer = DropoutSettings()
            case "conv":
                layer, shape = draw(_conv(shape))
            case "pool":
                layer, shape = draw(_pool(shape))
            case "conv_transpose":
                layer, shape = draw(_conv_transpose(shape))
            case _:
                layer, shape = draw(_residual(shape))
        layers.append(layer)
    return tuple(layers)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Experiments with any layers on a table, signals or small pictures."""
    shape = draw(
        st.one_of(
            st.tuples(st.integers(1, 6)),
            st.tuples(st.integers(1, 3), st.integers(3, 7)),
            st.tuples(st.integers(1, 2), st.integers(3, 5), st.integers(3, 5)),
        )
    )
    coding = draw(
        st.builds(
            InputSettings,
            levels=st.sampled_from((2, 3, 4, 16)),
            thresholds=st.sampled_from(("uniform", "quantile")),
            sharing=st.sampled_from(("shared", "per_feature", "per_channel")),
            encoding=st.sampled_from(("level", "thermometer")),
        )
    )
    seen = shape
    if coding.encoding == "thermometer":
        seen = (shape[0] * (coding.levels - 1), *shape[1:])
    activation: ActivationName = draw(st.sampled_from(get_args(ActivationName)))
    levels = 2 if activation == "sign" else draw(st.sampled_from((2, 3, 5, 32, 256)))
    layers = draw(_layers(seen))
    network = NetworkSettings(
        layers=layers,
        hidden=NetworkSettings.hidden if layers else draw(st.sampled_from(((), (4,), (3, 2)))),
        activation=activation,
        levels=levels,
        batch_norm=draw(st.booleans()),
        output=DenseSettings(draw(st.integers(CLASSES, 5))),
    )
    pruned = draw(st.booleans())
    # Two levels alone have no 0 for pruned weights.
    kinds: list[CodebookKind] = [kind for kind in get_args(CodebookKind) if kind != "bilevel"]
    codebook = CodebookSettings(
        kind=draw(st.sampled_from(kinds if pruned else [*kinds, "bilevel"])),
        size=draw(st.sampled_from((3, 5, 101))),
        scope=draw(st.sampled_from(("network", "layer"))),
        biases=draw(st.sampled_from(("apart", "clustered"))),
        zero=pruned,
    )
    training = TrainingSettings(seed=draw(st.integers(0, 1000)))
    return Case(
        Experiment(input=coding, network=network, codebook=codebook, training=training),
        shape,
        pruned,
    )
