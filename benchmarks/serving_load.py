"""How the service answers many prompts at once: times, refusals and memory.

    python benchmarks/serving_load.py                   # about a minute; prints a table

Starts `pasam serve` with the models of this project on a free port, embeds one picture, and keeps
200 prompts in flight until all are answered. A 429 is an answer, and counted as a refusal; whoever
gets one waits as long as the service says and comes again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

import httpx
import numpy as np
import psutil

from pasam.serving.web_app import example

START = "from pasam.cli.app import app; app()"


@dataclass(slots=True)
class Tally:
    """What happened."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    megabytes: list[float] = field(default_factory=list)
    whole: float = 0.0
    """Seconds from the first prompt to the last answer."""
    worked: float = 0.0
    """CPU seconds of the service in that time."""


def main() -> None:
    """Run the load and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--concurrent", type=int, default=200, help="Prompts in flight.")
    parser.add_argument("--prompts", type=int, default=600, help="Prompts in all.")
    parser.add_argument("--max-waiting", type=int, default=128, help="The service's bound.")
    chosen = parser.parse_args()
    with started("--max-waiting", str(chosen.max_waiting)) as (address, service):
        tally = asyncio.run(load(address, service, chosen.concurrent, chosen.prompts))
    print(table(tally))  # noqa: T201


@contextmanager
def started(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `pasam serve` on a free port; yield its address and its process."""
    command = [sys.executable, "-c", START, "serve", "--port", "0", *options]
    with tempfile.TemporaryFile("w+") as log:
        service = subprocess.Popen(command, stdout=log, stderr=subprocess.DEVNULL)
        try:
            yield announced(log, service), service
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(60)


def announced(log: IO[str], service: subprocess.Popen[bytes]) -> str:
    """Wait until the service says where it is."""
    while service.poll() is None:
        log.seek(0)
        if found := re.search(r"Page: (\S+)", log.read()):
            return found[1]
        time.sleep(0.2)
    raise SystemExit("the service ended before it was ready; try `pasam serve`.")


async def load(
    address: str, service: subprocess.Popen[bytes], concurrent: int, prompts: int
) -> Tally:
    """Keep prompts in flight until all are answered."""
    tally, process = Tally(), psutil.Process(service.pid)
    shown = example(0)
    limits = httpx.Limits(max_connections=concurrent)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as client:
        embedded = (await client.post("embed", files={"image": shown.png})).json()["embedding"]
        form = {"embedding": embedded, "prompts": json.dumps([{"box": shown.box}])}
        await client.post("predict", data=form)
        left = iter(range(prompts))
        tally.megabytes.append(process.memory_info().rss / 1e6)

        async def visitor() -> None:
            for _ in left:
                start = time.perf_counter()
                while True:
                    answer = await client.post("predict", data=form)
                    tally.statuses[answer.status_code] += 1
                    if answer.status_code != 429:
                        break
                    await asyncio.sleep(float(answer.headers["Retry-After"]))
                tally.seconds.append(time.perf_counter() - start)
                tally.megabytes.append(process.memory_info().rss / 1e6)

        begun, before = time.perf_counter(), sum(process.cpu_times()[:2])
        await asyncio.gather(*(visitor() for _ in range(concurrent)))
        tally.whole = time.perf_counter() - begun
        tally.worked = sum(process.cpu_times()[:2]) - before
    return tally


def table(tally: Tally) -> str:
    """Write what was measured as Markdown."""
    median, late = np.percentile(np.array(tally.seconds) * 1000, [50, 95])
    failed = sum(count for status, count in tally.statuses.items() if status not in (200, 429))
    rows = {
        "answered": str(tally.statuses[200]),
        "429, came again": str(tally.statuses[429]),
        "other failures": str(failed),
        "p50, with coming again": f"{median:.0f} ms",
        "p95, with coming again": f"{late:.0f} ms",
        "prompts a second": f"{len(tally.seconds) / tally.whole:.1f}",
        "CPU time of a prompt": f"{1000 * tally.worked / len(tally.seconds):.0f} ms",
        "memory before": f"{tally.megabytes[0]:.0f} MB",
        "memory at most": f"{max(tally.megabytes):.0f} MB",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())])


if __name__ == "__main__":
    main()
