"""The steps from data to network file: training, and what came out of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from nomul.cli.steps import say
from nomul.network import CheckFailed, Network, memory_account
from nomul.network.files import write_complete
from nomul.sim.golden import evaluate
from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment, notes
from nomul.train.experiment_file import MODULE_FILE, format_experiment

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "METRICS",
    "Trained",
    "experiment_data",
    "remove_checkpoints",
    "say_notes",
    "train_discretized",
    "train_into",
    "train_twin",
]

METRICS = {"classify": "accuracy", "reconstruct": "squared_error"}
"""What tells how good a network for a task is, by its name in results."""

TWIN_CHECKPOINT, DISCRETIZED_CHECKPOINT = "float.checkpoint", "discretized.checkpoint"


@dataclass(frozen=True)
class Trained:
    """A network that was trained, and how good it is on the test part.

    Attributes
    ----------
    score
        Accuracy, 0 to 1, or mean squared error of features that are scaled to 0..1.
    samples
        How many it was judged by.
    module
        What was lowered; None where it is not at hand any more.
    """

    network: Network
    score: float
    samples: int
    module: nn.Module | None = None


def say_notes(experiments: Iterable[Experiment]) -> None:
    """Tell the user, once, of each setting in whose place another value is used."""
    for note in dict.fromkeys(note for experiment in experiments for note in notes(experiment)):
        say(f"note: {note}")


def experiment_data(experiment: Experiment) -> Dataset:
    """Return the experiment's data set, enlarged and shortened as it says.

    Raises
    ------
    UserError
        If it is not there, or cannot be used.
    """
    settings = experiment.data
    dataset = load_dataset(settings.name)
    if settings.image_size:
        from nomul.train.pictures import enlarge

        dataset = enlarge(dataset, settings.image_size)
    if settings.test_samples:
        n = settings.test_samples
        classes = None if dataset.test_classes is None else dataset.test_classes[:n]
        dataset = dataclasses.replace(
            dataset, test_features=dataset.test_features[:n], test_classes=classes
        )
    return dataset


def train_twin(experiment: Experiment, dataset: Dataset, checkpoints: Path | None = None) -> float:
    """Train the experiment's float twin and return its score on the test part.

    Parameters
    ----------
    checkpoints
        Folder in which the state is kept on the way, and found again.
    """
    from nomul.train import train

    with _few_threads(experiment):
        module = train(
            experiment,
            dataset,
            discretized=False,
            progress=_progress("float twin"),
            checkpoint=checkpoints / TWIN_CHECKPOINT if checkpoints else None,
        )
        return _score(module, module[0], experiment, dataset)


def train_discretized(
    experiment: Experiment, dataset: Dataset, checkpoints: Path | None = None
) -> Trained:
    """Train the experiment's network, lower it and compare it with PyTorch on the test part.

    Parameters
    ----------
    checkpoints
        Folder in which the state is kept on the way, and found again.

    Raises
    ------
    CheckFailed
        If PyTorch and the golden model differ on a test sample.
    """
    from nomul.train import exact, lower, train

    with _few_threads(experiment):
        module = train(
            experiment,
            dataset,
            discretized=True,
            progress=_progress("discretized"),
            checkpoint=checkpoints / DISCRETIZED_CHECKPOINT if checkpoints else None,
        )
        exact_module = exact(module)
        classifies = experiment.network.task == "classify"
        shape = dataset.test_features.shape[1:]
        network = lower(exact_module, shape, "class" if classifies else "accumulators")
        n_different, n_samples = _different(exact_module, network, dataset)
        if n_different:
            raise CheckFailed(
                f"PyTorch and the golden model differ on {n_different} of {n_samples} test samples."
            )
        score = _score(exact_module, module[0], experiment, dataset)
        return Trained(network, score, n_samples, module)


def train_into(
    experiment: Experiment, folder: Path, checkpoints: Path | None = None
) -> dict[str, Any]:
    """Train the experiment's network and its float twin, and write what came out.

    ``folder`` gets the network file, the experiment with every key, the module's state, and the
    result as JSON. Of several processes that ``torchrun`` started the first alone writes.

    Parameters
    ----------
    checkpoints
        Folder in which the state is kept on the way, and found again.

    Returns
    -------
    dict
        ``accuracy_float`` and ``accuracy`` on the test set, or ``squared_error_float`` and
        ``squared_error``; ``memory_bits_float``, ``memory_bits`` and, of the encoded file,
        ``encoded_bits``; ``mismatches_torch_golden``, the test samples on which PyTorch and the
        golden model differ; ``samples``, how many there are; ``seconds``. Empty in the other
        processes.

    Raises
    ------
    CheckFailed
        If PyTorch and the golden model differ on a test sample; nothing is then written.
    """
    # Here, since evaluation does without the coder: and before the training that would be lost.
    from nomul.network.encoded import encoded_size
    from nomul.train.module_file import save_module
    from nomul.train.parallel import rank

    started = perf_counter()
    dataset = experiment_data(experiment)
    if checkpoints:
        _check_checkpoint(experiment, dataset, checkpoints / DISCRETIZED_CHECKPOINT)
    twin = train_twin(experiment, dataset, checkpoints)
    trained = train_discretized(experiment, dataset, checkpoints)
    if rank() > 0:
        return {}
    memory = memory_account(trained.network)
    metric = METRICS[experiment.network.task]
    result = {
        f"{metric}_float": twin,
        metric: trained.score,
        "memory_bits_float": memory.float_network,
        "memory_bits": memory.total,
        "encoded_bits": 8 * encoded_size(trained.network),
        "mismatches_torch_golden": 0,
        "samples": trained.samples,
        "seconds": round(perf_counter() - started, 2),
    }
    assert trained.module is not None, "it was trained just now"
    trained.network.save(folder / "network.safetensors")
    save_module(trained.module, folder / MODULE_FILE)
    write_complete(folder / "experiment.toml", format_experiment(experiment))
    write_complete(folder / "training.json", json.dumps(result, indent=2) + "\n")
    return result


def remove_checkpoints(folder: Path) -> None:
    """Remove what the training of a network and its twin kept in ``folder`` on the way."""
    for name in (TWIN_CHECKPOINT, DISCRETIZED_CHECKPOINT):
        (folder / name).unlink(missing_ok=True)


def _check_checkpoint(experiment: Experiment, dataset: Dataset, path: Path) -> None:
    """Refuse a checkpoint of the discretized network that is of no use, before the twin's hours."""
    from nomul.train.checkpoint import identity, load_checkpoint

    if path.exists():
        load_checkpoint(path, identity(experiment, dataset, discretized=True))


def _different(module: nn.Module, network: Network, dataset: Dataset) -> tuple[int, int]:
    """Count the test samples on which PyTorch and the golden model differ, and all of them."""
    import torch

    from nomul.train.batches import chunks

    n_different = 0
    with torch.no_grad():
        for x in chunks(dataset.test_features):
            given = module(x).flatten(1)
            answers = given.argmax(dim=1) if network.output.kind == "class" else given
            different = answers.numpy() != evaluate(network, x.numpy())
            n_different += int(different.reshape(len(x), -1).any(axis=1).sum())
    return n_different, len(dataset.test_features)


def _score(module: nn.Module, inputs: nn.Module, experiment: Experiment, dataset: Dataset) -> float:
    """Return how good a trained module, which may be exact, is on the test part."""
    from nomul.train import InputLevels, accuracy, squared_error

    assert isinstance(inputs, InputLevels), "a trained module begins with it"
    if experiment.network.task == "classify":
        return accuracy(module, dataset)
    return squared_error(module, dataset, inputs)


@contextmanager
def _few_threads(experiment: Experiment) -> Iterator[None]:
    """Let PyTorch use one thread where the layers are so small that more wait for each other."""
    import torch

    before = torch.get_num_threads()
    if not experiment.network.layers:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _progress(name: str) -> Callable[[int, int], None]:
    """Return what says how far a loop is, at every quarter, and where it went on if it did."""
    said: int | None = None

    def report(done: int, total: int) -> None:
        nonlocal said
        if said is None:
            said = 4 * (done - 1) // total
            if done > 1:
                say(f"  {name}: goes on from step {done - 1}")
        quarter = 4 * done // total
        if quarter > said:
            said = quarter
            say(f"  {name}: {done} of {total} steps")

    return report
