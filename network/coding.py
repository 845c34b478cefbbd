"""Weight indices as the words of an entropy coder, with integer models that every machine shares.

The coder is the range variant of Asymmetric Numeral Systems (J. Duda, "Asymmetric numeral systems:
entropy coding combining speed of Huffman coding with compression rate of arithmetic coding", 2013),
as the library constriction has it: a state below 2^64, words of 32 bits, and for each layer a fixed
model that shares 2^24 among its centres. docs/network-file.md states the arithmetic of the decoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from constriction import stream
from numpy.typing import NDArray

__all__ = ["count_codes", "decode_indices", "encode_indices", "model_size", "shares"]

_TOTAL = 1 << 24
_CHUNK = 1 << 22

Indices = NDArray[np.uint8] | NDArray[np.uint16]


def model_size(n_centres: int) -> int:
    """Return the symbols of a model: a second one, never used, if there is a single centre."""
    return max(n_centres, 2)


def count_codes(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return counts rounded to four significant bits, a byte each.

    Code 0 is 0, and code 1 + 8 e + m is ``(8 + m) * 2^e / 8``, m = 0..7. Up to 15, counts are
    exact; above, the rounding costs less than 0.001 bits an index.

    Parameters
    ----------
    counts
        int64, at least 0 and below 2^31.

    Returns
    -------
    NDArray[np.uint8]
        Of the shape of ``counts``.
    """
    exponent = np.frexp(counts)[1].astype(np.int64) - 1  # exact below 2^53
    used = np.maximum(exponent, 0)
    mantissa = ((counts << 4 >> used) + 1) >> 1  # 8..16; 16 carries into the next exponent
    return np.where(counts > 0, 8 * used + mantissa - 7, 0).astype(np.uint8)


def shares(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return what each symbol has of 2^24: at least 1, and else in proportion to the coded count.

    Integer arithmetic alone, so that writer and reader agree on every machine.

    Parameters
    ----------
    codes
        uint8, shape (symbols,), as from ``count_codes``, not all 0.
    """
    place = codes.astype(np.int64) - 1
    count = np.where(codes > 0, (8 + place % 8) << np.maximum(place // 8, 0), 0)  # below 2^36
    free = _TOTAL - codes.size
    share: NDArray[np.int64] = count * free // count.sum()
    share[count.argmax()] += free - share.sum()
    share += 1
    return share


def encode_indices(layers: Sequence[tuple[Indices, NDArray[np.uint8]]]) -> NDArray[np.uint32]:
    """Return the words that hold the indices of all layers, each under its own model.

    Parameters
    ----------
    layers
        Each layer's indices, and the codes of its model, one for each index that may occur.
    """
    coder = stream.stack.AnsCoder()
    for index, codes in reversed(layers):  # a stack: what is decoded first goes in last
        model, flat = _model(codes), index.reshape(-1)
        for start in reversed(range(0, flat.size, _CHUNK)):
            coder.encode_reverse(flat[start : start + _CHUNK].astype(np.int32), model)
    words: NDArray[np.uint32] = coder.get_compressed()
    return words


def decode_indices(
    words: NDArray[np.uint32],
    layers: Iterable[tuple[np.dtype[Any], tuple[int, ...], NDArray[np.uint8]]],
) -> Iterator[NDArray[Any]]:
    """Yield each layer's indices; the inverse of ``encode_indices``.

    Parameters
    ----------
    words
        uint32, as from ``encode_indices``.
    layers
        Dtype and shape of each layer's indices, and the codes of its model.

    Raises
    ------
    ValueError
        If the words do not end with the last index, or cannot be of this coder.
    """
    coder = stream.stack.AnsCoder(words)
    for dtype, shape, codes in layers:
        model, index = _model(codes), np.empty(shape, dtype)
        flat = index.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            flat[start : start + _CHUNK] = coder.decode(model, min(_CHUNK, flat.size - start))
        yield index
    if not coder.is_empty():
        raise ValueError("the words do not end with the last weight index")


def _model(codes: NDArray[np.uint8]) -> Any:
    """Return the library's model with exactly our shares.

    With perfect=False, it gives each symbol 1 and what its probability makes of the rest, in
    floats. Integers whose sum is that rest scale by exactly 1.0, and all their partial sums are
    exact in float64: so nothing is left to rounding.
    """
    return stream.model.Categorical(
        (shares(codes) - 1).astype(np.float64), lazy=False, perfect=False
    )
