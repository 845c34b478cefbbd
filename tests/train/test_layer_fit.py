"""What does not fit is refused in a sentence, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nomul.network import UserError
from nomul.train.layer_fit import check_fit, kind_name
from nomul.train.layer_settings import (
    LAYER_KINDS,
    AveragePoolSettings,
    ConvSettings,
    ConvTransposeSettings,
    DenseSettings,
    DropoutSettings,
    LayerSettings,
    MaxPoolSettings,
    ResidualSettings,
)

TABLE, SIGNAL, PICTURE = (8,), (2, 12), (3, 12, 10)


@pytest.mark.parametrize(
    ("shape", "layer", "sentence"),
    [
        (
            TABLE,
            ConvSettings(2, 3),
            "here is of kind conv and meets data of shape (8,): it needs a picture (channels, "
            "height, width) or a signal (channels, length).",
        ),
        (
            SIGNAL,
            ConvTransposeSettings(2, 2),
            "here is of kind conv_transpose and meets data of shape (2, 12): it needs a picture "
            "(channels, height, width).",
        ),
        (
            PICTURE,
            ConvSettings(4, 1, groups=3),
            "here has 3 groups: its 3 channels in and 4 out must both be multiples of that.",
        ),
        (
            PICTURE,
            ConvTransposeSettings(4, 1, groups=2),
            "here has 2 groups: its 3 channels in and 4 out must both be multiples of that.",
        ),
        (PICTURE, ConvSettings(4, 30), "here: a kernel of 30 does not fit pictures of 12×10."),
        (
            PICTURE,
            ConvSettings(4, 15, padding=2),
            "here: a kernel of 15 does not fit pictures of 12×10 padded by 2.",
        ),
        (SIGNAL, ConvSettings(4, 13), "here: a kernel of 13 does not fit signals of length 12."),
        (PICTURE, MaxPoolSettings(11), "here: a size of 11 does not fit pictures of 12×10."),
        (SIGNAL, AveragePoolSettings(13), "here: a size of 13 does not fit signals of length 12."),
        (
            PICTURE,
            ConvTransposeSettings(4, 3, stride=2, output_padding=2),
            "here has an output_padding of 2: it must be less than the stride, 2.",
        ),
        (
            PICTURE,
            ConvTransposeSettings(4, 1, padding=5),
            "here: a padding of 5 leaves nothing of pictures of 12×10.",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    shape: tuple[int, ...], layer: LayerSettings, sentence: str
) -> None:
    with pytest.raises(UserError) as refused:
        check_fit(layer, shape, "here")
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "layer", [DenseSettings(3), DropoutSettings(), ResidualSettings((ConvSettings(1, 99),))]
)
@pytest.mark.parametrize("shape", [TABLE, SIGNAL, PICTURE, (2, 3, 4, 5)])
def test_other_kinds_fit_everything(layer: LayerSettings, shape: tuple[int, ...]) -> None:
    check_fit(layer, shape, "here")


def fits(layer: LayerSettings, shape: tuple[int, ...]) -> bool:
    try:
        check_fit(layer, shape, "here")
    except UserError:
        return False
    return True


def pytorch_takes(function: Callable[[Tensor], object], shape: tuple[int, ...]) -> bool:
    try:
        function(torch.zeros(1, *shape))
    except RuntimeError:
        return False
    return True


def test_what_fits_is_what_pytorch_takes() -> None:
    sides = [(2, 3), (3, 1), (4, 4)]
    answers = set()
    for (height, width), kernel, padding in product(sides, (1, 2, 5), (0, 1, 2)):
        shape, weight = (1, height, width), torch.zeros(1, 1, kernel, kernel)
        conv = ConvSettings(1, kernel, padding=padding)
        taken = pytorch_takes(lambda x: functional.conv2d(x, weight, padding=padding), shape)  # noqa: B023
        assert fits(conv, shape) == taken
        answers.add(taken)
        for stride, extra in product((1, 2, 3), (0, 1, 2)):
            transposed = ConvTransposeSettings(1, kernel, stride, padding, extra)
            taken = pytorch_takes(
                lambda x: functional.conv_transpose2d(x, weight, None, stride, padding, extra),  # noqa: B023
                shape,
            )
            assert fits(transposed, shape) == taken
            answers.add(taken)
    assert answers == {True, False}


@pytest.mark.parametrize("shape", [(1, 3), (1, 2, 3), (1, 3, 2)])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pools_fit_where_pytorch_takes_them(shape: tuple[int, ...], size: int) -> None:
    signal = len(shape) == 2
    max_pool = functional.max_pool1d if signal else functional.max_pool2d
    average_pool = functional.avg_pool1d if signal else functional.avg_pool2d
    for layer, pool in ((MaxPoolSettings, max_pool), (AveragePoolSettings, average_pool)):
        taken = pytorch_takes(lambda x, pool=pool: pool(x, size), shape)  # type: ignore[misc]
        assert fits(layer(size), shape) == taken == (size <= min(shape[1:]))


def test_a_kind_is_named_as_in_the_file() -> None:
    assert kind_name(AveragePoolSettings(2)) == "average_pool"
    assert LAYER_KINDS["conv"] is ConvSettings
    assert kind_name(ConvSettings(1, 1)) == "conv"
