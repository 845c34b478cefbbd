"""Compare nomul with others, and write docs/comparison.md. Run from the repository's root::

python -m benchmarks.compare

The others are installed by ``pip install -c constraints.txt -e ".[compare]"``, as ``make compare``
does. Finished rows are kept in runs/compare, so an interrupted comparison goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.compare.page import COMMAND, PICTURE, draw, pairs, write_page
from benchmarks.compare.rows import TOOLS, Row, make_row, tasks
from nomul.train import load_dataset

FOLDER = Path("runs/compare")
DOCS = Path("docs")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time (default 2)")
    parser.add_argument("--only", default="", help="rows whose kind or name holds this text")
    options = parser.parse_args()
    chosen = [task for task in tasks() if options.only in f"{task.kind} {task.name}"]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        found = list(pool.map(partial(make_row, folder=FOLDER), chosen))
    rows = [row for row in found if isinstance(row, Row)]
    failures = [row for row in found if isinstance(row, str)]
    for failure in failures:
        print(failure, file=sys.stderr)
    versions = {name: version(name) for name in TOOLS}
    page = write_page(rows, versions, _majorities({row.dataset for row in rows}))
    if options.only:
        print(page)
    elif not failures:
        content = {
            "command": COMMAND,
            "tools": versions,
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        (DOCS / "comparison.json").write_text(json.dumps(content, indent=1) + "\n")
        (DOCS / PICTURE).write_text(draw(rows))
        (DOCS / "comparison.md").write_text(page)
        print(f"{len(pairs(rows))} networks, {len(rows)} rows: docs/comparison.md", file=sys.stderr)
    return 1 if failures else 0


def _majorities(datasets: set[str]) -> dict[str, float]:
    """Return of each data set the share of its most frequent class, in the test part."""
    shares = {}
    for name in sorted(datasets):
        classes = load_dataset(name).classes[1]
        shares[name] = float(np.bincount(classes).max() / len(classes))
    return shares


if __name__ == "__main__":
    sys.exit(main())
