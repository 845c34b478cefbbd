"""Pictures decoded or enlarged on demand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nomul.network import UserError
from nomul.train.dataset import Dataset
from nomul.train.pictures import Enlarged, decoded, enlarge, picture_files


def save(path: Path, values: NDArray[np.uint8], mode: str | None = None) -> Path:
    """Write a picture, (height, width) or (height, width, 3)."""
    picture = Image.fromarray(values)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def refusal(*paths: Path, like: Any = None) -> str:
    with pytest.raises(UserError) as refused:
        picture_files(paths, like)
    return str(refused.value)


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    values = noise(3, 5, 4)
    paths = [save(tmp_path / f"{number}.png", picture) for number, picture in enumerate(values)]
    pictures = picture_files(paths)
    assert pictures.shape == (3, 1, 5, 4)
    assert pictures.dtype == np.uint8
    assert len(pictures) == 3
    assert np.array_equal(pictures[:], values[:, np.newaxis])
    assert np.array_equal(pictures[np.array([2, 0])], values[[2, 0], np.newaxis])
    assert np.array_equal(pictures[1:2], values[1:2, np.newaxis])
    assert pictures[0:0].shape == (0, 1, 5, 4)


def test_one_picture_in_colour_gives_all_three_channels(tmp_path: Path) -> None:
    grey, colour = noise(5, 4), noise(5, 4, 3)
    pictures = picture_files([save(tmp_path / "0.png", grey), save(tmp_path / "1.png", colour)])
    assert pictures.shape == (2, 3, 5, 4)
    assert np.array_equal(pictures[:][0], np.stack([grey] * 3))
    assert np.array_equal(pictures[:][1], colour.transpose(2, 0, 1))


def test_pictures_are_like_those_of_the_training_part(tmp_path: Path) -> None:
    grey, colour = noise(5, 4), noise(5, 4, 3)
    grey_path, colour_path = save(tmp_path / "0.png", grey), save(tmp_path / "1.png", colour)
    in_grey, in_colour = picture_files([grey_path]), picture_files([colour_path])
    assert picture_files([grey_path], in_colour).shape == (1, 3, 5, 4)
    assert refusal(grey_path, colour_path, like=in_grey) == (
        f"{str(colour_path)!r} is in colour and all pictures of the training part are grey: make "
        "it grey too."
    )


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3)])
def test_every_mode_of_8_bits_is_read(mode: str, channels: int, tmp_path: Path) -> None:
    values = np.zeros((2, 2, 3), np.uint8)
    values[0] = 255
    pictures = picture_files([save(tmp_path / "0.png", values, mode)])
    assert np.array_equal(pictures[:][0], values.transpose(2, 0, 1)[:channels])


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    Image.new("P", (2, 2)).save(path, transparency=bytes([0, 128, 255]))
    assert not picture_files([path])[:].any()


def test_16_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    Image.fromarray(np.full((2, 2), 1000, np.uint16)).save(path)
    assert refusal(path) == (
        f"{str(path)!r} is a picture of mode I;16: expected at most 8 bits per channel; convert it."
    )


def test_the_first_picture_of_another_size_is_named(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / f"{number}.png", noise(height, 4))
        for number, height in enumerate((5, 5, 6, 7))
    ]
    assert refusal(*paths) == (
        f"{str(paths[2])!r} is 4×6 and {str(paths[0])!r} is 4×5: all pictures must have one size."
    )
    assert refusal(paths[3], like=picture_files(paths[:2])) == (
        f"{str(paths[3])!r} is 4×7 and {str(paths[0])!r} is 4×5: all pictures must have one size."
    )


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(b"no picture")
    assert refusal(path) == (
        f"{str(path)!r} is no picture, or a damaged one (cannot identify image file "
        f"{str(path)!r}): replace or remove it."
    )


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_cut_short_is_refused_when_it_is_decoded(suffix: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"0.{suffix}", noise(32, 32))
    path.write_bytes(path.read_bytes()[:-300])
    pictures = picture_files([path])
    with pytest.raises(UserError) as refused:
        pictures[:]
    assert str(refused.value).startswith(f"{str(path)!r} is no picture, or a damaged one (")


def test_a_broken_part_of_a_png_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "0.png", noise(32, 32))
    content = path.read_bytes()
    with pytest.raises(UserError, match="is no picture, or a damaged one"):
        decoded(content[:41] + b"\0" * 60 + content[101:], 1, path)


def test_a_jpeg_is_decoded_as_pillow_decodes_it(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(16, 8, 3)).save(buffer, "jpeg")
    expected = np.array(Image.open(buffer)).transpose(2, 0, 1)
    assert np.array_equal(decoded(buffer.getvalue(), 3, tmp_path), expected)


def bilinear(small: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Return PyTorch's enlargement, which is not rounded."""
    large: NDArray[np.float64] = torch.nn.functional.interpolate(
        torch.from_numpy(small).double(), size=(side, side), mode="bilinear", align_corners=False
    ).numpy()
    return large


def test_enlarged_pictures_are_samples_like_any() -> None:
    large = Enlarged(noise(3, 2, 4, 4), 12)
    assert large.shape == (3, 2, 12, 12)
    assert large.dtype == np.uint8
    assert len(large) == 3
    assert np.array_equal(large[np.array([2, 0])], large[:][[2, 0]])
    assert large[0:0].shape == (0, 2, 12, 12)


@pytest.mark.parametrize(("shape", "side"), [((2, 3, 5, 5), 14), ((1, 1, 4, 6), 8)])
def test_enlargement_is_pytorchs_but_for_the_rounding(shape: tuple[int, ...], side: int) -> None:
    small = noise(*shape)
    assert np.abs(Enlarged(small, side)[:] - bilinear(small, side)).max() <= 1.0


def test_a_data_set_is_enlarged_in_both_parts() -> None:
    train, test = noise(3, 1, 4, 4), noise(2, 1, 4, 4)
    large = enlarge(Dataset("mine", train, None, test, None), 8)
    assert np.abs(large.train_features[:] - bilinear(train, 8)).max() <= 1.0
    assert np.abs(large.test_features[:] - bilinear(test, 8)).max() <= 1.0


@pytest.mark.parametrize(
    "features", [np.zeros((2, 1, 4, 4)), np.zeros((2, 16), np.uint8), np.zeros((2, 1, 4), np.uint8)]
)
def test_what_is_no_picture_is_not_enlarged(features: NDArray[Any]) -> None:
    with pytest.raises(UserError) as refused:
        enlarge(Dataset("mine", features, None, features, None), 8)
    assert str(refused.value) == (
        f"The data set 'mine' has samples of shape {features.shape[1:]} and type {features.dtype}: "
        "only pictures, (channels, height, width) of uint8, can be enlarged."
    )


def test_pictures_are_not_made_smaller() -> None:
    features = noise(2, 1, 4, 6)
    with pytest.raises(UserError) as refused:
        enlarge(Dataset("mine", features, None, features, None), 5)
    assert str(refused.value) == (
        "The pictures of the data set 'mine' are 6×4: they can be enlarged to 6 or more, not to 5."
    )
