"""AlexNet, whole: examples/alexnet.toml lowered and counted as the method's authors count it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nomul.network import memory_account
from nomul.sim.golden import evaluate
from nomul.train import Dataset, exact, load_experiment, lower
from nomul.train.codebook import fit_codebook
from nomul.train.layers import weighted_layers
from nomul.train.modules import build_module

EXPERIMENT = Path(__file__).parents[1] / "examples" / "alexnet.toml"


@pytest.mark.slow
def test_alexnet_is_lowered_whole_and_takes_the_memory_that_was_published() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224)).astype(np.uint8)
    dataset = Dataset("random", pictures, np.arange(2), pictures, np.arange(2))
    module = build_module(load_experiment(EXPERIMENT), dataset, discretized=True)
    layers = weighted_layers(module)
    codebook = fit_codebook("kmeans", np.concatenate([x.used_weights() for x in layers]), 1000)
    for layer in layers:
        layer.fix_codebook(codebook)
        layer.cluster(codebook)
    exact_module = exact(module)
    network = lower(exact_module, pictures.shape[1:])

    account = memory_account(network)
    n_weights = sum(layer.weight.numel() for layer in layers)
    # AlexNet in one column has 61,100,840 parameters, biases included (torchvision says so too).
    assert account.float_network == 32 * 61_100_840
    # Baluja et al. 2018: 10 bits for each weight in the place of 32, and a table of 33 x 1,000.
    assert account.weight_indices == 10 * n_weights
    assert account.weight_indices / (32 * n_weights) == 0.3125
    assert account.paper_entries == 33 * 1000
    assert account.ratio < 0.3135

    with torch.no_grad():
        given = exact_module(torch.from_numpy(pictures[:1])).argmax(dim=1).numpy()
    assert (given == evaluate(network, pictures[:1])).all()
