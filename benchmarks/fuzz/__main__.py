"""Fuzz parsers, and write docs/fuzzing.md and docs/fuzzing.json. Run from the root::

    python -m benchmarks.fuzz [INPUTS]

Without a number, a million inputs: some half an hour. atheris comes with
``pip install -c constraints.txt -e ".[fuzz]"``. What is found lies in runs/fuzz: the corpora, each
target's log and, below ``findings``, the inputs that break a rule.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fuzz.lines import reached_lines
from benchmarks.fuzz.page import Found, write_page
from benchmarks.fuzz.targets import TARGETS
from benchmarks.fuzz.worker import INPUT_SECONDS, MEMORY_BYTES
from nomul.network.files import write_complete

COMMAND = "python -m benchmarks.fuzz"
INPUTS = 1_000_000
KEPT = Path("runs/fuzz")
LIMITS = (INPUT_SECONDS, MEMORY_BYTES >> 20, 4)
"""Seconds of an input; MiB of memory; processes beside each other."""

_SEEDS = (1, 2)
"""Of the processes that share a target's inputs."""


def main() -> int:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else INPUTS
    shutil.rmtree(KEPT, ignore_errors=True)
    parts = [(name, seed) for name in TARGETS for seed in _SEEDS]
    with ThreadPoolExecutor(LIMITS[-1]) as pool:
        list(pool.map(lambda part: _fuzz(part[0], part[1], total), parts))
    return write_results()


def _fuzz(name: str, seed: int, total: int) -> None:
    """Fuzz one target with its share of all inputs, in a process of its own."""
    folder = KEPT / name / str(seed)
    folder.mkdir(parents=True)
    runs = round(TARGETS[name].share * total / len(_SEEDS))
    command = [sys.executable, "-m", "benchmarks.fuzz.worker", name, str(runs), str(seed)]
    with (folder / "log").open("wb") as messages:
        ended = subprocess.run(
            [*command, str(folder)],
            stdout=messages,
            stderr=messages,
            check=False,
            start_new_session=True,  # Linux shares a processor out among sessions
        )
        messages.write(f"\nexit code {ended.returncode}\n".encode())
    print(name, seed, ended.returncode, file=sys.stderr, flush=True)


def write_results() -> int:
    """Write the page of what lies in runs/fuzz; return 1 if there are findings."""
    found = {name: _found(name) for name in TARGETS}
    page = write_page(found, COMMAND, version("atheris"), LIMITS)
    content = {
        "command": COMMAND,
        "atheris": version("atheris"),
        "targets": {name: dataclasses.asdict(row) for name, row in found.items()},
    }
    write_complete(Path("docs/fuzzing.json"), json.dumps(content, indent=1) + "\n")
    write_complete(Path("docs/fuzzing.md"), page)
    print(page)
    return int(any(row.findings for row in found.values()))


def _found(name: str) -> Found:
    """Return what came of one target, from the files that its processes left."""
    target, folders = TARGETS[name], sorted((KEPT / name).iterdir())
    reports = [json.loads((folder / "report.json").read_text()) for folder in folders]
    logs = [(folder / "log").read_text(errors="replace") for folder in folders]
    kept = {path.read_bytes() for folder in folders for path in (folder / "corpus").iterdir()}
    findings = [finding for log in logs for finding in _findings(log)]
    if any(report["files_left"] != report["files_made"] for report in reports):
        findings.append("files beside the input")
    edges = re.findall(r"^#\d+\s.* cov: (\d+)", "\n".join(logs), re.MULTILINE)
    with TemporaryDirectory() as work:
        lines, lines_of = reached_lines(target, sorted(kept), Path(work))
    return Found(
        what=target.what,
        inputs=sum(report["inputs"] for report in reports),
        taken=sum(report["taken"] for report in reports),
        seconds=sum(report["seconds"] for report in reports),
        corpus=len(kept),
        edges=max(map(int, edges), default=0),
        lines=lines,
        lines_of=lines_of,
        slowest_seconds=max(report["slowest_seconds"] for report in reports),
        peak_mib=max(report["peak_mib"] for report in reports),
        findings=tuple(findings),
    )


def _findings(log: str) -> list[str]:
    """Return what a process raised, from its log; or else how it ended, if it failed."""
    raised = re.findall(r"^ === Uncaught Python exception: ===\n(.*)$", log, re.MULTILINE)
    ended = log.splitlines()[-1]
    return raised or ([] if ended == "exit code 0" else [ended])


if __name__ == "__main__":
    sys.exit(main())
