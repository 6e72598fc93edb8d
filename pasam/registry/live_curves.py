"""Training curves while they grow, on an MLflow server: best effort, and never in the way.

The record proper is made from result files afterwards (`pasam.registry.runs`), which then removes
the live run. This module stands alone, since training depends on whatever it imports.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pasam.files import sha256_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

Row = Mapping[str, float]

EXPERIMENT = "pasam"
KIND, LIVE = "pasam.kind", "live"
STAGE = "dvc.stage"
CLONE = "pasam.clone"
"""Tag that tells the live runs of one clone from those of another that trains the same stage."""

PATIENCE = 5.0
"""Seconds that the end of a training waits for the last rows."""

_log = logging.getLogger(__name__)


class LiveCurves:
    """Send rows to a server from a thread of their own; every failure is theirs alone.

    Args:
        stage: The stage that trains.
        address: The server, as in `MLFLOW_TRACKING_URI`; nothing is done for any other place.
    """

    def __init__(self, stage: str, *, address: str) -> None:
        self.stage = stage
        self.address = address
        self._rows: queue.SimpleQueue[dict[str, float] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def append(self, row: Row) -> None:
        """Hand a row over and return at once."""
        if not self.address.startswith(("http://", "https://")):
            return
        if self._thread is None:  # with several processes only the first one has rows
            self._thread = threading.Thread(target=self._work, name="live-curves", daemon=True)
            self._thread.start()
        self._rows.put(dict(row))

    def close(self) -> None:
        """Give the last rows a moment to arrive."""
        if self._thread is not None:
            self._rows.put(None)
            self._thread.join(PATIENCE)

    def _work(self) -> None:
        try:
            self._send()
        except Exception as error:  # noqa: BLE001  (whatever it is, the training goes on)
            reason = re.sub(r"://[^@/\s]+@", "://", str(error)).partition("\n")[0][:200]
            _log.warning("No live curves at the MLflow server: %s", reason)

    def _send(self) -> None:
        client, run_id = self._start()
        number = 0
        while (row := self._rows.get()) is not None:
            step = int(row.get("epoch", row.get("step", number)))
            for name, value in row.items():
                if name not in {"epoch", "step"}:
                    client.log_metric(run_id, name, value, step=step)
            number += 1
        client.set_terminated(run_id)

    def _start(self) -> tuple[MlflowClient, str]:
        place = urlsplit(self.address)
        port = place.port or (443 if place.scheme == "https" else 80)
        # Asked first, so that a server that is gone costs neither an import nor long retries.
        socket.create_connection((place.hostname or "", port), timeout=3).close()
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # "View run ..."
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.address)
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        tags = {KIND: LIVE, STAGE: self.stage, CLONE: clone_id(Path())}
        run = client.create_run(experiment, tags=tags, run_name=f"live {self.stage}")
        return client, str(run.info.run_id)


def clone_id(folder: Path) -> str:
    """Name a clone: apart from all others, also on one machine, without saying where it lies."""
    place = folder.resolve()
    return f"{place.name}-{sha256_of(f'{socket.gethostname()}:{place}')[:8]}"


@contextlib.contextmanager
def live_curves(stage: str) -> Iterator[LiveCurves]:
    """Give the curves of a training to the server that `MLFLOW_TRACKING_URI` names, if any."""
    curves = LiveCurves(stage, address=os.environ.get("MLFLOW_TRACKING_URI", ""))
    try:
        yield curves
    finally:
        curves.close()
