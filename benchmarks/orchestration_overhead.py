"""How much longer a reproduction takes as a flow than as plain `dvc repro`.

The same stages run three times in a project of their own: by `dvc repro`, by the flow `reproduce`
with `--local`, and by the flow with a server of Prefect that runs already. They do nothing but
wait, so that what differs is orchestration. It may cost 5 % or 20 s, whichever is more.

Example: python -m benchmarks.orchestration_overhead --seconds 60
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from pipelines.flows.reproduce import GROUPS
from pipelines.flows.servers import prefect_server

ROOT = Path(__file__).resolve().parent.parent
SHARE, SECONDS = 0.05, 20.0


def main(
    seconds: Annotated[float, typer.Option(help="How long the stages take together.")] = 60.0,
    port: Annotated[int, typer.Option(help="Port of the temporary server.")] = 4299,
) -> None:
    """Measure, print, and end with 1 if a flow costs more than it may."""
    with tempfile.TemporaryDirectory() as folder:
        _make_project(Path(folder), seconds)
        os.chdir(folder)
        plain = _time("-m", "dvc", "repro")
        local = _time("-m", "pipelines.flows", "reproduce", "--local")
        with prefect_server(port):
            served = _time("-m", "pipelines.flows", "reproduce")
    allowed = max(SHARE * plain, SECONDS)
    typer.echo(f"dvc repro             {plain:6.1f} s")
    for name, spent in (("flow, --local", local), ("flow, with Prefect", served)):
        typer.echo(f"{name:<20}  {spent:6.1f} s   {spent - plain:+6.1f} s   {spent / plain:.2f} x")
    typer.echo(f"allowed                          {allowed:+6.1f} s")
    sys.exit(int(max(local, served) - plain > allowed))


def _make_project(folder: Path, seconds: float) -> None:
    """Write a project whose stages have our names and need each other, the first one an input."""
    for name in ("pipelines", "pasam"):
        (folder / name).symlink_to(ROOT / name)
    targets = [target for group in GROUPS.values() for target in group]
    lines = ["stages:"]
    for number, name in enumerate(targets):
        lines += [f"  {name}:", f"    cmd: sleep {seconds / len(targets)} && date > {name}.txt"]
        lines += [f"    deps: [{targets[number - 1] if number else 'input'}.txt]"]
        lines += ["    outs:", f"      - {name}.txt: {{cache: false}}"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True
    )


def _time(*arguments: str) -> float:
    """Run a command after all stages were touched; a stage's date makes it differ every time."""
    Path("input.txt").write_text(str(time.time()), encoding="utf-8")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(main)
