"""Fuzz one target in this process, which has a limit of memory. Started by ``benchmarks.fuzz``::

    python -m benchmarks.fuzz.worker TARGET RUNS SEED FOLDER

``FOLDER/report.json`` says how far it is; ``FOLDER/findings`` gets the input that broke a rule.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path
from random import Random

__all__ = ["INPUT_SECONDS", "MEMORY_BYTES"]

INPUT_SECONDS = 5.0
"""Processor time of an input; a finding if it takes more."""

MEMORY_BYTES = 512 << 20
"""Of address space above what the process had before the first input."""

_STOP_SECONDS = 60
_REPORT_EVERY = 1_000


class TooSlow(Exception):
    """An input took more processor time than any may."""


def main() -> None:
    import atheris

    name, runs, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    with atheris.instrument_imports(include=["nomul", "tomllib", "zipfile", "gzip"]):
        from benchmarks.fuzz.targets import TARGETS, attempt, prepare

    target = TARGETS[name]
    warnings.simplefilter("error")
    corpus, work, findings = (folder / part for part in ("corpus", "work", "findings"))
    for place in (corpus, work, findings):
        place.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(content)
    made = prepare(target, work)
    baseline_kib = _peak_kib()
    limit = _address_space() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    done = taken = 0
    slowest = 0.0
    started = time.monotonic()

    def report() -> None:
        content = {
            "inputs": done,
            "taken": taken,
            "seconds": round(time.monotonic() - started, 1),
            "slowest_seconds": round(slowest, 3),
            "peak_mib": round((_peak_kib() - baseline_kib) / 1024, 1),
            "files_made": made,
            "files_left": sorted(path.name for path in work.iterdir()),
        }
        (folder / "report.json").write_text(json.dumps(content))

    def one_input(data: bytes) -> None:
        nonlocal done, taken, slowest
        start = time.process_time()
        taken += attempt(target, data, work)
        seconds = time.process_time() - start
        done += 1
        slowest = max(slowest, seconds)
        if seconds > INPUT_SECONDS:
            raise TooSlow(f"{seconds:.1f} s for {len(data)} bytes")
        if done % _REPORT_EVERY == 0 or done == runs:
            report()

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        def native(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, len(part) + 32))

        try:
            return target.change(data, Random(seed), native)[:max_size]
        except Exception:  # parts that no longer fit each other: any other change is as good
            return native(data)[:max_size]

    arguments = [
        f"-runs={runs}",
        f"-seed={seed}",
        f"-max_len={target.max_bytes}",
        f"-timeout={_STOP_SECONDS}",
        "-rss_limit_mb=0",  # RLIMIT_AS is stricter, and at once
        "-mutate_depth=2",
        "-entropic_scale_per_exec_time=1",
        "-print_final_stats=1",
        f"-artifact_prefix={findings}/",
        str(corpus),
    ]
    report()  # the first input may be a finding
    atheris.Setup([sys.argv[0], *arguments], one_input, custom_mutator=change)
    atheris.Fuzz()


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
