"""The engines whose Verilog is broken, and networks that use all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.network import Add, Conv2d, Dense, Layer, MaxPool2d, Network, UserError
from nomul.network.layers import Weighted
from tests.hw.folded import NETWORKS, SPARSE, chain, chains
from tests.strategies import rectified

__all__ = ["ENGINE", "SKIPPING", "engine_networks"]

# As the tests' own: builds take seconds.
ENGINE = EngineSettings(
    channel_lanes=4,
    map_depth=2048,
    pages=8,
    threshold_depth=64,
    bias_depth=128,
    weight_depth=2048,
    program_depth=1024,
    weight_memory="block",
)

SKIPPING = dataclasses.replace(ENGINE, skips_zeros=True)

_N_DRAWN = 60


def engine_networks(settings: EngineSettings) -> Mapping[str, Network]:
    """Return networks that fill one memory or count each, those of the tests, and drawn ones."""
    found = {**_FULL, **NETWORKS, **_drawn(), "many inputs": _MANY_INPUTS}
    if settings.skips_zeros:
        found |= SPARSE
        found |= {f"{name}, rectified": rectified(network) for name, network in _FULL.items()}
    return {name: network for name, network in found.items() if _fits(network, settings)}


def _fits(network: Network, settings: EngineSettings) -> bool:
    if any(isinstance(layer, Add) for layer in network.layers):
        return False  # these engines have no shortcuts
    try:
        fold(network, settings)
    except UserError:
        return False
    return True


def _loud(network: Network) -> Network:
    """Return the network with products as large as an engine's."""

    def changed(layer: Layer) -> Layer:
        if not isinstance(layer, Weighted):
            return layer
        return dataclasses.replace(layer, product_table=layer.product_table * np.int32(14))

    return dataclasses.replace(network, layers=tuple(map(changed, network.layers)))


_FULL = {
    "many levels": chain(
        (1, 36, 45),
        (16, 16),
        "accumulators",
        [(Conv2d, (2, 1, 3, 3), 2, {"stride": (3, 3)}), (Dense, (3, 360), 3, {})],
    ),
    "many weights": chain(
        (500,), (16, 16), "accumulators", [(Dense, (15, 500), 15, {}), (Dense, (3, 15), 3, {})]
    ),
    "large sums": _loud(
        chain((25, 3, 4), (16,), "accumulators", [(Conv2d, (8, 25, 3, 3), 8, {"padding": (1, 1)})])
    ),
    "many classes": chain((5,), (16,), "class", [(Dense, (120, 5), 120, {})]),
    "many channels": chain(
        (3, 5, 7),
        (16, 16),
        "accumulators",
        [(Conv2d, (40, 3, 1, 1), 40, {}), (Conv2d, (3, 40, 5, 3), 3, {"padding": (0, 1)})],
    ),
    "many passes": chain(
        (24, 2, 3), (16,), "accumulators", [(Conv2d, (24, 1, 1, 2), 24, {"groups": 24})]
    ),
    "many neurons": chain(
        (5,), (16, 16), "accumulators", [(Dense, (60, 5), 60, {}), (Dense, (60, 60), 60, {})]
    ),
    "many tables": chain(
        (6,), (16,) * 7, "accumulators", [(Dense, (6, 6), 6, {}) for _ in range(7)]
    ),
    "a long line": chain(
        (1, 1, 253), (5,), "accumulators", [(Conv2d, (2, 1, 1, 7), 2, {"padding": (0, 3)})]
    ),
    "a high column": chain(
        (1, 253, 1),
        (16,),
        "accumulators",
        [
            (MaxPool2d, None, 1, {"size": (3, 1), "stride": (2, 1), "padding": (1, 0)}),
            (Conv2d, (2, 1, 60, 1), 2, {"padding": (2, 0)}),
        ],
    ),
}

_MANY_INPUTS = chain((2000,), (16,), "accumulators", [(Dense, (3, 2000), 3, {})])


def _drawn() -> Mapping[str, Network]:
    drawn: list[Network] = []

    @settings(
        max_examples=_N_DRAWN,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(chains())
    def draw(network: Network) -> None:
        drawn.append(network)

    draw()
    return {f"drawn {number}": network for number, network in enumerate(drawn)}
