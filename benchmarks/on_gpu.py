"""Everything that wants a GPU, by one command in eight minutes at most: its tests and all rows.

    python benchmarks/on_gpu.py               # on a GPU; without one it says so and exits with 2
    python benchmarks/on_gpu.py --toy         # small sizes on the CPU, to see that all of it works

First `pytest -m "gpu and not slow"`, then the rows of `benchmarks/speed.py`, in the end the slow
tests: those that compile, and those that want several GPUs. Each part is a process with a time
limit of its own, to which comes what those before it have left over. Lines that were measured until
a limit stay. One JSON file receives all, and the table is printed as it grows. Exits with 1 if a
test or a row has failed or was stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from device_times import table_header, table_row

from pasam.files import read_json, temporary_folder, write_json

ROOT = Path(__file__).resolve().parent.parent
TESTS, SLOW_TESTS = "tests", "slow tests"
LIMITS = {
    TESTS: 130, "vit_b": 40, "vit_l": 55, "image": 30, "training": 40, "together": 35,
    "pretraining": 30, "compiled": 60, SLOW_TESTS: 60,
}  # fmt: skip
"""Seconds of each part, in their order: compiling comes last, and has what others leave over."""
MARKS = ("mark.gpu", "tested_device")
"""Words of the files whose tests run on a GPU."""


@dataclass(frozen=True, slots=True)
class Part:
    """How a part has ended."""

    name: str
    code: int | None
    """The process's exit code; None if its time was up."""
    seconds: float
    output: str

    @property
    def told(self) -> str:
        """Say in a line how it ended, with the last words of a test run or of what failed."""
        last = next((line for line in reversed(self.output.splitlines()) if line.strip()), "")
        if self.code is None:
            return f"{self.name}: stopped after {self.seconds:.0f} s"
        if self.code:
            return f"{self.name}: failed with {self.code}: {last.strip()}"
        tested = self.name in (TESTS, SLOW_TESTS)
        return f"{self.name}: {last.strip()}" if tested else f"{self.name}: measured"


def ended(name: str, command: list[str], seconds: float) -> Part:
    """Run a command in the project's root; end it and all its children when its time is up."""
    start = time.monotonic()
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with temporary_folder() as folder:
        log = Path(folder) / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        said = log.read_text(errors="replace")
    return Part(name, code, time.monotonic() - start, said)


def test_command(part: str, *, toy: bool) -> list[str]:
    """Give pytest the files that have tests for a GPU; at toy size the same tests on the CPU."""
    files = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if any(word in path.read_text() for word in MARKS)
    ]
    tier = "slow" if part == SLOW_TESTS else "not slow"
    chosen = ["-m", f"{tier} and not gpu", "-k", "on_cpu"] if toy else ["-m", f"{tier} and gpu"]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *files]


def row_command(row: str, file: Path, *, toy: bool) -> list[str]:
    """Measure a row into a file."""
    script = str(ROOT / "benchmarks" / "speed.py")
    where = ["--toy"] if toy else ["--device", "cuda"]
    return [sys.executable, script, "--rows", row, "--json", str(file.resolve()), *where]


def measure(out: Path, device: str, *, toy: bool) -> bool:
    """Run all parts, print the table as it grows, write the file after each part.

    Returns:
        Whether all have ended well.
    """
    print(table_header(device, toy=toy), flush=True)  # noqa: T201
    about = {"device": device, "toy": toy, "torch": torch.__version__}
    parts: list[Part] = []
    lines: list[dict[str, Any]] = []
    left = 0.0
    for name, limit in LIMITS.items():
        with temporary_folder() as folder:
            file = Path(folder) / "lines.json"
            tests = name in (TESTS, SLOW_TESTS)
            command = test_command(name, toy=toy) if tests else row_command(name, file, toy=toy)
            parts.append(ended(name, command, left + limit))
            left = max(0.0, left + limit - parts[-1].seconds)
            found = read_json(file)["lines"] if file.exists() else []
        lines += found
        for line in found:
            print(table_row(line), flush=True)  # noqa: T201
        print(parts[-1].told, file=sys.stderr, flush=True)  # noqa: T201
        said = [
            {"name": each.name, "code": each.code, "seconds": each.seconds, "told": each.told,
             "output": each.output[-4000:] if each.code != 0 else ""}
            for each in parts
        ]  # fmt: skip
        write_json(out, {**about, "parts": said, "lines": lines})
    return all(part.code == 0 for part in parts)


def main(words: list[str] | None = None) -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--toy", action="store_true", help="Small sizes, on the CPU.")
    parser.add_argument("--json", type=Path, default=Path("on_gpu.json"), help="File of results.")
    chosen = parser.parse_args(words)
    if not chosen.toy and not torch.cuda.is_available():
        print("there is no GPU here that torch can use; --toy runs on the CPU", file=sys.stderr)  # noqa: T201
        return 2
    device = "CPU" if chosen.toy else torch.cuda.get_device_name()
    return 0 if measure(chosen.json, device, toy=chosen.toy) else 1


if __name__ == "__main__":
    sys.exit(main())
