"""The training loop: float training between clusterings, ending on the codebook.

Baluja et al. 2018, section 2: every fixed number of steps the weights are replaced by their
nearest centres; between, training is ordinary. After that, optionally, the codebook is fixed and
the forward pass uses it (straight-through estimation).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from nomul.network import UserError
from nomul.train.checkpoint import Checkpoint, identity, load_checkpoint, save_checkpoint
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.parallel import rank, same_on_all_ranks
from nomul.train.run import Run

__all__ = ["train"]

Progress = Callable[[int, int], None]


def train(
    experiment: Experiment,
    dataset: Dataset,
    *,
    discretized: bool,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> nn.Sequential:
    """Train the experiment's network and return it in evaluation mode, on the CPU.

    The same experiment and data give the same network on the same machine, whether or not the
    training was interrupted. It runs on a GPU where there is one; some of its sums have no fixed
    order there, so that two trainings may differ by rounding.

    Parameters
    ----------
    discretized
        False for the float twin: same layers, start, batches, noise and budget, but continuous
        activations, free weights and no pruning.
    progress
        Called after each step with the steps done and their number, by the first of several
        processes.
    checkpoint
        File in which the state is kept on the way, and from which training goes on if it is there.

    Returns
    -------
    nn.Sequential
        Takes features, shape (samples, *feature shape), and gives one number for each class or
        feature. If discretized, every weight is a centre of its scope's codebook.

    Raises
    ------
    UserError
        If the settings do not fit the data or each other, the loss is no number any more, or the
        checkpoint is another's.
    """
    run = Run(experiment, dataset, discretized)
    of = identity(experiment, dataset, discretized=discretized)

    def found() -> Checkpoint | None:
        if checkpoint is None or not checkpoint.exists():
            return None
        return load_checkpoint(checkpoint, of)

    state = same_on_all_ranks(found)
    if state is not None:
        run.restore(state)
    n_steps, every = experiment.training.steps, experiment.training.checkpoint_every
    # Dropout draws from PyTorch's own generators: whoever calls this keeps theirs.
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        run.seed()
        try:
            while run.step < n_steps and not run.has_stopped:
                run.advance()
                if rank() == 0 and progress is not None:
                    progress(run.step, n_steps)
                saves = run.step % every == 0 or run.step == n_steps or run.has_stopped
                if rank() == 0 and checkpoint is not None and saves:
                    save_checkpoint(run.state(), checkpoint, of)
            return run.finished()
        except UserError as error:
            if checkpoint is None or not checkpoint.exists():
                raise
            raise UserError(f"{error} The last good state is in {checkpoint}.") from error
