"""A training on its way: what one step does, and what the next one depends on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from nomul.network import UserError
from nomul.train.batches import Batch, Batches, split_validation, tensor_of
from nomul.train.checkpoint import Checkpoint
from nomul.train.checks import check_not_empty, check_settings
from nomul.train.cost_term import weight_bits
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.layers import InputLevels, weighted_layers
from nomul.train.lookup import Lookup
from nomul.train.modules import build_module
from nomul.train.parallel import (
    data_parallel,
    mean_of_all_ranks,
    own_part,
    same_on_all_ranks,
    share_buffers,
)
from nomul.train.pruning import prune, prune_to_cost
from nomul.train.schedules import (
    cluster_steps,
    codebook_size,
    fixing_step,
    learning_rate,
    pruning_steps,
)
from nomul.train.scopes import fit_codebooks

__all__ = ["Run"]

BATCH_NORM_SCALE_MIN = 1e-3
"""Least scale of a batch-norm: a positive one keeps the step function that it joins rising."""

PRUNING_SAMPLES = 2_000
"""Training samples on which inputs are weighed, at most."""


class Run:
    """The module, the optimizer, the batches and the schedules of one training.

    Parameters
    ----------
    discretized
        False for the float twin, which is neither pruned nor clustered, nor counts costs.

    Attributes
    ----------
    step
        Steps done.
    has_stopped
        Whether the validation part has shown no better loss for long enough.

    Raises
    ------
    UserError
        If the settings do not fit the data or each other.
    """

    def __init__(self, experiment: Experiment, dataset: Dataset, discretized: bool) -> None:
        self.experiment = experiment
        self.settings = experiment.training
        self.discretized = discretized
        self.step = 0
        self.module = build_module(experiment, dataset, discretized=discretized)
        self.layers = weighted_layers(self.module)
        self.inputs, *rest = self.module
        assert isinstance(self.inputs, InputLevels), "build_module begins with it"
        self.trunk = nn.Sequential(*rest)
        sample = self.inputs(tensor_of(dataset.train_features[:1]))
        check_settings(self.trunk, experiment, sample)
        if discretized:
            for layer in self.layers:
                layer.clusters_bias = experiment.codebook.biases == "clustered"
        training, self._validation = split_validation(self.settings, len(dataset.train_features))
        self._validates = self.settings.patience > 0 and len(self._validation) > 0
        self.batches = Batches(experiment, dataset, self.inputs, training)
        self._features = dataset.train_features
        self.best: dict[str, Any] = {}
        self._generators: list[Tensor] = []
        self._counts_cost = discretized and self.settings.cost > 0 and bool(self.layers)

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # In this order of the axes a CPU's convolutions are faster; what several processes share
        # of their gradients has the other one.
        self._orders = not distributed.is_initialized()
        order = torch.channels_last if self._orders else torch.contiguous_format
        self.trunk.to(self._device, memory_format=order)  # type: ignore[call-overload]
        self.module.train()
        decayed = [layer.weight for layer in self.layers]
        free = [p for p in self.trunk.parameters() if not any(p is w for w in decayed)]
        self._lookups = [layer for layer in self.trunk.modules() if isinstance(layer, Lookup)]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.settings.weight_decay},
                {"params": free, "weight_decay": 0.0},
            ],
            self.settings.learning_rate,
            fused=bool(self._lookups),  # ten times as fast for their millions of scores
        )
        self._forward = self._parallel()
        self._connecting_end = round(self.settings.connect_until * self.settings.steps)
        self._pruning_steps = pruning_steps(experiment) if discretized else {}
        self._cluster_steps = cluster_steps(self.settings) if discretized else frozenset()
        self._fixing_step = fixing_step(self.settings) if discretized else self.settings.steps

    @property
    def has_stopped(self) -> bool:
        return bool(self.best) and self.best["age"] >= self.settings.patience

    @property
    def _has_its_form(self) -> bool:
        """Whether weights are as few as they will be, and on a codebook if it is to be fixed."""
        is_pruned = self.step > max(self._pruning_steps, default=-1)
        return is_pruned and (self.step > self._fixing_step or self._is_never_fixed)

    @property
    def _is_never_fixed(self) -> bool:
        return self._fixing_step >= self.settings.steps

    def seed(self) -> None:
        """Set PyTorch's own generator as the run needs it."""
        torch.manual_seed(self.settings.seed)
        if self._generators:
            torch.set_rng_state(self._generators[0])
            if torch.cuda.is_available() and len(self._generators) > 1:
                torch.cuda.set_rng_state(self._generators[1])

    def advance(self) -> None:
        """Take one step."""
        self._prepare_weights()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.settings)
        batch = own_part(self.batches.draw())
        loss = self._loss(self._forward, batch)
        if self._counts_cost:
            loss = loss + self.settings.cost * weight_bits(self.layers)
        self._check_loss(mean_of_all_ranks(loss.detach()))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._keep_in_range()
        self.step += 1
        if self._validates and self.step % self.settings.validate_every == 0 and self._has_its_form:
            self._validate()

    def state(self) -> Checkpoint:
        """Return all that :meth:`restore` needs, unless it would be of no use.

        Raises
        ------
        UserError
            If a weight is not a finite number.
        """
        self._check_weights()
        generators = [torch.get_rng_state()]
        if torch.cuda.is_available():
            generators.append(torch.cuda.get_rng_state())
        return Checkpoint(
            self.step,
            self.module.state_dict(),
            self.optimizer.state_dict(),
            self.batches.generator.get_state(),
            generators,
            self.best,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        self.step = checkpoint.step
        self.module.load_state_dict(checkpoint.module)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.batches.generator.set_state(checkpoint.batches)
        self._generators = checkpoint.dropout
        self.best = checkpoint.best

    def finished(self) -> nn.Sequential:
        """Return the module as it is to be used, on the CPU: its best state, clustered."""
        self._check_weights()
        share_buffers(self.trunk)
        if self.best:
            self.module.load_state_dict(self.best["module"])
        self.module.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if self.discretized:
            self._cluster_for_good()
        return self.module.eval()

    def _parallel(self) -> Callable[[Tensor], Tensor]:
        """Return the forward pass, over all processes and compiled if wanted."""
        forward: Callable[[Tensor], Tensor] = data_parallel(self.trunk)
        return torch.compile(forward) if self.settings.compile else forward

    def _prepare_weights(self) -> None:
        """Prune, fix connections or codebooks, or cluster, where this step comes after that."""
        if self.step >= self._connecting_end and any(
            layer.score.requires_grad for layer in self._lookups
        ):
            for lookup in self._lookups:
                lookup.fix_connections()
            self._forward = self._parallel()  # which parameters have gradients is asked here
        multiple = self._pruning_steps.get(self.step)
        if multiple is not None:
            network = self.experiment.network
            share_buffers(self.trunk)
            x = self.inputs(tensor_of(self._features[:PRUNING_SAMPLES])).to(self._device)
            if network.fan_in:
                prune(self.trunk, tuple(multiple * n for n in network.fan_in), x)
            else:
                prune_to_cost(self.trunk, multiple * network.operand_bits, x)
                check_not_empty(self.trunk, self.experiment)
        size = codebook_size(self.step, self.experiment.codebook, self.settings)
        if self.step == self._fixing_step:
            for layer, codebook in fit_codebooks(self.layers, self.experiment, size):
                layer.fix_codebook(codebook)
        elif self.step in self._cluster_steps:
            for layer, codebook in fit_codebooks(self.layers, self.experiment, size):
                layer.cluster(codebook)

    def _cluster_for_good(self) -> None:
        """Put every weight on its codebook, which is fixed now if it was not before."""
        if any(layer.codebook is None for layer in self.layers):
            size = self.experiment.codebook.size
            for layer, codebook in fit_codebooks(self.layers, self.experiment, size):
                layer.fix_codebook(codebook)
        for layer in self.layers:
            assert layer.codebook is not None, "it was fixed on the way, or just now"
            layer.cluster(layer.codebook)

    def _check_loss(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"The loss is {loss} at step {self.step}: lower training.learning_rate, or look "
                "for features far from all others."
            )

    def _check_weights(self) -> None:
        if not all(bool(torch.isfinite(p).all()) for p in self.trunk.parameters()):
            raise UserError(
                f"A weight is no finite number after step {self.step - 1}: lower "
                "training.learning_rate, or look for features far from all others."
            )

    def _loss(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        x, target = batch.x.to(self._device), batch.target.to(self._device)
        if self._orders and x.ndim == 4:
            x = _channels_last(x)
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"
        ):
            y = forward(x).float().flatten(1)
        if target.dtype == torch.int64:
            smoothing = self.settings.label_smoothing
            return functional.cross_entropy(y, target, label_smoothing=smoothing)
        return functional.mse_loss(y, target)

    @torch.no_grad()
    def _validate(self) -> None:
        """See whether the network, if it ended here, would be better than before."""
        share_buffers(self.trunk)
        state = copy.deepcopy(self.module.state_dict())
        clusters = self.discretized and self._is_never_fixed
        if clusters:
            self._cluster_for_good()
        self.module.eval()
        total = sum(
            float(self._loss(self.trunk, batch)) * len(batch.x)
            for batch in self.batches.all_of(self._validation)
        )
        self.module.train()
        if clusters:
            self.module.load_state_dict(state)
        total = same_on_all_ranks(lambda: total)
        self._check_loss(total)
        if self.best and total >= self.best["loss"]:
            self.best["age"] += 1
        else:
            self.best = {"loss": total, "module": state, "age": 0}

    @torch.no_grad()
    def _keep_in_range(self) -> None:
        for lookup in self._lookups:
            lookup.keep_in_range()
        for layer in self.trunk.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.weight.clamp_(min=BATCH_NORM_SCALE_MIN)


def _channels_last(x: Tensor) -> Tensor:
    """Return pictures with their channels next to each other in memory, and strides that say so.

    Of a single channel PyTorch leaves the strides as they are, and convolves in the slower order.
    """
    n_samples, channels, height, width = x.shape
    ordered = x.contiguous(memory_format=torch.channels_last)
    strides = (channels * height * width, 1, channels * width, channels)
    return ordered.as_strided((n_samples, channels, height, width), strides)
