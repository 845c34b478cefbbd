"""From settings to a module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nomul.network import UserError
from nomul.train.activations import Activation, HardTanhD, ReluD, SigmoidD, SignD, TanhD
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment, InputSettings, NetworkSettings, TrainingSettings
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
from nomul.train.modules import build_module
from tests.train.architectures import random_dataset
from tests.train.small import few_digits

TABLE, SIGNAL, PICTURE = (8,), (2, 12), (3, 8, 8)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return few_digits()


def kinds(module: nn.Module) -> list[type[nn.Module]]:
    return [type(layer) for layer in module.children()]


def built(shape: tuple[int, ...], *layers: LayerSettings, **settings: Any) -> nn.Sequential:
    experiment = Experiment(network=NetworkSettings(layers=layers, **settings))
    return build_module(experiment, random_dataset(shape), discretized=True)


def refusal(shape: tuple[int, ...], *layers: LayerSettings, **settings: Any) -> str:
    with pytest.raises(UserError) as refused:
        built(shape, *layers, **settings)
    return str(refused.value)


@pytest.mark.parametrize("discretized", [True, False])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (NetworkSettings(hidden=()), [InputLevels, Dense]),
        (NetworkSettings(hidden=(), batch_norm=True), [InputLevels, Dense, Scale]),
        (NetworkSettings(), [InputLevels, Dense, TanhD, Dense]),
        (
            NetworkSettings(hidden=(5, 4), activation="relud"),
            [InputLevels, Dense, ReluD, Dense, ReluD, Dense],
        ),
        (
            NetworkSettings(hidden=(5,), batch_norm=True),
            [InputLevels, Dense, nn.BatchNorm1d, TanhD, Dense, Scale],
        ),
    ],
)
def test_layers_follow_the_settings(
    digits: Dataset, settings: NetworkSettings, expected: list[type[nn.Module]], discretized: bool
) -> None:
    module = build_module(Experiment(network=settings), digits, discretized=discretized)
    assert kinds(module) == expected
    sizes = [64, *settings.hidden, 10]
    layers = weighted_layers(module)
    assert [layer.weight.shape[1] for layer in layers] == sizes[:-1]
    assert [layer.weight.shape[0] for layer in layers] == sizes[1:]
    assert module(torch.from_numpy(digits.test_features[:])).shape == (360, 10)


@pytest.mark.parametrize(
    ("shape", "layers", "expected"),
    [
        (TABLE, [DenseSettings(5), DropoutSettings(0.25)], [Dense, TanhD, nn.Dropout, Dense]),
        (
            SIGNAL,
            [ConvSettings(4, 3), MaxPoolSettings(2), AveragePoolSettings(2, 1)],
            [Conv1d, nn.MaxPool1d, TanhD, nn.AvgPool1d, TanhD, nn.Flatten, Dense],
        ),
        (
            PICTURE,
            [MaxPoolSettings(2), ConvTransposeSettings(2, 2), DenseSettings(4)],
            [nn.MaxPool2d, ConvTranspose2d, TanhD, nn.Flatten, Dense, TanhD, Dense],
        ),
        (
            PICTURE,
            [ConvSettings(4, 3), MaxPoolSettings(2), MaxPoolSettings(2, 1), DropoutSettings()],
            [Conv2d, nn.MaxPool2d, nn.MaxPool2d, TanhD, nn.Dropout, nn.Flatten, Dense],
        ),
        (
            PICTURE,
            [AveragePoolSettings(2), MaxPoolSettings(2)],
            [nn.AvgPool2d, nn.MaxPool2d, TanhD, nn.Flatten, Dense],
        ),
        (
            PICTURE,
            [ResidualSettings((ConvSettings(3, 1),)), MaxPoolSettings(2)],
            [Residual, nn.MaxPool2d, TanhD, nn.Flatten, Dense],
        ),
    ],
)
def test_every_kind_of_layer_has_its_activation_where_it_belongs(
    shape: tuple[int, ...], layers: list[LayerSettings], expected: list[type[nn.Module]]
) -> None:
    module = built(shape, *layers)
    assert kinds(module) == [InputLevels, *expected]
    assert module(torch.zeros(2, *shape)).shape == (2, 3)


def test_batch_norm_follows_sums_with_weights_alone() -> None:
    layers: list[LayerSettings] = [
        ConvSettings(4, 3),
        MaxPoolSettings(2),
        ResidualSettings((ConvSettings(4, 1), ConvSettings(4, 1))),
        AveragePoolSettings(3),
        DenseSettings(5),
    ]
    module = built(PICTURE, *layers, batch_norm=True)
    assert kinds(module) == [
        InputLevels,
        *(Conv2d, nn.BatchNorm2d, nn.MaxPool2d, TanhD),
        *(Residual, nn.BatchNorm2d, TanhD),
        *(nn.AvgPool2d, TanhD),
        *(nn.Flatten, Dense, nn.BatchNorm1d, TanhD),
        *(Dense, Scale),
    ]
    residual = module[5]
    assert isinstance(residual, Residual)
    assert kinds(residual.body) == [Conv2d, nn.BatchNorm2d, TanhD, Conv2d]
    assert [layer.bias is None for layer in weighted_layers(module)] == [True] * 4 + [False]


def test_lookups_need_neither_activation_nor_batch_norm() -> None:
    module = built(
        PICTURE,
        MaxPoolSettings(2),
        LookupSettings(9, 3),
        LookupSettings(6),
        DenseSettings(4),
        batch_norm=True,
    )
    assert kinds(module) == [
        *(InputLevels, nn.MaxPool2d, nn.Flatten, Lookup, Lookup),
        *(Dense, nn.BatchNorm1d, TanhD, Dense, Scale),
    ]
    first, second = module[3], module[4]
    assert isinstance(first, Lookup)
    assert isinstance(second, Lookup)
    assert (first.levels_in, first.fan_in, second.levels_in, second.fan_in) == (16, 3, 2, 4)
    assert first.score.shape == (9 * 3, 3 * 4 * 4 * 4)
    assert second.score.shape == (6 * 4, 9)


def test_a_class_sum_may_be_the_output() -> None:
    module = built(TABLE, LookupSettings(9), output=ClassSumSettings(1.5))
    assert kinds(module) == [InputLevels, Lookup, ClassSum]
    assert isinstance(module[2], ClassSum)
    assert module[2].temperature == 1.5
    assert module(torch.zeros(2, 8)).shape == (2, 3)


def test_lookups_begin_without_connections_to_constants() -> None:
    data = random_dataset((8,))
    features = np.array(data.train_features[:])
    features[:, 3] = 0.5
    data = Dataset("constant", features, *(data.classes[0], data.test_features, data.classes[1]))
    experiment = Experiment(
        input=InputSettings(levels=2), network=NetworkSettings(layers=(LookupSettings(60),))
    )
    lookup = build_module(experiment, data, discretized=True)[1]
    assert isinstance(lookup, Lookup)
    assert set(lookup.address_bits().flatten().tolist()) == {0, 1, 2, 4, 5, 6, 7}


BEHIND_OTHERS = (
    "network.layers[1] is of kind lookup: what comes to it must be the input, another lookup or a "
    "max-pool of these."
)


@pytest.mark.parametrize(
    ("shape", "layers", "settings", "sentence"),
    [
        (TABLE, [DenseSettings(4), LookupSettings(3)], {}, BEHIND_OTHERS),
        (TABLE, [DropoutSettings(), LookupSettings(3)], {}, BEHIND_OTHERS),
        (PICTURE, [AveragePoolSettings(2), LookupSettings(3)], {}, BEHIND_OTHERS),
        (
            TABLE,
            [ResidualSettings((LookupSettings(8),))],
            {},
            "network.layers[0].layers[0] is of kind lookup: the last layer of a network or a "
            "residual must be a dense or a convolutional one.",
        ),
        (
            TABLE,
            [ResidualSettings((LookupSettings(8), DenseSettings(8)))],
            {},
            "network.layers[0].layers[0] is of kind lookup: what comes to it must be the input, "
            "another lookup or a max-pool of these.",
        ),
        (
            TABLE,
            [ClassSumSettings()],
            {},
            "network.layers[0] is of kind class_sum: it can be network.output alone.",
        ),
        (
            TABLE,
            [],
            {"output": LookupSettings(3), "hidden": ()},
            "network.output is of kind lookup: the last layer of a network or a residual must be a "
            "dense or a convolutional one.",
        ),
        (
            TABLE,
            [LookupSettings(2)],
            {"output": ClassSumSettings()},
            "network.output is of kind class_sum and meets 2 levels: each of the 3 classes needs "
            "one of its own.",
        ),
        (
            TABLE,
            [LookupSettings(8)],
            {"output": ClassSumSettings(), "task": "reconstruct"},
            "network.output is of kind class_sum: it needs classes, so write dense where "
            'network.task is "reconstruct".',
        ),
    ],
)
def test_lookups_and_class_sums_have_their_places(
    shape: tuple[int, ...], layers: list[LayerSettings], settings: dict[str, Any], sentence: str
) -> None:
    assert refusal(shape, *layers, **settings) == sentence


def test_geometry_is_passed_on() -> None:
    module = built(
        PICTURE,
        ConvSettings(6, 3, stride=2, padding=1, groups=3),
        ConvTransposeSettings(4, 3, stride=2, padding=1, output_padding=1, groups=2),
        MaxPoolSettings(3, 2),
        DropoutSettings(0.25),
    )
    conv, transposed, pool = module[1], module[3], module[4]
    assert isinstance(conv, Conv2d)
    assert (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((3, 3), (2, 2), (1, 1), 3)
    assert isinstance(transposed, ConvTranspose2d)
    assert transposed.weight.shape == (6, 2, 3, 3)
    assert transposed.output_padding == (1, 1)
    assert isinstance(pool, nn.MaxPool2d)
    assert (pool.kernel_size, pool.stride) == (3, 2)
    assert isinstance(module[6], nn.Dropout)
    assert module[6].p == 0.25


@pytest.mark.parametrize(
    ("shape", "layers", "shortcut", "stride"),
    [
        (TABLE, [DenseSettings(8)], nn.Identity, None),
        (TABLE, [DenseSettings(4), DenseSettings(5)], Dense, None),
        (SIGNAL, [ConvSettings(2, 3, padding=1)], nn.Identity, None),
        (SIGNAL, [ConvSettings(2, 3, stride=2, padding=1)], Conv1d, (2,)),
        (PICTURE, [ConvSettings(4, 3, padding=1)], Conv2d, (1, 1)),
        (PICTURE, [ConvSettings(3, 1, stride=3)], Conv2d, (3, 3)),
        ((3, 8, 1), [ConvSettings(3, 3, stride=2, padding=1)], Conv2d, (2, 2)),
    ],
)
def test_a_shortcut_is_projected_where_shapes_differ(
    shape: tuple[int, ...], layers: list[LayerSettings], shortcut: type[nn.Module], stride: Any
) -> None:
    residual = built(shape, ResidualSettings(tuple(layers)))[1]
    assert isinstance(residual, Residual)
    assert type(residual.shortcut) is shortcut
    if not isinstance(residual.shortcut, nn.Identity):
        assert residual.shortcut.bias is None
        assert getattr(residual.shortcut, "stride", None) == stride


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tanhd", TanhD),
        ("relud", ReluD),
        ("sign", SignD),
        ("hardtanhd", HardTanhD),
        ("sigmoidd", SigmoidD),
    ],
)
def test_the_activation_is_the_one_named(name: Any, kind: type[Activation]) -> None:
    activation = built(TABLE, DenseSettings(2), activation=name, levels=2, ceiling=2.5)[2]
    assert type(activation) is kind
    assert activation.levels == 2
    if isinstance(activation, ReluD):
        assert activation.ceiling == 2.5


def test_the_last_layer_may_be_named() -> None:
    module = built(PICTURE, ConvSettings(4, 3), output=ConvSettings(5, 6))
    assert kinds(module)[-2:] == [Conv2d, nn.Flatten]
    assert module(torch.zeros(2, *PICTURE)).shape == (2, 5)
    more_than_classes = built(TABLE, output=DenseSettings(7), hidden=())
    assert more_than_classes(torch.zeros(2, 8)).shape == (2, 7)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_reconstruction_gives_the_features_again(batch_norm: bool) -> None:
    module = built(PICTURE, DenseSettings(4), task="reconstruct", batch_norm=batch_norm)
    assert module(torch.zeros(2, *PICTURE)).shape == (2, 192)
    assert Scale not in kinds(module)
    wide = built(
        PICTURE,
        ConvSettings(4, 2, stride=2),
        task="reconstruct",
        output=ConvTransposeSettings(3, 2, stride=2),
    )
    assert wide(torch.zeros(2, *PICTURE)).shape == (2, 192)


def test_a_batch_norm_takes_the_place_of_a_hidden_bias(digits: Dataset) -> None:
    settings = NetworkSettings(hidden=(5, 4), batch_norm=True)
    module = build_module(Experiment(network=settings), digits, discretized=True)
    has_bias = [layer.bias is not None for layer in weighted_layers(module)]
    assert has_bias == [False, False, True]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_float_twin_has_no_levels_and_the_same_start(digits: Dataset, batch_norm: bool) -> None:
    experiment = Experiment(
        input=InputSettings(levels=8), network=NetworkSettings(levels=4, batch_norm=batch_norm)
    )
    module = build_module(experiment, digits, discretized=True)
    twin = build_module(experiment, digits, discretized=False)
    for layer, other in zip(module.children(), twin.children(), strict=True):
        if isinstance(layer, InputLevels) and isinstance(other, InputLevels):
            assert (layer.levels, layer.continuous, other.continuous) == (8, False, True)
        if isinstance(layer, Activation) and isinstance(other, Activation):
            assert (layer.levels, other.levels) == (4, None)
    theirs = dict(twin.named_parameters())
    assert theirs
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, theirs[name]), name


def test_another_seed_gives_another_start(digits: Dataset) -> None:
    first, second = (
        weighted_layers(
            build_module(Experiment(training=TrainingSettings(seed=seed)), digits, discretized=True)
        )
        for seed in (0, 1)
    )
    assert not torch.equal(first[0].weight, second[0].weight)


def test_building_leaves_the_callers_random_numbers_alone(digits: Dataset) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        build_module(Experiment(), digits, discretized=True)
        assert torch.equal(torch.rand(3), expected)


def test_inputs_span_the_range_of_the_training_features(digits: Dataset) -> None:
    inputs = build_module(Experiment(), digits, discretized=True)[0]
    assert isinstance(inputs, InputLevels)
    assert (inputs.least.item(), inputs.greatest.item()) == (0.0, 16.0)
    assert inputs.thresholds[0].item() == 8 / 15


def test_inputs_have_thresholds_and_encoding_of_the_settings() -> None:
    settings = InputSettings(3, "quantile", "per_channel", "thermometer")
    dataset = random_dataset(SIGNAL)
    module = build_module(Experiment(input=settings), dataset, discretized=True)
    inputs = module[0]
    assert isinstance(inputs, InputLevels)
    assert inputs.thresholds.shape == (2, 1, 2)
    x = inputs(torch.from_numpy(dataset.train_features[:]))
    assert x.shape == (24, 4, 12)
    # A third of each channel's features is below the first quantile, two thirds below the second.
    shares = [x[:, channel].mean().item() for channel in range(4)]
    assert shares == pytest.approx([2 / 3, 1 / 3] * 2, abs=0.01)


class _Decoded:
    """Samples that remember how many of them were asked for."""

    def __init__(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        self.samples, self.shape, self.dtype = samples, samples.shape, samples.dtype
        self.asked = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        found: np.ndarray[Any, np.dtype[np.float32]] = self.samples[index]
        self.asked = max(self.asked, len(found))
        return found


def test_of_samples_decoded_when_asked_for_a_thousand_are_looked_at() -> None:
    features = np.zeros((1500, 2), np.float32)
    features[1200], features[5] = 9.0, 3.0
    samples = _Decoded(features)
    classes = np.arange(1500) % 3
    dataset = Dataset("decoded", samples, classes, features[:5], classes[:5])
    inputs = build_module(Experiment(), dataset, discretized=True)[0]
    assert isinstance(inputs, InputLevels)
    assert (inputs.greatest.item(), samples.asked) == (3.0, 1000)


@pytest.mark.parametrize(
    ("shape", "layers", "sentence"),
    [
        (
            TABLE,
            [MaxPoolSettings(2)],
            "network.layers[0] is of kind max_pool and meets data of shape (8,): it needs a "
            "picture (channels, height, width) or a signal (channels, length).",
        ),
        (
            PICTURE,
            [DenseSettings(4), AveragePoolSettings(2)],
            "network.layers[1] is of kind average_pool and meets data of shape (4,): it needs a "
            "picture (channels, height, width) or a signal (channels, length).",
        ),
        (
            (2, 3, 4, 5),
            [ConvSettings(2, 1)],
            "network.layers[0] is of kind conv and meets data of shape (2, 3, 4, 5): it needs a "
            "picture (channels, height, width) or a signal (channels, length).",
        ),
        (
            PICTURE,
            [DropoutSettings(), ConvTransposeSettings(4, 1, groups=3)],
            "network.layers[1] has 3 groups: its 3 channels in and 4 out must both be multiples "
            "of that.",
        ),
        (
            PICTURE,
            [ConvSettings(2, 9)],
            "network.layers[0]: a kernel of 9 does not fit pictures of 8×8.",
        ),
        (
            PICTURE,
            [ConvSettings(3, 3), MaxPoolSettings(2), MaxPoolSettings(4)],
            "network.layers[2]: a size of 4 does not fit pictures of 3×3.",
        ),
        (
            PICTURE,
            [ResidualSettings((ConvSettings(3, 1), AveragePoolSettings(9), ConvSettings(3, 1)))],
            "network.layers[0].layers[1]: a size of 9 does not fit pictures of 8×8.",
        ),
        (
            PICTURE,
            [
                DropoutSettings(),
                ResidualSettings(
                    (ResidualSettings((ConvSettings(3, 1), ConvSettings(3, 9))), ConvSettings(3, 1))
                ),
            ],
            "network.layers[1].layers[0].layers[1]: a kernel of 9 does not fit pictures of 8×8.",
        ),
        (
            PICTURE,
            [DropoutSettings(), ResidualSettings(())],
            "network.layers[1] is a residual without layers: list at least one.",
        ),
        (
            PICTURE,
            [ResidualSettings((ConvSettings(3, 1), MaxPoolSettings(2)))],
            "network.layers[0].layers[1] is of kind max_pool: the last layer of a network or a "
            "residual must be a dense or a convolutional one.",
        ),
        (
            PICTURE,
            [ResidualSettings((ResidualSettings((ConvSettings(3, 1),)),))],
            "network.layers[0].layers[0] is of kind residual: the last layer of a network or a "
            "residual must be a dense or a convolutional one.",
        ),
        (
            PICTURE,
            [ResidualSettings((ConvSettings(3, 2),))],
            "network.layers[0]: the residual's layers lead from shape (3, 8, 8) to (3, 7, 7): "
            "choose kernels, strides and paddings that keep the shape, or divide each side by the "
            "same stride.",
        ),
        (
            PICTURE,
            [ResidualSettings((DenseSettings(192),))],
            "network.layers[0]: the residual's layers lead from shape (3, 8, 8) to (192,): choose "
            "kernels, strides and paddings that keep the shape, or divide each side by the same "
            "stride.",
        ),
        (
            PICTURE,
            [ResidualSettings((ConvTransposeSettings(3, 2, stride=2),))],
            "network.layers[0]: the residual's layers lead from shape (3, 8, 8) to (3, 16, 16): "
            "choose kernels, strides and paddings that keep the shape, or divide each side by the "
            "same stride.",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    shape: tuple[int, ...], layers: list[LayerSettings], sentence: str
) -> None:
    assert refusal(shape, *layers) == sentence


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"output": DenseSettings(2)},
            "The network has 2 outputs: 3 classes need one each.",
        ),
        (
            {"output": DenseSettings(9), "task": "reconstruct"},
            "The network has 9 outputs: 8 features need one each.",
        ),
        (
            {"output": DropoutSettings()},
            "network.output is of kind dropout: the last layer of a network or a residual must be "
            "a dense or a convolutional one.",
        ),
        (
            {"output": ConvSettings(3, 1)},
            "network.output is of kind conv and meets data of shape (4,): it needs a picture "
            "(channels, height, width) or a signal (channels, length).",
        ),
    ],
)
def test_outputs_that_do_not_fit_are_refused(settings: dict[str, Any], sentence: str) -> None:
    assert refusal(TABLE, DenseSettings(4), **settings) == sentence


def test_data_without_classes_can_only_be_reconstructed() -> None:
    known = random_dataset(TABLE)
    dataset = Dataset("mine", known.train_features, None, known.test_features, None)
    with pytest.raises(UserError) as refused:
        build_module(Experiment(), dataset, discretized=True)
    assert str(refused.value) == (
        "The data set 'mine' has no classes: train a network that reconstructs its input on it, or "
        "choose a data set with classes."
    )
    reconstructing = Experiment(network=NetworkSettings(task="reconstruct"))
    module = build_module(reconstructing, dataset, discretized=True)
    assert module(torch.zeros(1, 8)).shape == (1, 8)


@pytest.mark.parametrize(("activation", "gain"), [("relud", 2**0.5), ("hardtanhd", 1.0)])
def test_sums_start_as_wide_as_their_inputs(activation: str, gain: float) -> None:
    """Of white noise, a layer's sums have the variance of its inputs times the gain squared."""
    layers = (
        ConvSettings(64, 3),
        ConvTransposeSettings(64, 4, stride=2),
        DenseSettings(500),
    )
    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16)).astype(np.uint8)
    dataset = Dataset("noise", pictures, np.arange(4), pictures, np.arange(4))
    experiment = Experiment(
        network=NetworkSettings(layers=layers, activation=activation)  # type: ignore[arg-type]
    )
    module = build_module(experiment, dataset, discretized=True)
    generator = torch.Generator().manual_seed(0)
    for layer in weighted_layers(module)[:-1]:
        shape = (
            (64, layer.in_features) if isinstance(layer, Dense) else (8, layer.in_channels, 24, 24)
        )
        x = torch.randn(shape, generator=generator)  # type: ignore[arg-type]
        y = layer.combine(x, layer.weight, None).detach()
        inner = y if y.ndim == 2 else y[:, :, 4:-4, 4:-4]
        assert float(inner.std()) == pytest.approx(gain, rel=0.1)


def test_a_single_class_can_only_be_reconstructed() -> None:
    known = random_dataset(TABLE)
    classes = [np.zeros(len(part), np.int64) for part in known.classes]
    dataset = Dataset("mine", known.train_features, classes[0], known.test_features, classes[1])
    with pytest.raises(UserError) as refused:
        build_module(Experiment(), dataset, discretized=True)
    assert str(refused.value) == (
        "The data set 'mine' has training samples of a single class: there is nothing to tell "
        "apart, so give it at least two."
    )
    reconstructing = Experiment(network=NetworkSettings(task="reconstruct"))
    assert build_module(reconstructing, dataset, discretized=True)(torch.zeros(1, 8)).shape == (
        1,
        8,
    )
