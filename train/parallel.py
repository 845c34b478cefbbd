"""Training on several processes, as ``torchrun`` starts them: each takes its part of every batch.

Gradients are averaged over the processes, so that they are those of the whole batch, and one
process decides on every codebook. Batch-norm takes its statistics from each process's own part.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from nomul.network import UserError
from nomul.train.batches import Batch

__all__ = [
    "data_parallel",
    "mean_of_all_ranks",
    "own_part",
    "process_group",
    "rank",
    "same_on_all_ranks",
    "share_buffers",
]

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process: 0 where there is one alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def _world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes, if ``torchrun`` started this one; leave them in the end.

    Each process of a machine takes a GPU of its own, if there are any.

    Raises
    ------
    UserError
        If there are fewer GPUs than processes.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        n_processes, n_gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if n_processes > n_gpus:
            raise UserError(
                f"torchrun started {n_processes} processes here, and there are {n_gpus} GPUs: "
                f"start {n_gpus} processes at most."
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
        distributed.barrier()  # nobody leaves while another still listens to it
    finally:
        # What still holds on to the group must go first: its threads would abort the process.
        gc.collect()
        distributed.destroy_process_group()


def data_parallel(module: nn.Module) -> nn.Module:
    """Return a module that averages its gradients over all processes; alone, ``module`` itself."""
    if not distributed.is_initialized():
        return module
    parallel = DistributedDataParallel(module)
    # Masks are alike anyway, and statistics are needed rarely: see share_buffers. As an argument,
    # PyTorch 2.13 calls this deprecated, and versions before it do not know what it asks for.
    parallel.broadcast_buffers = False
    return parallel


def share_buffers(module: nn.Module) -> None:
    """Give all processes the first one's buffers: the statistics that batch-norms have run up."""
    if distributed.is_initialized():
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)


def own_part(batch: Batch) -> Batch:
    """Return this process's samples of a batch that all processes drew alike.

    Raises
    ------
    UserError
        If the batch cannot be divided evenly.
    """
    size = _world_size()
    if len(batch.x) % size:
        raise UserError(
            f"training.batch_size is {len(batch.x)}: {size} processes need a multiple of {size}."
        )
    return Batch(batch.x[rank() :: size], batch.target[rank() :: size])


def mean_of_all_ranks(value: Tensor) -> float:
    """Return the mean of a number of which each process has its own."""
    if distributed.is_initialized():
        value = value / _world_size()
        distributed.all_reduce(value)
    return float(value)


def same_on_all_ranks(compute: Callable[[], T]) -> T:
    """Return what ``compute`` gives the first process, in all of them.

    Raises
    ------
    UserError
        In all of them, if it does in the first.
    """
    if not distributed.is_initialized():
        return compute()
    results: list[Any] = [None, None]
    if rank() == 0:
        try:
            results[0] = compute()
        except UserError as error:
            results[1] = error
    distributed.broadcast_object_list(results)
    if results[1] is not None:
        raise results[1]
    result: T = results[0]
    return result
