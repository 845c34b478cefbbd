"""Pictures that are decoded or enlarged only when they are asked for."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import UserError
from nomul.train.dataset import Dataset, Samples

__all__ = ["Enlarged", "PictureFiles", "decoded", "enlarge", "picture_files"]

GREY_MODES = {"1", "L", "LA"}
COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
"""Pillow's names of what has 8 bits or less per channel; 16 bits would be cut without a word."""


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Pictures in files, each decoded when asked for: :class:`nomul.train.dataset.Samples`.

    Attributes
    ----------
    paths
        One file for each picture.
    shape
        (pictures, channels, height, width); 1 channel is grey, 3 are red, green and blue.
    """

    paths: Sequence[Path]
    shape: tuple[int, int, int, int]

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: slice | NDArray[np.integer[Any]], /) -> NDArray[np.uint8]:
        numbers = np.arange(len(self))[index]
        pictures = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for place, number in enumerate(numbers):
            path = self.paths[number]
            pictures[place] = decoded(path.read_bytes(), self.shape[1], path)
        return pictures


def decoded(content: bytes, n_channels: int, origin: Path) -> NDArray[np.uint8]:
    """Return the picture that a file's content is, shape (channels, height, width).

    Parameters
    ----------
    n_channels
        1: grey. 3: red, green and blue.
    origin
        The file, for the error.

    Raises
    ------
    UserError
        If the content is damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            # By way of RGBA, since a palette may hold transparency.
            whole = picture.convert("RGBA") if picture.mode in {"P", "PA"} else picture
            values = np.asarray(whole.convert("L" if n_channels == 1 else "RGB"))
    except (OSError, SyntaxError) as error:  # Pillow calls a broken PNG chunk a syntax error
        raise _damaged(origin, error) from error
    return values.reshape(*values.shape[:2], n_channels).transpose(2, 0, 1)


def picture_files(paths: Sequence[Path], like: PictureFiles | None = None) -> PictureFiles:
    """Return the pictures of ``paths`` after a look at the header of each.

    They are grey if all of them are, else red, green and blue; transparency is dropped.

    Parameters
    ----------
    like
        Other pictures, whose size and channels these must have: those of the training part.

    Raises
    ------
    UserError
        If a file is no picture, differs in size, or has more than 8 bits per channel.
    """
    from PIL import Image

    size = (like.shape[3], like.shape[2]) if like else None
    first = like.paths[0] if like else paths[0]
    modes: dict[str, Path] = {}
    for path in paths:
        try:
            with Image.open(path) as picture:
                found, mode = picture.size, picture.mode
        except OSError as error:
            raise _damaged(path, error) from error
        if mode not in GREY_MODES | COLOUR_MODES:
            raise UserError(
                f"{str(path)!r} is a picture of mode {mode}: expected at most 8 bits per channel; "
                "convert it."
            )
        size = size or found
        if found != size:
            raise UserError(
                f"{str(path)!r} is {found[0]}×{found[1]} and {str(first)!r} is "
                f"{size[0]}×{size[1]}: all pictures must have one size."
            )
        modes.setdefault(mode, path)
    assert size is not None, "there is a picture"
    coloured = sorted(modes.keys() - GREY_MODES)
    if like and like.shape[1] == 1 and coloured:
        raise UserError(
            f"{str(modes[coloured[0]])!r} is in colour and all pictures of the training part are "
            "grey: make it grey too."
        )
    n_channels = like.shape[1] if like else 3 if coloured else 1
    return PictureFiles(tuple(paths), (len(paths), n_channels, size[1], size[0]))


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{str(path)!r} is no picture, or a damaged one ({error}): replace or remove it."
    )


@dataclass(frozen=True, eq=False)
class Enlarged:
    """Pictures made larger, bilinearly, when asked for: :class:`nomul.train.dataset.Samples`.

    CIFAR-10 at 224×224 would be 9 GB, and it is 184 MB this way.

    Attributes
    ----------
    pictures
        uint8, shape (pictures, channels, height, width).
    side
        Height and width of what comes out, in pixels.
    """

    pictures: Samples
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.pictures.shape[:2], self.side, self.side)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: slice | NDArray[np.integer[Any]], /) -> NDArray[np.uint8]:
        from PIL import Image

        small, size = self.pictures[index], (self.side, self.side)
        planes = np.empty((small.shape[0] * small.shape[1], self.side, self.side), np.uint8)
        for place, plane in enumerate(small.reshape(-1, *small.shape[2:])):
            large = Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)
            planes[place] = np.asarray(large)
        return planes.reshape(*small.shape[:2], self.side, self.side)


def enlarge(dataset: Dataset, side: int) -> Dataset:
    """Return ``dataset`` with its pictures made ``side`` pixels high and wide.

    Raises
    ------
    UserError
        If its samples are not pictures of uint8, or are larger already.
    """
    shape = dataset.train_features.shape[1:]
    if len(shape) != 3 or dataset.train_features.dtype != np.uint8:
        raise UserError(
            f"The data set {dataset.name!r} has samples of shape {shape} and type "
            f"{dataset.train_features.dtype}: only pictures, (channels, height, width) of uint8, "
            "can be enlarged."
        )
    if side < max(shape[1:]):
        raise UserError(
            f"The pictures of the data set {dataset.name!r} are {shape[2]}×{shape[1]}: they can be "
            f"enlarged to {max(shape[1:])} or more, not to {side}."
        )
    return dataclasses.replace(
        dataset,
        train_features=Enlarged(dataset.train_features, side),
        test_features=Enlarged(dataset.test_features, side),
    )
