"""The numbers of docs/results.md: experiments and their variants over seeds, beside float twins."""

from __future__ import annotations

import dataclasses
import shlex
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nomul.cli.curve import curve_name, curves, draw_curve
from nomul.cli.result_row import ResultRow, read_rows, rows_as_json
from nomul.cli.steps import say
from nomul.cli.training import (
    METRICS,
    experiment_data,
    say_notes,
    train_discretized,
    train_twin,
)
from nomul.network import Network, UserError, memory_account
from nomul.network.encoded import encoded_size
from nomul.network.files import write_complete
from nomul.train.codebook import centres_used
from nomul.train.dataset import Dataset
from nomul.train.experiment import DataSettings, Experiment
from nomul.train.experiment_file import load_variants
from nomul.train.layer_settings import ClassSumSettings, LookupSettings
from nomul.train.twin import twin_of

__all__ = ["add_results", "measure_variants", "results_page"]

_INTRODUCTION = """\
# Results

Every network here was trained by its command, which writes this page. Each row is the
mean ± standard deviation over seeds, on the test part, of the deployed network (integers
only; PyTorch and golden model agreed on every test sample) and of its float twin: the
same layers, start, batches and budget, with continuous activations and free weights, and dense
layers of as many tanh neurons in the place of lookups. |A| is the number of levels; codebooks are
given with |W|, lookups as fan-in x neurons. "Memory" and "encoded" are shares of the float
network's weights and biases in float32: with everything counted (indices, tables, biases,
thresholds), and by the bytes of the encoded file.
"""


def add_results(paths: Iterable[Path], n_seeds: int, docs: Path) -> list[ResultRow]:
    """Measure experiments, and rewrite ``results.json`` and ``results.md`` after each row.

    Rows of other measurements stay as they are.

    Parameters
    ----------
    docs
        The folder of both files and of the curves that results.md shows.

    Returns
    -------
    list
        The rows that were measured.

    Raises
    ------
    UserError
        If there is no seed, or an experiment or its data cannot be used.
    CheckFailed
        If PyTorch and the golden model differ anywhere.
    """
    if n_seeds < 1:
        raise UserError(f"--seeds is {n_seeds}: at least one is needed.")
    # What can be refused is, before hours of training.
    plans = {path: load_variants(path) for path in paths}
    _check_identities(plans)
    read_rows(docs / "results.json")
    say_notes(variant for variants in plans.values() for variant in variants)
    measured = []
    for path, variants in plans.items():
        for row in measure_variants(path, variants, n_seeds):
            measured.append(row)
            _write(row, docs)
    return measured


def measure_variants(
    path: Path, variants: Sequence[Experiment], n_seeds: int
) -> Iterator[ResultRow]:
    """Yield a row for each variant of the experiment in ``path``.

    Twins that would be trained alike, as those of variants in levels and codebook, are trained
    once.
    """
    twins: dict[Experiment, float] = {}
    datasets: dict[DataSettings, Dataset] = {}
    for variant in variants:
        experiment, levels, codebook, scope = _identity(path, variant)
        if variant.data not in datasets:
            datasets[variant.data] = experiment_data(variant)
        dataset = datasets[variant.data]
        floats, scores, ratios = [], [], []
        for seed in range(n_seeds):
            seeded = dataclasses.replace(
                variant, training=dataclasses.replace(variant.training, seed=seed)
            )
            say(f"{experiment}, |A| = {levels}, {codebook}, {scope}, seed {seed}")
            same = twin_of(seeded)
            if same not in twins:
                twins[same] = train_twin(seeded, dataset)
            trained = train_discretized(seeded, dataset)
            floats.append(twins[same])
            scores.append(trained.score)
            ratios.append(_ratios(trained.network))
        yield ResultRow(
            experiment=experiment,
            levels=levels,
            codebook=codebook,
            scope=scope,
            seeds=n_seeds,
            metric=METRICS[variant.network.task],
            float_mean=statistics.fmean(floats),
            float_std=_deviation(floats),
            mean=statistics.fmean(scores),
            std=_deviation(scores),
            memory_ratio=statistics.fmean(memory for memory, _ in ratios),
            encoded_ratio=statistics.fmean(encoded for _, encoded in ratios),
            command=f"nomul results {shlex.quote(str(path))} --seeds {n_seeds}",
        )


def results_page(rows: list[ResultRow], with_curves: bool = True) -> str:
    """Return docs/results.md: a table for each metric, and the curves beside it."""
    lines = [_INTRODUCTION.rstrip()]
    for metric, title, compared in (
        ("accuracy", "Classification: accuracy in %, and the difference in points", "difference"),
        (
            "squared_error",
            "Auto-encoders: mean squared error × 1000 of features scaled to 0..1",
            "ratio",
        ),
    ):
        chosen = [row for row in rows if row.metric == metric]
        if chosen:
            lines += [
                "",
                f"## {title}",
                "",
                f"| experiment | \\|A\\| | codebook, scope | seeds | float | discretized "
                f"| {compared} | memory | encoded |",
                "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
                *map(_table_row, chosen),
            ]
    for experiment in curves(rows) if with_curves else ():
        lines += ["", f"![Squared error of {experiment} over |A|]({curve_name(experiment)})"]
    commands = sorted({row.command for row in rows})
    lines += ["", "## Commands", "", "```sh", *commands, "```", ""]
    return "\n".join(lines)


def _table_row(row: ResultRow) -> str:
    if row.metric == "accuracy":
        scale, digits, compared = 100, 2, f"{100 * row.compared:+.2f}"
    else:
        scale, digits, compared = 1000, 3, f"{row.compared:.4f}"
    floats, scores = (
        f"{scale * mean:.{digits}f} ± {scale * std:.{digits}f}"
        for mean, std in ((row.float_mean, row.float_std), (row.mean, row.std))
    )
    return (
        f"| {row.experiment} | {row.levels} | {row.codebook}, {row.scope} | {row.seeds} "
        f"| {floats} | {scores} | {compared} "
        f"| {row.memory_ratio:.3f} | {row.encoded_ratio:.3f} |"
    )


def _write(row: ResultRow, docs: Path) -> None:
    others = [old for old in read_rows(docs / "results.json") if old.identity != row.identity]
    rows = sorted([*others, row], key=lambda row: row.order)
    write_complete(docs / "results.json", rows_as_json(rows))
    for experiment, own in curves(rows).items():
        write_complete(docs / curve_name(experiment), draw_curve(own))
    write_complete(docs / "results.md", results_page(rows))


def _check_identities(plans: dict[Path, tuple[Experiment, ...]]) -> None:
    """Refuse variants whose rows would take each other's place."""
    known = set()
    for path, variants in plans.items():
        for variant in variants:
            identity = _identity(path, variant)
            if identity in known:
                _, levels, codebook, scope = identity
                raise UserError(
                    f"{path} leads to two rows for |A| = {levels}, {codebook}, {scope}: variants "
                    "must differ in levels, lookups, codebook or scope, and files in their names."
                )
            known.add(identity)


def _ratios(network: Network) -> tuple[float, float]:
    """Return everything counted, and the encoded file, in proportion to the float network."""
    memory = memory_account(network)
    return memory.ratio, 8 * encoded_size(network) / memory.float_network


def _deviation(values: list[float]) -> float:
    """Return the sample standard deviation; 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _identity(path: Path, variant: Experiment) -> tuple[str, int, str, str]:
    """Return what :attr:`ResultRow.identity` will be."""
    network, codebook = variant.network, variant.codebook
    name = f"{codebook.kind} {centres_used(codebook.kind, codebook.size)}"
    lookups = [layer for layer in network.layers if isinstance(layer, LookupSettings)]
    if not lookups:
        return path.stem, network.levels, name, codebook.scope
    tables = "lookups " + ", ".join(f"{layer.fan_in} x {layer.neurons}" for layer in lookups)
    if isinstance(network.output, ClassSumSettings) and len(lookups) == len(network.layers):
        return path.stem, network.levels, tables, "neuron"  # there is nothing else
    return path.stem, network.levels, f"{tables}; {name}", codebook.scope
