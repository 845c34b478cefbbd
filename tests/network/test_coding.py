"""The coder against a decoder in plain integers, as docs/network-file.md states it."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.network import coding
from nomul.network.coding import count_codes, decode_indices, encode_indices, model_size, shares
from nomul.network.memory import index_counts

TOTAL = 1 << 24


def plain_decode(words: list[int], own: list[list[int]], sizes: list[int]) -> list[list[int]]:
    """Decode each layer's indices from its shares of 2^24; nothing may be left over."""
    words, state, layers = list(words), 0, []

    def filled(state: int) -> int:
        while state < 1 << 32 and words:
            state = state << 32 | words.pop()
        return state

    state = filled(state)
    for share, size in zip(own, sizes, strict=True):
        starts = [sum(share[:i]) for i in range(len(share))]
        indices = []
        for _ in range(size):
            low = state % TOTAL
            symbol = max(i for i, start in enumerate(starts) if start <= low)
            state = filled(state // TOTAL * share[symbol] + low - starts[symbol])
            indices.append(symbol)
        layers.append(indices)
    assert (state, words) == (0, [])
    return layers


def codes_of(index: NDArray[np.uint8] | NDArray[np.uint16], n_centres: int) -> NDArray[np.uint8]:
    return count_codes(index_counts(index, model_size(n_centres)))


def round_trip(index: NDArray[np.uint8] | NDArray[np.uint16], n_centres: int) -> int:
    """Return the words that ``index`` takes, once it has come back as it was."""
    codes = codes_of(index, n_centres)
    words = encode_indices([(index, codes)])
    (back,) = decode_indices(words, [(index.dtype, index.shape, codes)])
    assert back.dtype == index.dtype
    assert np.array_equal(back, index)
    return words.size


@pytest.mark.parametrize("count", range(16))
def test_small_counts_are_coded_exactly(count: int) -> None:
    (code,) = count_codes(np.array([count])).tolist()
    assert (0 if code == 0 else Fraction((8 + (code - 1) % 8) << (code - 1) // 8, 8)) == count


@given(st.integers(1, 2**31 - 1))
def test_a_count_is_coded_to_four_significant_bits(count: int) -> None:
    (code,) = count_codes(np.array([count])).tolist()
    coded = Fraction((8 + (code - 1) % 8) << (code - 1) // 8, 8)
    assert abs(coded - count) <= Fraction(1 << count.bit_length() - 1, 16)


def test_all_codes_have_counts_that_rise() -> None:
    """A reader that met any byte would make a model of it."""
    doubled = [shares(np.array([code, 1], np.uint8)).tolist()[0] for code in range(1, 256)]
    assert all(a <= b for a, b in itertools.pairwise(doubled))
    assert doubled[0] == TOTAL // 2
    assert doubled[-1] == TOTAL - 1


@given(st.lists(st.integers(0, 255), min_size=2, max_size=40).filter(any))
def test_shares_add_up_and_are_those_of_exact_fractions(codes: list[int]) -> None:
    share = shares(np.array(codes, np.uint8)).tolist()
    assert sum(share) == TOTAL
    assert min(share) >= 1
    counts = [0 if code == 0 else 8 + (code - 1) % 8 << (code - 1) // 8 for code in codes]
    free = TOTAL - len(codes)
    whole = [1 + math.floor(Fraction(count * free, sum(counts))) for count in counts]
    whole[counts.index(max(counts))] += TOTAL - sum(whole)
    assert share == whole


@pytest.mark.parametrize("skew", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("size", [1, 2, 3, 30, 400])
def test_words_mean_what_the_description_says(size: int, skew: float) -> None:
    rng = np.random.default_rng([size, round(10 * skew)])
    weights = np.arange(1, 8) ** -skew
    layers = [
        rng.choice(7, size=n, p=weights / weights.sum()).astype(np.uint8) for n in (size, 2 * size)
    ]
    codes = [codes_of(layer, 7) for layer in layers]
    words = encode_indices(list(zip(layers, codes, strict=True)))
    own = [shares(code).tolist() for code in codes]
    decoded = plain_decode(words.tolist(), own, [size, 2 * size])
    assert decoded == [layer.tolist() for layer in layers]


def test_words_stay_what_they_were() -> None:
    """A file that was written must be read for ever: the words are pinned."""
    index = np.array([0, 1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 0] * 4, np.uint8)
    words = encode_indices([(index, count_codes(index_counts(index, 4)))])
    assert words.tolist() == [3426119652, 3256093553, 88109]


@pytest.mark.parametrize("n_centres", [1, 2, 1000])
def test_a_single_index_everywhere_takes_no_room(n_centres: int) -> None:
    for value in {0, n_centres - 1}:
        index = np.full((100, 1000), value, np.uint16)
        assert round_trip(index, n_centres) <= 2


def test_a_single_index_of_its_kind_comes_back() -> None:
    index = np.zeros(100_000, np.uint16)
    index[77_777] = 999
    assert round_trip(index, 1000) <= 3


def test_as_many_centres_as_there_can_be_come_back() -> None:
    index = np.arange(65_536, dtype=np.uint16)
    np.random.default_rng(0).shuffle(index)
    assert round_trip(index, 65_536) * 32 == pytest.approx(65_536 * 16, rel=1e-4)
    assert round_trip(index % 3, 65_536) * 32 == pytest.approx(65_536 * math.log2(3), rel=5e-3)


def test_layers_longer_than_a_chunk_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "_CHUNK", 7)
    rng = np.random.default_rng(0)
    layers = [rng.integers(0, 5, (n, 3)).astype(np.uint8) for n in (1, 7, 14, 20)]
    codes = [codes_of(layer, 5) for layer in layers]
    words = encode_indices(list(zip(layers, codes, strict=True)))
    specs = [(layer.dtype, layer.shape, code) for layer, code in zip(layers, codes, strict=True)]
    for back, layer in zip(decode_indices(words, specs), layers, strict=True):
        assert np.array_equal(back, layer)


def test_indices_cost_their_entropy() -> None:
    """Laplacian weights on 1,000 even centres: within 0.002 bits an index and the last word."""
    rng = np.random.default_rng(0)
    index = np.clip(rng.laplace(500.0, 40.0, 200_000).round(), 0, 999).astype(np.uint16)
    _, counts = np.unique(index, return_counts=True)
    frequency = counts / index.size
    entropy = -(frequency * np.log2(frequency)).sum()
    assert 0 <= round_trip(index, 1000) * 32 / index.size - entropy < 0.002


@pytest.mark.parametrize("words", [[0], [5, 0], [1, 2, 3, 4]])
def test_words_of_something_else_are_refused(words: list[int]) -> None:
    codes = np.array([1, 1], np.uint8)
    layers = [(np.dtype(np.uint8), (3,), codes)]
    with pytest.raises(ValueError, match="word"):
        list(decode_indices(np.array(words, np.uint32), layers))
