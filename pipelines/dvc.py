"""DVC's commands as child processes: repro, status, pull, push.

One at a time per project; a stage's own exit code decides what a failure means.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from pasam.errors import OWN_FAULT, DataError, PasamError, StageError, TransientError, is_full
from pasam.registry.store import without_passwords
from pipelines.process import GRACE, LogThrottle, TimeUp, run_child

TRANSIENT = TransientError.exit_code
STOPPED = (130, 143, -2, -15)
"""Exit codes of a stage after Ctrl-C and TERM, handled or not."""

STATE = Path(".flows")
"""Logs, the lock and Prefect's own files; neither git nor DVC looks at it."""

BUSY_PAUSE = 15.0
"""Seconds between two tries while somebody else's DVC command is at work."""

TAIL = 15
KEPT_LOGS = 200

_FAILED = re.compile(r"failed to reproduce '([^']+)'")
_EXITED = re.compile(r"exited with (-?\d+)")
_EDGE = re.compile(r'^"?([^"]+)"? -> "?([^"]+?)"?;?$')
_MD5 = re.compile(r"^\s*md5: ([0-9a-f]{32}(?:\.dir)?)$", re.MULTILINE)
_BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
_NO_RUN_CACHE = "run-cache is not supported"
"""What DVC says of a remote that takes nothing but the bytes, as one behind HTTP."""
_NOT_LET_IN = re.compile(
    r"[Aa]uthentication fail|[Pp]ermission denied|Access ?Denied|Forbidden|Unauthorized"
    r"|Unable to locate credentials|InvalidAccessKeyId|SignatureDoesNotMatch"
)
"""What SSH, S3, HTTP and folders say to a key, password or right that is missing or wrong."""
_SETTLED = (251, 253, 254)
"""DVC's codes for a wrong configuration (no remote, say), no repository, and wrong arguments."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Which stage needs which."""

    needs: Mapping[str, frozenset[str]]

    def after(self, changed: Iterable[str]) -> set[str]:
        """Name some stages and all that need them, however indirectly."""
        found = set(changed) & set(self.needs)
        while more := {s for s, needs in self.needs.items() if needs & found} - found:
            found |= more
        return found


def expect_whole_results(project: Path) -> None:
    """Compare what the cache holds of the results in `dvc.lock` with their digests.

    DVC takes its cache as it is: the next stage would be given a damaged file as its input. At the
    paper's size it holds tens of gigabytes, so that a file that was whole within a week, and that
    nobody has touched since, is not read again.

    Raises:
        DataError: A file has other bytes than those that were made.
    """
    lock = project / "dvc.lock"
    if not lock.is_file():
        return
    named = set(_MD5.findall(lock.read_text(encoding="utf-8")))
    from pasam.registry.upkeep.damaged_cache import damaged_cache  # and DVC, which takes a second

    if damaged := list(damaged_cache(project, of=named, again=False)):
        raise DataError(
            f"{len(damaged)} results in DVC's cache were changed after they were made: "
            f"{damaged[0]}. Remove them there and run `dvc pull`, or make them again; `pasam "
            "verify-cache` lists all."
        )


def forget_half_written_locks(project: Path) -> None:
    """Remove DVC's list of who works on which file where a kill has left it half written.

    DVC writes it in place and refuses every command once it cannot be read. Nothing is lost: it
    names processes that are at work, and DVC forgets dead ones by itself. Looked at as DVC does,
    under its own lock, so that no living command is in the middle of writing it.
    """
    folder = project / ".dvc" / "tmp"
    listed = folder / "rwlock"
    if not listed.exists():
        return
    with (folder / "rwlock.lock").open("a") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody writes it just now, and so it will be whole
            return
        try:
            json.loads(listed.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            listed.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Dvc:
    """DVC in one project.

    Args:
        project: The project's root.
        state: Folder for logs and the lock, which neither DVC nor git looks at.
        on_line: Told what the commands say, up to a limit; all of it is in the logs.
        timeout: Seconds that one command may take; None is for ever.
        patience: Seconds to wait for another command on the same project.
        grace: Seconds between TERM and KILL.
        env: Variables that the commands have besides those of this process.
    """

    project: Path
    state: Path
    on_line: Callable[[str], None]
    timeout: float | None = None
    patience: float = 0.0
    grace: float = GRACE
    env: Mapping[str, str] = field(default_factory=dict)

    def repro(self, *targets: str) -> None:
        """Run whatever changed among the targets and what they need; everything, without targets.

        Raises:
            TransientError: A passing fault; the same call may succeed later.
            StageError: A stage failed for another reason, or was stopped; its exit code is kept.
            DataError: DVC's cache holds a result with other bytes than those that were made.
        """
        expect_whole_results(self.project)
        self._command("repro", *targets)

    def status(self) -> tuple[str, ...]:
        """Name the stages that `repro` would run, sorted."""
        text = replace(self, on_line=_in_silence)._command("status", "--json")
        found = [line for line in text.splitlines() if line.startswith("{")]
        return tuple(sorted(json.loads(found[-1]))) if found else ()

    def pull(self, *targets: str) -> None:
        """Bring from the remote what `dvc.lock` names."""
        self._with_run_cache("pull", "--allow-missing", *targets)

    def push(self, *targets: str) -> None:
        """Bring to the remote what `dvc.lock` names."""
        self._with_run_cache("push", *targets)

    def _with_run_cache(self, *arguments: str) -> None:
        """Move the run cache too: which inputs gave which outputs, so that nobody trains twice."""
        try:
            self._command(*arguments, "--run-cache")
        except (StageError, TransientError) as error:
            if _NO_RUN_CACHE not in str(error):
                raise
            self._command(*arguments)

    def graph(self) -> Graph:
        """Say which stage needs which."""
        return read_graph(replace(self, on_line=_in_silence)._command("dag", "--dot"))

    def environment(self) -> dict[str, str]:
        """What the commands see: this Python as `python`, and no telemetry."""
        return {**_environment(), **self.env}

    def has_remote(self) -> bool:
        """Say whether there is any place to push to."""
        return bool(replace(self, on_line=_in_silence)._command("remote", "list").strip())

    def cache_folder(self) -> Path:
        """Say where the project's cache is."""
        said = replace(self, on_line=_in_silence)._command("cache", "dir")
        return self.project / said.strip().splitlines()[-1]

    def share_cache(self, folder: Path) -> None:
        """Use another project's cache from now on; git does not see that."""
        quiet = replace(self, on_line=_in_silence)
        quiet._command("cache", "dir", "--local", str(folder.resolve()))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other command off the project; each command does so for its own time.

        Whoever holds it may run several commands in a row.

        Raises:
            TransientError: Another process held it for all of the patience.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        path = (self.state / "repro.lock").resolve()
        lock = FileLock(path, is_singleton=True)  # one per process, and may be taken again
        try:
            self._acquire(lock)
        except Timeout:
            raise TransientError(
                f"another run has held {path} for {self.patience:g} s. Wait until it has ended, "
                "or stop it, and run this again."
            ) from None
        try:
            forget_half_written_locks(self.project)
            yield
        finally:
            lock.release()

    def _acquire(self, lock: BaseFileLock) -> None:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if self.patience:
                self.on_line("Another run is at work on this project; waiting for it.")
            lock.acquire(timeout=self.patience)

    def _command(self, *arguments: str) -> str:
        """Run a command and return all that it said."""
        deadline = time.monotonic() + self.patience
        while True:
            code, text, log = self._attempt(arguments)
            if code == 0:
                return text
            if not is_busy(text) or time.monotonic() > deadline:
                raise failure(" ".join(("dvc", *arguments)), code, text, log)
            self.on_line("Somebody else's DVC command is at work on this project; waiting for it.")
            time.sleep(BUSY_PAUSE)

    def _attempt(self, arguments: tuple[str, ...]) -> tuple[int, str, Path]:
        """Run a command once; return its exit code, all that it said, and where that is kept."""
        log = self._new_log(arguments)
        limit = LogThrottle(self.on_line, log=log)
        try:
            with self.alone():
                code = run_child(
                    [sys.executable, "-m", "dvc", *arguments],
                    cwd=self.project, log=log, on_line=limit, env={**_environment(), **self.env},
                    timeout=self.timeout, grace=self.grace,
                )  # fmt: skip
        except TimeUp:
            raise StageError(
                f"`dvc {' '.join(arguments)}` took longer than {self.timeout:g} s and was stopped; "
                "a training has saved its state and goes on from there next time. Its log: "
                f"{log}. Allow more time if it needs more.",
                exit_code=143,
            ) from None
        finally:
            limit.close()
        return code, log.read_text(encoding="utf-8", errors="replace"), log

    def _new_log(self, arguments: tuple[str, ...]) -> Path:
        folder = self.state / "logs"
        for old in sorted(folder.glob("*.log"))[: -KEPT_LOGS + 1]:
            old.unlink(missing_ok=True)
        moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
        name = re.sub(r"[^\w@.]+", "-", "-".join(arguments))[:80]
        return folder / f"{moment}-{name}.log"


def read_graph(dot: str) -> Graph:
    """Read what `dvc dag --dot` says: an arrow leads from a stage to one that needs it."""
    needs: dict[str, set[str]] = {}
    for line in map(str.strip, dot.splitlines()):
        edge = _EDGE.match(line)
        if edge:
            needs.setdefault(edge[1], set())
            needs.setdefault(edge[2], set()).add(edge[1])
        elif line.startswith('"') and line.rstrip(";").endswith('"'):
            needs.setdefault(line.rstrip(";").strip('"'), set())
    return Graph({stage: frozenset(others) for stage, others in needs.items()})


def _in_silence(line: str) -> None:
    """Leave lines that are for this program to the log."""


def failure(command: str, code: int, text: str, log: Path) -> PasamError:
    """Say what a command's failure means.

    DVC ends with a code of its own whatever the stage's was; the stage's stands in its message.

    Args:
        command: What was run.
        code: The exit code of DVC.
        text: All that it said.
        log: Where that is kept.

    Returns:
        A `TransientError` if another try may succeed, else a `StageError`.
    """
    stages, codes = _FAILED.findall(text), _EXITED.findall(text)
    stage_code = int(codes[-1]) if codes else None
    who = f"stage {stages[-1]}" if stages else f"`{command}`"
    if is_busy(text):
        return TransientError(
            f"`{command}` found another DVC command at work on this project all the time. See "
            f"what it is (`ps -ef | grep dvc`), and run this again when it has ended. Log: {log}"
        )
    tail = "\n".join(f"  {line}" for line in deque(without_passwords(text).splitlines(), TAIL))
    said = f"Its last lines:\n{tail}\nAll of them: {log}"
    if is_full(text):
        return StageError(
            f"{who} found the disk full. Free some space and run this again: what was complete is "
            f"kept. {said}"
        )
    is_remotes = stage_code is None and command.startswith(("dvc push", "dvc pull"))
    if is_remotes and _NOT_LET_IN.search(text):
        return StageError(
            f"{who} was not let in by DVC's remote or cache: a key, password or right is missing. "
            "Another try would end the same way; `pasam doctor --team` says what to set (an SSH "
            f"key, `dvc remote modify --local`, rights). {said}"
        )
    if stage_code == TRANSIENT or (is_remotes and code not in _SETTLED):  # it may be away
        return TransientError(f"{who} met a transient error; running it again may succeed. {said}")
    if stage_code in STOPPED or (stage_code is None and code in STOPPED):
        stopped = 143 if (stage_code or code) in {143, -15} else 130
        return StageError(
            f"{who} was stopped; a training has saved its state, and the next `dvc repro` goes on "
            f"from there. {said}",
            exit_code=stopped,
        )
    own = code if stage_code is None else stage_code
    if own == OWN_FAULT:
        return StageError(f"{who} met a fault of pasam itself. {said}", exit_code=OWN_FAULT)
    reason = "the configuration or the data is wrong" if own == 2 else f"exit code {own}"
    return StageError(
        f"{who} failed: {reason}. Another try would end the same way; mend what the lines below "
        f"name. {said}",
        # 1 is a judgement's, and a stage that ends with it has judged nothing.
        exit_code=stage_code if stage_code is not None and 1 < stage_code < 126 else 2,
    )


def is_busy(text: str) -> bool:
    """Whether DVC says that another command is at work on the project."""
    return any(words in text for words in _BUSY)


def _environment() -> dict[str, str]:
    """This process's environment, with this Python as `python` and no telemetry."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    quiet = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **quiet, "PATH": os.pathsep.join(folders)}
