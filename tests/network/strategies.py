"""Random networks of every form, small enough for plain Python."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st

from nomul.network import Input, Network
from nomul.network.model import OutputKind
from tests.networks import random_network

__all__ = ["networks"]


@st.composite
def networks(draw: st.DrawFn, max_layers: int = 3, max_size: int = 4) -> Network:
    """Draw a network: every output kind, shared thresholds or each feature's own, repeats too."""
    kind: OutputKind = draw(st.sampled_from(("class", "accumulators", "levels")))
    size = st.integers(1, max_size)
    sizes = draw(st.lists(size, min_size=2, max_size=max_layers + 1))
    n_level_counts = len(sizes) - (0 if kind == "levels" else 1)
    level_count = st.sampled_from((2, 3, 4, 256))
    counts = draw(st.lists(level_count, min_size=n_level_counts, max_size=n_level_counts))
    network = random_network(
        tuple(sizes),
        tuple(counts),
        seed=draw(st.integers(0, 1000)),
        n_centres=draw(st.integers(1, 6)),
        output=kind,
        factored=draw(st.booleans()),
    )
    prefix = draw(st.sampled_from(((), (1,), (sizes[0],))))
    step = st.sampled_from((0.0, 0.25, 1.0))
    n_thresholds = int(np.prod(prefix, dtype=int)) * (counts[0] - 1)
    steps = draw(st.lists(step, min_size=n_thresholds, max_size=n_thresholds))
    thresholds = np.array(steps).reshape(*prefix, counts[0] - 1).cumsum(-1) - 1.0
    return dataclasses.replace(network, input=Input((sizes[0],), thresholds))
