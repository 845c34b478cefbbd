"""Small modules with random weights on codebooks, as training would leave them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from hypothesis import strategies as st
from torch import nn

from nomul.train.activations import Activation, ReluD, TanhD
from nomul.train.codebook import fit_codebook
from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from nomul.train.layers import Dense, InputLevels, Scale

__all__ = ["Form", "dense", "features", "few_digits", "forms", "random_module"]


@dataclass(frozen=True)
class Form:
    """What a random module is made of; its weights follow from these and the seed."""

    sizes: tuple[int, ...] = (5, 4, 3)
    input_levels: int = 4
    levels: int = 5
    activation: Literal["tanhd", "relud"] = "tanhd"
    batch_norm: bool = False
    codebook: Literal["kmeans", "grid"] = "kmeans"
    codebook_size: int = 7
    pruned: bool = False
    scale: float | None = None
    seed: int = 0


forms = st.builds(
    Form,
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    input_levels=st.sampled_from((2, 3, 4, 16, 256)),
    levels=st.sampled_from((2, 3, 4, 5, 32, 256)),
    activation=st.sampled_from(("tanhd", "relud")),
    batch_norm=st.booleans(),
    codebook=st.sampled_from(("kmeans", "grid")),
    codebook_size=st.sampled_from((3, 5, 101)),
    pruned=st.booleans(),
    scale=st.sampled_from((None, 1.0, 0.25, 8.0)),
    seed=st.integers(0, 1000),
)


def dense(
    n_inputs: int,
    n_neurons: int,
    codebook: Literal["kmeans", "grid"] = "kmeans",
    size: int = 7,
    *,
    pruned: bool = False,
) -> Dense:
    """Return a layer whose weights have been clustered, half of them pruned before if asked."""
    layer = Dense(n_inputs, n_neurons)
    if pruned:
        layer.mask.copy_(torch.rand_like(layer.mask).round())
    weights = layer.used_weights()
    fitted = fit_codebook(codebook, weights, size, with_zero=pruned)
    layer.cluster(fitted)
    layer.fix_codebook(fitted)
    # No bias beyond the greatest weight: in units of tiny weights a sum would leave 32 bits.
    nn.init.uniform_(layer.bias, -1.0, 1.0)
    with torch.no_grad():
        layer.bias.mul_(float(abs(fitted.centres).max()))
    return layer


def _activation(form: Form) -> Activation:
    return TanhD(form.levels) if form.activation == "tanhd" else ReluD(form.levels, ceiling=1.5)


def random_module(form: Form) -> nn.Sequential:
    """Return a module in evaluation mode whose batch-norms have statistics of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(form.seed)
        modules: list[nn.Module] = [InputLevels.uniform(-1.0, 2.0, form.input_levels)]
        n_inputs = form.sizes[0]
        for number, n_neurons in enumerate(form.sizes[1:], 2):
            modules.append(
                dense(n_inputs, n_neurons, form.codebook, form.codebook_size, pruned=form.pruned)
            )
            n_inputs = n_neurons
            if number == len(form.sizes):
                break
            if form.batch_norm:
                norm = nn.BatchNorm1d(n_neurons)
                with torch.no_grad():
                    norm.weight.uniform_(0.1, 3.0)
                    norm.bias.normal_()
                    assert norm.running_mean is not None
                    assert norm.running_var is not None
                    norm.running_mean.normal_()
                    norm.running_var.uniform_(0.05, 4.0)
                modules.append(norm)
            modules.append(_activation(form))
        if form.scale is not None:
            scale = Scale()
            nn.init.constant_(scale.logarithm, torch.tensor(form.scale).log().item())
            modules.append(scale)
    return nn.Sequential(*modules).eval()


def features(form: Form, n_samples: int = 40) -> torch.Tensor:
    """Return samples, float64: random ones, and ones on the thresholds and beyond the range."""
    generator = torch.Generator().manual_seed(form.seed)
    n_inputs = form.sizes[0]
    x = torch.rand((n_samples, n_inputs), generator=generator, dtype=torch.float64) * 4 - 1.5
    thresholds = InputLevels.uniform(-1.0, 2.0, form.input_levels).thresholds
    chosen = torch.randint(len(thresholds), (n_samples, n_inputs), generator=generator)
    edges = torch.full((2, n_inputs), torch.inf, dtype=torch.float64)
    edges[1] = -torch.inf
    return torch.cat([x, thresholds[chosen], edges])


def few_digits(n_samples: int = 200) -> Dataset:
    """Return the digits with fewer samples to train on."""
    digits = load_dataset("digits")
    classes, _ = digits.classes
    return dataclasses.replace(
        digits,
        train_features=digits.train_features[:n_samples],
        train_classes=classes[:n_samples],
    )
