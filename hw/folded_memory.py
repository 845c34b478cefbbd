"""What the scheduler puts where: product tables into pages, levels into maps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nomul.hw.engine_settings import GROUP, EngineSettings
from nomul.hw.residual import levels_read
from nomul.network import Network, UserError, Weighted
from nomul.network.layers import INPUT_NAME, layer_name

__all__ = ["MapAllocator", "Tables", "check_depth"]


def check_depth(memory: str, needed: int, available: int, remedy: str) -> None:
    """See that a memory is deep enough.

    Raises
    ------
    UserError
        With what is missing, and ``remedy``.
    """
    if needed > available:
        raise UserError(
            f"The network needs {needed:,} {memory}, and the engine has {available:,}, "
            f"{needed - available:,} too few: {remedy}."
        )


class Tables:
    """The pages of product tables, each with one column for a pair of opposite columns.

    A weight is the number of a column and a sign: so a codebook that is symmetric around 0 takes
    half the columns.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._pages: list[NDArray[np.int16]] = []

    def add(self, name: str, layer: Weighted) -> tuple[int, NDArray[np.uint8]]:
        """Return the page of a layer's table and the weight of each weight index.

        Raises
        ------
        UserError
            If the table has more columns, apart from their signs, or larger products than a page.
        """
        settings = self.settings
        table = layer.product_table.astype(np.int64)
        columns: dict[bytes, int] = {}
        weights = np.zeros(table.shape[1], np.int64)
        for index in np.unique(layer.weight_index):
            column = table[:, index]
            if (opposite := (-column).tobytes()) in columns and column.any():
                weights[index] = columns[opposite] | 1 << settings.magnitude_bits
            else:
                weights[index] = columns.setdefault(column.tobytes(), len(columns))
        if len(columns) > settings.columns:
            raise UserError(
                f"{name} has {len(columns)} weight values apart from their signs, and the engine "
                f'{settings.columns}: what helps is a codebook of kind "grid" with '
                f"{2 * settings.columns - 1} centres, which is symmetric around 0, or an engine of "
                f"{(len(columns) - 1).bit_length()} magnitude bits."
            )
        page = np.zeros((settings.rows, settings.columns), np.int16)
        for content, number in columns.items():
            column = np.frombuffer(content, np.int64)
            limit = 1 << settings.product_bits - 1
            if column.min() < -limit or column.max() >= limit:
                needed = 1 + max((int(v) if v >= 0 else ~int(v)).bit_length() for v in column)
                raise UserError(
                    f"{name} has products of {needed} bits, and the engine's have "
                    f"{settings.product_bits}: what helps is fewer levels or weight values, or an "
                    f"engine of {needed} product bits."
                )
            page[: len(column), number] = column
        return self._place(page), weights.astype(np.uint8)

    def _place(self, page: NDArray[np.int16]) -> int:
        for number, known in enumerate(self._pages):
            if np.array_equal(known, page):
                return number
        self._pages.append(page)
        # The last row of the last page is that of a padded position.
        check_depth(
            "product tables",
            len(self._pages),
            self.settings.pages - 1,
            "what helps is one codebook for several layers, or an engine of more pages",
        )
        return len(self._pages) - 1

    def adds_nothing_at_level_0(self, page: int) -> bool:
        """Return whether every product of level 0 is 0, as where a level is a rectified sum."""
        return not self._pages[page][0].any()

    def content(self) -> NDArray[np.int16]:
        """Return all pages, int16, shape (pages, levels, columns)."""
        empty = np.zeros((0, self.settings.rows, self.settings.columns), np.int16)
        return np.concatenate([empty, *(page[None] for page in self._pages)])


class MapAllocator:
    """Where the levels of the sample and of each layer lie, from when to when.

    The sample lies at address 0, and nothing else ever does: so the next one may arrive while the
    last passes run. Where zeros are skipped, each map begins with a group of levels.

    Raises
    ------
    UserError
        If there is no room.
    """

    def __init__(self, network: Network, settings: EngineSettings) -> None:
        self._network = network
        self._grain = GROUP if settings.skips_zeros else 1
        self._places = {INPUT_NAME: 0}
        last_use = {INPUT_NAME: len(network.layers)}
        for number, layer in enumerate(network.layers):
            last_use |= {s: number for s in levels_read(network, layer) if s != INPUT_NAME}
        self.depth = self._size(INPUT_NAME)
        for number in range(len(network.layers) - 1):
            if network.level_counts[layer_name(number)] is None:
                continue  # it gives sums, which lie in no map
            live = [
                (place, place + self._size(name))
                for name, place in self._places.items()
                if last_use.get(name, -1) >= number
            ]
            name = layer_name(number)
            place = _lowest_gap(sorted(live), self._size(name))
            self._places[name] = place
            self.depth = max(self.depth, place + self._size(name))
        check_depth(
            "levels to be held at a time",
            self.depth,
            settings.map_depth,
            "what helps is fewer channels in the first layers, a larger stride, or an engine with "
            "deeper maps",
        )

    def place(self, name: str) -> int:
        """Return the address of the first level of the input or a layer; the last one has none."""
        return self._places.get(name, 0)

    def _size(self, name: str) -> int:
        n_levels = math.prod(self._network.shapes[name])
        return -(-n_levels // self._grain) * self._grain


def _lowest_gap(taken: list[tuple[int, int]], size: int) -> int:
    """Return the lowest address with ``size`` free ones from there on."""
    place = 0
    for start, end in taken:
        if start - place >= size:
            break
        place = max(place, end)
    return place
