"""What a member of a team needs besides the project: remotes, servers, tokens, rights, clocks.

Every check asks the real thing: a remote is written to, a server is called. Nothing is changed for
good, and no password is shown.
"""

from __future__ import annotations

import base64
import email.utils
import importlib.metadata
import importlib.util
import os
import secrets
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from pasam.cli.resources import Check, missing, noted, passed
from pasam.registry.snapshot import call_git, git_words

PATIENCE = 20.0
"""Seconds that a remote or a server has to answer."""
CLOCKS = (5.0, 60.0)
"""Seconds between two clocks that are worth a note, and that make tokens and decisions wrong."""
BACKENDS = {
    "ssh": "dvc_ssh", "s3": "dvc_s3", "gs": "dvc_gs", "azure": "dvc_azure", "webdav": "dvc_webdav",
    "webdavs": "dvc_webdav", "hdfs": "dvc_hdfs",
}  # fmt: skip
"""Module that DVC needs for the addresses of a remote."""
TEAM = "pip install 'prompt-adapter-sam[team]', or make"

_WRITE = """\
import sys
from dvc.repo import Repo
with Repo() as repo:
    store = repo.cloud.get_remote_odb(sys.argv[1])
    fs, path = store.fs, store.fs.join(store.path, "pasam-doctor", sys.argv[2])
    fs.makedirs(fs.parent(path), exist_ok=True)
    with fs.open(path, "wb") as file:
        file.write(b"pasam doctor")
    fs.remove(path)
"""


def team_checks(root: Path, environment: Mapping[str, str] | None = None) -> tuple[Check, ...]:
    """Look at all that several people share; `environment` is this process's by default."""
    environment = os.environ if environment is None else environment
    servers, clocks = [], []
    for name, variable, path, user, word in (
        ("MLflow", "MLFLOW_TRACKING_URI", "/version", "MLFLOW_TRACKING_USERNAME",
         "MLFLOW_TRACKING_PASSWORD"),
        ("Prefect", "PREFECT_API_URL", "/admin/version", "", "PREFECT_API_AUTH_STRING"),
    ):  # fmt: skip
        login = environment.get(word, "")
        if user and login:
            login = f"{environment.get(user, '')}:{login}"
        address = environment.get(variable, "")
        check, clock = check_server(name, variable, address, path, login, word)
        servers.append(check)
        if clock is not None:
            clocks.append(clock)
    return (
        check_identity(root), *check_git_remote(root), check_driver(root),
        *check_dvc_remote(root), check_cache(root), *servers, check_clock(clocks),
        check_private_files(root),
    )  # fmt: skip


def check_identity(root: Path) -> Check:
    """See whether git knows who commits here: decisions and results carry the name."""
    who = [_said(_git(root, "config", f"user.{part}")) for part in ("name", "email")]
    if all(who):
        return passed("git identity", f"{who[0]} <{who[1]}>")
    remedy = 'git config --global user.name "..."; git config --global user.email ...'
    return missing("git identity", "git does not know your name or address", remedy)


def check_git_remote(root: Path) -> list[Check]:
    """See whether the remote answers, takes a push, and holds the log of decisions."""
    asked = _git(root, "remote", "get-url", "origin")
    if asked.returncode:
        found = "no remote 'origin': nobody else sees commits and decisions of this clone"
        return [missing("git remote", found, "git remote add origin ADDRESS")]
    checks = []
    if (parts := urlsplit(_said(asked))).password:
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        remedy = f"git remote set-url origin {place}, and git config credential.helper for the rest"
        checks.append(missing("git remote", "its address holds a password", remedy))
    heads = _git(root, "ls-remote", "--heads", "origin")
    if heads.returncode:
        remedy = "correct it (git remote -v), or ask for access; 20 s are allowed"
        return [
            *checks,
            missing("git remote", f"origin cannot be read: {git_words(heads, most=1)}", remedy),
        ]
    target = f"HEAD:refs/heads/pasam-doctor-{secrets.token_hex(4)}"
    pushed = _git(root, "push", "--dry-run", "origin", target)
    if pushed.returncode:
        found = f"origin can be read, not pushed to: {git_words(pushed, most=1)}"
        remedy = "ask for the right to push; without it your retrainings stay yours"
        return [*checks, missing("git remote", found, remedy)]
    checks.append(passed("git remote", "origin can be read and takes a push"))
    if "refs/heads/pasam-decisions" in _said(heads):
        checks.append(passed("decisions", "the log is on origin, branch pasam-decisions"))
    else:
        found = "origin has no branch pasam-decisions yet; the first decision makes it"
        checks.append(noted("decisions", found))
    return checks


def check_driver(root: Path) -> Check:
    """See whether git merges `dvc.lock` and `params.yaml` by entry here."""
    if _git(root, "config", "merge.pasam.driver").returncode == 0:
        return passed("merges", "dvc.lock and params.yaml are merged by entry")
    found = "git merges dvc.lock and params.yaml by line in this clone"
    return noted("merges", found, "pasam merge --setup, or pasam merge after a conflict")


def check_dvc_remote(root: Path) -> list[Check]:
    """See whether DVC's default remote has its packages, and can be written to."""
    code, name = _run(root, sys.executable, "-m", "dvc", "config", "core.remote")
    name = name.strip()
    if code or not name:
        found = "no default remote: nobody else gets the bytes that dvc.lock names"
        return [missing("DVC remote", found, "dvc remote add -d NAME ADDRESS; dvc push")]
    _, said = _run(root, sys.executable, "-m", "dvc", "config", f"remote.{name}.url")
    address = urlsplit(said.strip())
    if address.password:
        found = f"the address of '{name}' holds a password"
        remedy = f"dvc remote modify --local {name} password ..., which stays in .dvc/config.local"
        return [missing("DVC remote", found, remedy)]
    module = BACKENDS.get(address.scheme)
    if module and importlib.util.find_spec(module) is None:
        found = f"'{name}' is {address.scheme}://, and {module.replace('_', '-')} is not installed"
        return [missing("DVC remote", found, TEAM)]
    code, said = _run(root, sys.executable, "-c", _WRITE, name, secrets.token_hex(8))
    if code:
        found = f"'{name}' cannot be written to: {_last(said)}"
        remedy = "correct the address or your keys (dvc remote modify --local), or ask for access"
        return [missing("DVC remote", found, remedy)]
    return [passed("DVC remote", f"'{name}' can be read and written")]


def check_cache(root: Path) -> Check:
    """See whether DVC's cache can be written, and, shared by a group, by all of the group."""
    code, said = _run(root, sys.executable, "-m", "dvc", "cache", "dir")
    if code:
        return missing("cache", f"DVC does not know it: {_last(said)}", "dvc init, or git clone")
    folder = (root / said.strip().splitlines()[-1]).resolve()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK):
        remedy = f"ask its owner, {_owner(there)}, to have you in the group, and chmod -R g+w"
        return missing("cache", f"{there} cannot be written by you", remedy)
    _, shared = _run(root, sys.executable, "-m", "dvc", "config", "cache.shared")
    if shared.strip() != "group":
        return passed("cache", f"{folder}, yours alone (cache.shared is not group)")
    mode = there.stat().st_mode
    if not (mode & stat.S_ISGID and mode & stat.S_IWGRP):
        remedy = f"chgrp -R GROUP {there}; chmod -R g+ws {there}"
        return missing("cache", f"{there} is {stat.filemode(mode)}, expected rws for group", remedy)
    mask = os.umask(0)
    os.umask(mask)
    if mask & stat.S_IWGRP:
        found = f"{there} is shared by a group, and your umask is {mask:03o}, expected 002"
        return missing("cache", found, "umask 002, in your shell's profile")
    return passed("cache", f"{folder}, shared by a group")


def check_server(
    name: str, variable: str, address: str, path: str, login: str, word: str
) -> tuple[Check, float | None]:
    """Call a server; its version has to be this environment's.

    Args:
        name: What it is.
        variable: Which variable of the environment names it.
        address: Where it is.
        path: Below the address, where it says its version.
        login: `user:password`, if any.
        word: Which variable holds the password.

    Returns:
        What was found, and by how many seconds its clock is ahead of ours, if it said.
    """
    if not address.startswith(("http://", "https://")):
        found = f"{variable} names no server: records and runs of this clone are its own"
        return noted(name, found, f"export {variable}=https://..."), None
    parts = urlsplit(address)
    if parts.password:
        found = f"{variable} holds a password, which logs and pages show"
        return missing(name, found, f"put it into {word}"), None
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    try:
        # A pool of its own: a connection kept from an earlier question may be closed by now.
        answer = urllib3.PoolManager().request(
            "GET", address.rstrip("/") + path, headers=headers if login else {},
            timeout=PATIENCE, retries=False,
        )  # fmt: skip
    except urllib3.exceptions.HTTPError as error:
        found = f"nothing answers at {address} ({type(error).__name__})"
        return missing(name, found, "start it, or correct the address; see docs/team.md"), None
    said = email.utils.parsedate_tz(answer.headers.get("Date", ""))
    ahead = None if said is None else email.utils.mktime_tz(said) + 0.5 - time.time()
    if answer.status in {401, 403}:
        found = f"{address} asks for a login ({answer.status}), and yours is " + (
            "refused" if login else "not set"
        )
        return missing(name, found, f"ask for one, and export {word}"), ahead
    if answer.status != 200:
        found = f"{address}{path} answers with status {answer.status}, expected 200"
        return missing(name, found, "see the server's log"), ahead
    theirs = answer.data.decode("utf-8", errors="replace").strip().strip('"')
    ours = importlib.metadata.version(name.lower())
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        found = f"{address} runs {theirs[:40]}, this environment has {ours}"
        return noted(name, found, "bring both to the version of requirements.lock"), ahead
    return passed(name, f"{address}, {theirs}"), ahead


def check_clock(ahead: list[float]) -> Check:
    """Compare this clock with the servers', which both sides stamp their records with."""
    if not ahead:
        return noted("clock", "no server to compare it with")
    worst = max(ahead, key=abs)
    found = f"{abs(worst):.0f} s {'behind' if worst > 0 else 'ahead of'} a server's"
    remedy = "timedatectl set-ntp true"
    if abs(worst) > CLOCKS[1]:
        return missing("clock", f"{found}, at most {CLOCKS[1]:g} s expected", remedy)
    if abs(worst) > CLOCKS[0]:
        return noted("clock", found, remedy)
    return passed("clock", "as the servers'")


def check_private_files(root: Path) -> Check:
    """See whether others can read files with passwords."""
    places = [root / ".dvc/config.local", Path.home() / ".netrc", Path.home() / ".git-credentials"]
    folder = root / "deploy" / "secrets"
    places += sorted(folder.iterdir()) if folder.is_dir() else []
    found = [str(place) for place in places if place.is_file() and place.stat().st_mode & 0o007]
    if found:
        said = f"others can read {', '.join(found)}"
        return missing("secrets", said, f"chmod o-rwx {' '.join(found)}")
    return passed("secrets", "no file of passwords that others can read")


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user of another machine
        return str(path.stat().st_uid)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it says nothing"


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    ssh = {"GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")}
    return call_git(root, *arguments, env=ssh, seconds=PATIENCE * 2)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command printed, if it succeeded."""
    return "" if done.returncode else done.stdout.decode(errors="replace").strip()


def _run(root: Path, *command: str) -> tuple[int, str]:
    """Run a command that asks nothing; give its exit code, and all that it said."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=False, timeout=PATIENCE * 2,
            env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"no answer in {PATIENCE * 2:g} s"
    except OSError as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr
