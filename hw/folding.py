"""The scheduler: a network as a program for a folded engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nomul.hw.engine_settings import GROUP, EngineSettings
from nomul.hw.folded_geometry import Axis, axes, check_counts, kernel_of, map_order
from nomul.hw.folded_memory import MapAllocator, Tables, check_depth
from nomul.hw.folded_pass import Group, Map, bare_pass
from nomul.hw.program import Pass, Program, Result, Shortcut, field_widths
from nomul.hw.residual import (
    Branches,
    branches,
    is_straight,
    levels_read,
    shortcut_taps,
    shortcut_walk,
)
from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    Lookup,
    MaxPool2d,
    Network,
    UserError,
)
from nomul.network.layers import INPUT_NAME, layer_name

__all__ = ["fold"]


def fold(network: Network, settings: EngineSettings | None = None) -> Program:
    """Return the program that computes ``network`` on an engine.

    Raises
    ------
    UserError
        If a layer is of a kind that the engine cannot do, or does not fit its widths or memories:
        the sentence says which, by how much, and what would hold it.
    """
    return _Scheduler(network, settings or EngineSettings()).program()


class _Scheduler:
    """Passes made so far, and what they have put into the engine's memories."""

    def __init__(self, network: Network, settings: EngineSettings) -> None:
        self.network = network
        self.settings = settings
        self.tables = Tables(settings)
        self.maps = MapAllocator(network, settings)
        self.weights = [np.zeros((0, settings.channel_lanes), np.uint8)]
        self.biases: list[int] = []
        self.thresholds = [np.zeros((0, settings.rows - 1), np.int64)]
        self.output_order: list[int] = []

    def program(self) -> Program:
        """Return the program."""
        network, settings = self.network, self.settings
        passes: list[Pass] = []
        last_of_input = 0
        for number, layer in enumerate(network.layers):
            passes += self._passes(layer_name(number), layer)
            if INPUT_NAME in levels_read(network, layer):
                last_of_input = len(passes) - 1
        passes[last_of_input] = replace(passes[last_of_input], is_last_of_input=True)
        passes[-1] = replace(passes[-1], is_last=True)
        weights, thresholds = np.concatenate(self.weights), np.concatenate(self.thresholds)
        check_depth(
            f"words of {settings.channel_lanes} weights",
            len(weights),
            settings.weight_depth,
            "what helps is fewer channels or neurons, or an engine with a deeper weight memory",
        )
        check_depth(
            "biases",
            len(self.biases),
            settings.bias_depth,
            "what helps is fewer channels or neurons, or an engine with more biases",
        )
        check_depth(
            "sets of thresholds",
            len(thresholds),
            settings.threshold_depth,
            "what helps is training without batch_norm, which has one set a layer, or an engine "
            "with more",
        )
        check_depth(
            "words of program",
            1 + len(passes) * len(field_widths(settings)),
            settings.program_depth,
            "what helps is fewer layers or groups, or an engine with a deeper program memory",
        )
        return Program(
            settings,
            tuple(passes),
            weights,
            self.tables.content(),
            np.array(self.biases, np.int32),
            thresholds.astype(np.int32),
            map_order(network.shapes[INPUT_NAME]),
            np.array(self.output_order, np.int64),
        )

    def _passes(self, name: str, layer: Layer) -> Iterable[Pass]:
        if isinstance(layer, Lookup):
            raise UserError(
                f"{name} is of kind {layer.kind}, which the folded engine cannot do: it does dense "
                "layers, convolutions, transposed ones, max-pooling and residual additions."
            )
        if isinstance(layer, Add):
            return self._residual(name, layer)
        if self.network.level_counts[name] is None and not self._is_last(name):
            return ()  # the residual that adds it makes it too
        self._check_levels(layer.source, name)
        if isinstance(layer, MaxPool2d):
            return (self._pool(name, layer),)
        self._check_sums(name)
        return self._weighted(name, layer)

    def _is_last(self, name: str) -> bool:
        return name == layer_name(len(self.network.layers) - 1)

    def _check_levels(self, *names: str) -> None:
        for whose in names:
            n_levels = self.network.level_counts[whose]
            if n_levels is not None and n_levels > self.settings.rows:
                key = "input" if whose == INPUT_NAME else "network"
                raise UserError(
                    f"{whose} gives {n_levels} levels, and the engine's have "
                    f"{self.settings.level_bits} bits: what helps is {key}.levels = "
                    f"{self.settings.rows}, or an engine of {(n_levels - 1).bit_length()} level "
                    "bits."
                )

    def _check_sums(self, name: str) -> None:
        least, greatest = self.network.bounds[name]
        needed = 1 + max(
            (int(value) if value >= 0 else ~int(value)).bit_length()
            for value in (least.min(), greatest.max() + 1)
        )
        if needed > self.settings.sum_bits:
            raise UserError(
                f"{name} has sums of {needed} bits, and the engine's have "
                f"{self.settings.sum_bits}: what helps is a smaller layer or smaller weights, or "
                f"an engine of {needed} sum bits."
            )

    def _result(self, name: str) -> Result:
        if not self._is_last(name):
            return "map"
        kind = self.network.output.kind
        return "sums" if kind == "accumulators" else kind

    def _pool(self, name: str, layer: MaxPool2d) -> Pass:
        """Each block is one channel; its thresholds 1, 2, 3, ... give the level itself."""
        lines, positions = (
            Axis(count, -padding, stride, tuple(range(size)))
            for count, padding, stride, size in zip(
                self.network.shapes[name][1:], layer.padding, layer.stride, layer.size, strict=True
            )
        )
        group = Group(0, 1, 0, self.network.shapes[name][0])
        source = Map(self.network.shapes[layer.source], self.maps.place(layer.source))
        made = self._pass(name, source, lines, positions, group, is_greatest=True)
        made = self._with_idle(name, made)
        start = self._add_thresholds(np.arange(1, self.settings.rows)[None])
        self.biases.append(0)
        return replace(made, bias_start=len(self.biases) - 1, threshold_start=start)

    def _residual(self, name: str, layer: Add) -> Iterator[Pass]:
        if not self.settings.shortcuts:
            raise UserError(
                f"{name} is a residual addition, and the engine has no shortcuts: what helps is an "
                "engine with them, or a network without residuals."
            )
        added = branches(self.network, name, layer)
        self._check_levels(added.body.source, added.shortcut.source, name)
        self._check_sums(name)
        body = replace(
            added.body,
            bias=added.body.bias + added.shortcut.bias + layer.bias,
            thresholds=layer.thresholds,
        )
        return self._weighted(name, body, added)

    def _weighted(
        self, name: str, layer: Dense | Conv2d | ConvTranspose2d, added: Branches | None = None
    ) -> Iterator[Pass]:
        """Yield the passes of a layer with weights, or of a residual that has it as its body."""
        page, weight_of_index = self.tables.add(added.body_name if added else name, layer)
        kernel, shape = kernel_of(
            layer, weight_of_index[layer.weight_index], self.network.shapes[layer.source]
        )
        source = Map(shape, self.maps.place(layer.source))
        n_groups = 1 if isinstance(layer, Dense) else layer.groups
        n_in, n_out = kernel.shape[-1], layer.n_channels // n_groups
        shortcut_page, shortcut_weights = 0, np.zeros((layer.n_channels, 0), np.uint8)
        if added:
            shortcut_page, shortcut_weights = self._shortcut_weights(added, n_out)
        shared_start = 0
        if layer.thresholds is not None and layer.thresholds.ndim == 1:
            shared_start = self._add_thresholds(layer.thresholds[None])
        for lines, positions in axes(layer, self.network.shapes[name]):
            for number in range(n_groups):
                group = Group(number * n_in, n_in, number * n_out, n_out)
                channels = slice(group.first_out, group.first_out + n_out)
                taps = kernel[channels][:, lines.taps][:, :, positions.taps].reshape(n_out, -1)
                if not taps.size:
                    taps = np.zeros((n_out, 1), np.uint8)
                taps = np.hstack([taps, shortcut_weights[channels]])
                shortcut = None
                if added:
                    shortcut = self._shortcut(added, lines, positions, group)
                    shortcut = replace(shortcut, page=shortcut_page)
                made = self._pass(
                    name,
                    source,
                    lines,
                    positions,
                    group,
                    skips_zeros=self._skips_zeros(group, page, shortcut),
                )
                made = self._with_idle(name, replace(made, shortcut=shortcut))
                per_channel = layer.thresholds is not None and layer.thresholds.ndim == 2
                made = replace(
                    made,
                    page=page,
                    weight_start=self._add_weights(taps),
                    bias_start=len(self.biases),
                    threshold_start=shared_start,
                    thresholds_per_channel=per_channel,
                )
                if per_channel:
                    assert layer.thresholds is not None, "they are for each channel"
                    start = self._add_thresholds(layer.thresholds[channels])
                    made = replace(made, threshold_start=start)
                biases = layer.bias[channels].astype(np.int64)
                if not self.settings.skips_zeros:
                    # A weight with a sign adds the complement of its product: 1 less than wanted.
                    biases += (taps >> self.settings.magnitude_bits).sum(axis=1, dtype=np.int64)
                self.biases += biases.tolist()
                yield made

    def _skips_zeros(self, group: Group, page: int, shortcut: Shortcut | None) -> bool:
        """Return whether a pass can: its groups of levels lie together, and zeros add nothing."""
        if not self.settings.skips_zeros or not self.tables.adds_nothing_at_level_0(page):
            return False
        if group.n_in % GROUP:
            return False
        if shortcut is None:
            return True
        # Straight on, a block reads as many levels as it has lanes: one that is not full would read
        # what is no level of this sample, which adds nothing but may be no zero.
        is_whole = shortcut.fan_in > 1 or group.n_out % shortcut.n_levels == 0
        adds_nothing = self.tables.adds_nothing_at_level_0(shortcut.page)
        return is_whole and shortcut.is_in_groups and adds_nothing

    def _shortcut_weights(self, added: Branches, n_out: int) -> tuple[int, NDArray[np.uint8]]:
        """Return the page of a shortcut's table and its weights, shape (channels, levels)."""
        taps = shortcut_taps(
            added.shortcut,
            self.network.shapes[added.shortcut.source],
            n_out,
            min(self.settings.channel_lanes, n_out),
        )
        page, weight_of_index = self.tables.add(added.shortcut_name, taps)
        return page, weight_of_index[taps.weight_index]

    def _shortcut(self, added: Branches, lines: Axis, positions: Axis, group: Group) -> Shortcut:
        source = added.shortcut.source
        first = group.first_out if is_straight(added.shortcut) else 0
        return shortcut_walk(
            added.shortcut,
            self.network.shapes[source],
            self.maps.place(source) + first,
            lines,
            positions,
            min(self.settings.channel_lanes, group.n_out),
            self.settings.position_lanes,
        )

    def _add_weights(self, taps: NDArray[np.uint8]) -> int:
        """Add the weights of channels, shape (channels, taps); return the first word's address."""
        n_channels, n_taps = taps.shape
        lanes = self.settings.channel_lanes
        start = sum(map(len, self.weights))
        if self.settings.skips_zeros and start % GROUP:
            self.weights.append(np.zeros((GROUP - start % GROUP, lanes), np.uint8))
            start += len(self.weights[-1])
        padded = np.zeros((-(-n_channels // lanes) * lanes, n_taps), np.uint8)
        padded[:n_channels] = taps
        words = padded.reshape(-1, lanes, n_taps).swapaxes(1, 2)
        self.weights.append(words.reshape(-1, lanes))
        return start

    def _add_thresholds(self, thresholds: NDArray[np.integer]) -> int:
        """Add sets of thresholds, shape (sets, levels - 1); return the first one's address."""
        greatest = (1 << self.settings.sum_bits - 1) - 1  # no sum reaches it: _check_sums
        start = sum(map(len, self.thresholds))
        padded = np.full((len(thresholds), self.settings.rows - 1), greatest, np.int64)
        padded[:, : thresholds.shape[1]] = np.clip(thresholds, -greatest - 1, greatest)
        self.thresholds.append(padded)
        return start

    def _pass(
        self,
        name: str,
        source: Map,
        lines: Axis,
        positions: Axis,
        group: Group,
        *,
        is_greatest: bool = False,
        skips_zeros: bool = False,
    ) -> Pass:
        """Return the pass without what lies in the memories of weights, biases and thresholds."""
        result = self._result(name)
        made = bare_pass(
            name,
            self.settings,
            source,
            Map(self.network.shapes[name], self.maps.place(name)),
            lines,
            positions,
            group,
            result,
            is_greatest=is_greatest,
            skips_zeros=skips_zeros,
        )
        if result != "map":
            self._order_outputs(name, lines, positions, group, made.n_channels)
        return made

    def _with_idle(self, name: str, made: Pass) -> Pass:
        """Let the sums of each block leave before the next ones come."""
        waited = 0 if self.settings.skips_zeros else made.sums(self.settings) - made.taps
        made = replace(made, idle=max(1, waited))
        check_counts(name, made, self.settings)
        return made

    def _order_outputs(
        self, name: str, lines: Axis, positions: Axis, group: Group, n_channels: int
    ) -> None:
        """Note which of the network's outputs come when."""
        _, out_height, out_width = self.network.shapes[name]
        if self.network.output.kind == "class" and (
            self.output_order or out_height * out_width > 1
        ):
            raise UserError(
                f"{name} gives the class by more than one pass, which the folded engine cannot do: "
                "end the network with a dense layer."
            )
        for first in range(0, group.n_out, n_channels):
            channels = group.first_out + np.arange(first, min(first + n_channels, group.n_out))
            y = lines.out_start + lines.out_stride * np.arange(lines.count)
            x = positions.out_start + positions.out_stride * np.arange(positions.count)
            order = (channels * out_height + y[:, None, None]) * out_width + x[:, None]
            self.output_order += order.ravel().tolist()
