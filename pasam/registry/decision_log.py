"""The log of decisions: what was decided of which version, by whom and why, on a branch of git.

One entry per decision, a JSON file each, never changed afterwards: it names the digest of the entry
before it, so that none can be changed, left out or put in between unnoticed. The branch shares no
history with the code, and is written without a checkout: the working tree and its index stay as
they are. Pushing it is the compare-and-swap between machines: of two that decide at once the remote
takes one, and the other reads what was decided and thinks again. Without a remote the branch is
local, and `git update-ref` with the old value does the same between processes.

Scores that a verdict rests on lie on the branch too, named by their digest.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pasam.errors import BusyError, RegistryError, TransientError
from pasam.files import sha256_of, temporary_folder
from pasam.registry.live_curves import clone_id
from pasam.registry.snapshot import call_git, git_words, has_repository, remote_name

BRANCH = "pasam-decisions"
REF = f"refs/heads/{BRANCH}"

GATE, REGISTER, VERDICT = "gate", "register", "verdict"
PROMOTED, REJECTED_BY, ROLLBACK, LIFT, IMPORT = "promote", "reject", "rollback", "lift", "import"
CLAIM, REMOVED, STAGED = "claim", "remove", "stage"
"""Events. `gate` changes its settings; `import` takes over what MLflow showed before there was a
log; a `verdict` is the gate's, a `reject` a person's; a `claim` measures on the sealed set; a
`remove` frees the disk of a version that nobody can go back to; a `stage` is staging's gate's."""

BEGIN = (REGISTER, IMPORT)
"""Events that say where a version comes from."""

CANDIDATE, CHAMPION, PREVIOUS, STAGING = "candidate", "champion", "previous", "staging"
"""The four aliases."""
REGISTERED, ACCEPTED, REFUSED = "registered", "accepted", "refused"
REJECTED, ROLLED_BACK = "rejected", "rolled back"
"""What became of a version: the gate refuses, a person rejects or rolls back."""

_ENTRIES, _EVIDENCE = "entries", "evidence"
PATIENCE, SHORT_PATIENCE = 120.0, 15.0
"""Seconds that a remote has to answer whoever decides, and whoever only looks."""
_NOTHING = "0" * 40  # what git calls the old value of a branch that must not be there yet
_Env = Mapping[str, str] | None
_SYNCED = ("-c", "core.fsync=committed")  # branches too, which git syncs not by itself
_OUTRUN = (
    "fetch first", "non-fast-forward", "stale info", "already exists", "cannot lock ref",
    "failed to update ref", "incorrect old value", "failed to lock", "reference already exists",
)  # fmt: skip
"""Words of git for a branch that somebody else has moved meanwhile."""


class OutrunError(BusyError):
    """Others have decided meanwhile, or are about to; nothing of this decision was kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One decision. What the log fills in itself comes last."""

    event: str
    version: int | None = None
    """Which version it is about; None for the gate's settings."""
    why: str = ""
    before: int | None = None
    """The champion before this decision; None while there is none."""
    after: int | None = None
    gate: str = ""
    """Digest of the gate's settings that were in force."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Sha256 of the version's files by name."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Sha256 of what the decision rests on, by name; the branch keeps it."""
    details: Mapping[str, Any] = field(default_factory=dict)

    number: int = 0
    """Place in the log, from 1."""
    previous: str = ""
    """Digest of the entry before; empty for the first."""
    time: str = ""
    by: Mapping[str, str] = field(default_factory=dict)
    """Who, on which host, in which clone, at which commit and flow run."""
    digest: str = ""
    """Sha256 of its own bytes; not among them."""

    def content(self) -> bytes:
        """The bytes that are kept; equal entries give equal bytes."""
        words = {name: value for name, value in asdict(self).items() if name != "digest"}
        return (json.dumps(words, indent=1, sort_keys=True) + "\n").encode()


def read_entry(content: bytes) -> Entry:
    """Read an entry from its bytes.

    Raises:
        RegistryError: They are not those of an entry.
    """
    try:
        entry = Entry(**json.loads(content), digest=sha256_of(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise RegistryError(f"this is no entry of the log of decisions: {error}.") from None
    if not entry.number or entry.content() != content:
        raise RegistryError(f"this is no entry of the log of decisions: {content[:60]!r}.")
    return entry


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionStanding:
    """What the log says of one version."""

    number: int
    registered: Entry
    """The entry that says where it comes from, with its files and scores; the last, if several."""
    status: str
    why: str = ""
    """The reason of what was decided last."""
    verdict: Entry | None = None
    """The gate's last word on it."""
    entries: tuple[Entry, ...] = ()
    """All that is about it, in their order."""
    removed: bool = False
    """Whether its files were removed on purpose; what is known of it stays."""

    @property
    def key(self) -> str:
        """Digest of its bytes: adapter and base."""
        return str(self.registered.details["key"])

    @property
    def marks(self) -> tuple[str, str]:
        """Its key, and the digest of its numbers alone, which the words in a file do not change."""
        return self.key, str(self.registered.details.get("tensors", self.key))

    @property
    def tags(self) -> dict[str, str]:
        """Where it comes from and how it scored, as it was registered; by the names of `Tag`."""
        return dict(self.registered.details["tags"])


@dataclass(kw_only=True, slots=True)
class Standing:
    """What follows from all entries; nothing else says who is champion."""

    versions: dict[int, VersionStanding] = field(default_factory=dict)
    champions: list[int] = field(default_factory=list)
    """Who took over, one after the other; a way back cuts it short. The last one is in use."""
    candidate: int | None = None
    staging: int | None = None
    """The version in the environment `staging`."""
    barred: dict[str, Entry] = field(default_factory=dict)
    """Marks of versions that a person has rejected or rolled back, with the entry that says so."""
    gate: Entry | None = None
    """The gate's settings in force."""
    claims: list[Entry] = field(default_factory=list)
    """Every use of a sealed set."""

    @property
    def champion(self) -> int | None:
        """The version in use."""
        return self.champions[-1] if self.champions else None

    @property
    def previous(self) -> int | None:
        """The version to go back to: the last champion before this one that nobody has barred."""
        return next(
            (n for n in reversed(self.champions[:-1])
             if n != self.champion and not self.barring(self.versions[n])),
            None,
        )  # fmt: skip

    @property
    def aliases(self) -> dict[str, int]:
        """What MLflow's aliases have to point to."""
        found = {CHAMPION: self.champion, PREVIOUS: self.previous}
        found |= {CANDIDATE: self.candidate, STAGING: self.staging}
        return {alias: number for alias, number in found.items() if number is not None}

    def by_key(self, key: str) -> VersionStanding | None:
        """Find the version that was made of these bytes."""
        return next((each for each in self.versions.values() if each.key == key), None)

    def barring(self, version: VersionStanding) -> Entry | None:
        """Find the entry that keeps out a version, or another one of the same numbers."""
        return next((self.barred[mark] for mark in version.marks if mark in self.barred), None)

    def follow(self, entry: Entry) -> None:
        """Take the next entry into account; a `RegistryError` if it contradicts those before."""
        number = entry.version
        known = entry.event in BEGIN or number is None or number in self.versions
        if entry.before != self.champion or not known:
            raise RegistryError(
                f"entry {entry.number} of the log of decisions ({entry.event} version {number}) "
                f"contradicts those before: it names {entry.before} as the champion, and they "
                f"{self.champion}; versions are {sorted(self.versions)}. The branch {BRANCH} was "
                "written by other means than pasam; restore it."
            )
        if number is None:
            self._follow_all(entry)
        elif entry.event in BEGIN:
            self._begin(number, entry)
        elif entry.event in (CLAIM, REMOVED):
            version, gone = self.versions[number], entry.event == REMOVED
            every = (*version.entries, entry)
            self.versions[number] = replace(version, entries=every, removed=gone or version.removed)
            if not gone:
                self.claims.append(entry)
        else:
            self._decide(number, entry)

    def _follow_all(self, entry: Entry) -> None:
        if entry.event == GATE:
            self.gate = entry
        else:
            self.champions = list(entry.details["champions"])
            self.candidate = entry.details["candidate"]

    def _begin(self, number: int, entry: Entry) -> None:
        """A version that is new, or registered again with other evidence."""
        before = self.versions.get(number)
        status = before.status if before else str(entry.details.get("status", REGISTERED))
        self.versions[number] = VersionStanding(
            number=number, registered=entry, status=status,
            why=before.why if before else entry.why,
            verdict=before.verdict if before else None,
            entries=(*(before.entries if before else ()), entry),
        )  # fmt: skip
        replaced = entry.details.get("replaces")
        if replaced in self.versions:
            self._replace(replaced, number)
        if entry.details.get("barred"):
            self.barred |= dict.fromkeys(self.versions[number].marks, entry)
        if entry.event == REGISTER and number != self.champion:
            self.candidate = number

    def _replace(self, old: int, new: int) -> None:
        """Let a version take over all that another of the same bytes was, whose files are lost."""
        gone, made = self.versions[old], self.versions[new]
        self.versions[new] = replace(
            made, status=gone.status, why=gone.why, verdict=gone.verdict,
            entries=(*gone.entries, *made.entries),
        )  # fmt: skip
        del self.versions[old]
        self.champions = [new if number == old else number for number in self.champions]
        self.candidate = None if self.candidate == old else self.candidate
        self.staging = new if self.staging == old else self.staging

    def _decide(self, number: int, entry: Entry) -> None:
        version = self.versions[number]
        status = {
            PROMOTED: ACCEPTED, REJECTED_BY: REJECTED, ROLLBACK: ROLLED_BACK, LIFT: REGISTERED,
        }.get(entry.event, version.status)  # fmt: skip
        if entry.event == VERDICT and not entry.details["accepted"]:
            status = REFUSED
        if entry.event in (REJECTED_BY, ROLLBACK):
            self.barred |= dict.fromkeys(version.marks, entry)
            self.staging = None if self.staging == number else self.staging
        elif entry.event == LIFT:
            self.barred = {m: by for m, by in self.barred.items() if m not in version.marks}
        if entry.event == STAGED and entry.details["moved"]:
            self.staging = number
        if entry.event == PROMOTED:
            self.champions.append(number)
        elif entry.event == ROLLBACK:
            assert entry.after is not None
            last = max(i for i, n in enumerate(self.champions[:-1]) if n == entry.after)
            del self.champions[last + 1 :]
        if self.candidate == number and (entry.event == PROMOTED or status != version.status):
            self.candidate = None
        self.versions[number] = replace(
            version, status=status, why=entry.why or version.why,
            verdict=entry if entry.event == VERDICT else version.verdict,
            entries=(*version.entries, entry),
        )  # fmt: skip
        back = self.versions.get(entry.after or 0)
        if entry.event == ROLLBACK and back is not None:  # it is about both
            self.versions[back.number] = replace(back, entries=(*back.entries, entry))


def standing_of(entries: Iterable[Entry]) -> Standing:
    """Say what follows from the log; a `RegistryError` if an entry contradicts those before."""
    standing = Standing()
    for entry in entries:
        standing.follow(entry)
    return standing


class DecisionLog:
    """The log of one clone, and of the remote that it shares it with.

    Args:
        project: A folder of the clone.
        flow_run: The Prefect run that new entries belong to, if any.
        patience: Seconds that the remote has to answer.

    Raises:
        RegistryError: The folder is in no repository.
    """

    def __init__(
        self, project: Path, *, flow_run: str | None = None, patience: float = PATIENCE
    ) -> None:
        self.project = project
        self.flow_run = flow_run
        self.patience = patience
        if not has_repository(project):
            raise RegistryError(
                f"{project.resolve()} lies in no git repository, and decisions about versions are "
                "kept in git. Make one with `git init`."
            )
        self.remote = remote_name(project)
        self.tip = ""
        self.entries: tuple[Entry, ...] = ()
        self._there = ""  # where the remote's branch was when it was read
        self._settings: dict[str, str] = {}  # git's, as of the last decision
        self._evidence: dict[str, bytes] = {}  # of the last decision: it is shown at once

    def read(self, *, shared: bool = True) -> tuple[Entry, ...]:
        """Read the log anew, from the remote if there is one.

        Args:
            shared: Whether to ask the remote; else what this clone knows is read.

        Raises:
            TransientError: The remote cannot be reached.
            RegistryError: The log was changed: an entry does not continue the one before, or the
                remote's does not continue what this clone has seen.
        """
        here, seen = self._commits_of(REF, self._seen())
        tip = self._fetch(here, seen) if shared and self.remote else here or seen
        if tip != self.tip:
            self.tip, self.entries = tip, self._chain(tip)
        return self.entries

    def append(
        self, drafts: Sequence[Entry], evidence: Mapping[str, bytes] | None = None
    ) -> tuple[Entry, ...]:
        """Add entries behind those that were read last, all of them or none.

        Args:
            drafts: Entries without what the log fills in.
            evidence: Content by sha256 of what they name as evidence.

        Returns:
            The entries as they are kept.

        Raises:
            OutrunError: The log has grown since it was read; nothing was added.
            TransientError: The remote cannot be reached; nothing was added.
            RegistryError: The remote refuses.
        """
        made, last = [], self.entries[-1] if self.entries else None
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        by = self._author()
        for draft in drafts:
            entry = replace(
                draft, number=last.number + 1 if last else 1, previous=last.digest if last else "",
                time=moment, by=by,
            )  # fmt: skip
            last = replace(entry, digest=sha256_of(entry.content()))
            made.append(last)
        tip = self._commit(made, evidence or {})
        if self.remote is None:
            old = self.tip or _NOTHING
            done = call_git(self.project, *_SYNCED, "update-ref", REF, tip, old)
            if done.returncode:
                raise OutrunError(git_words(done))
        else:
            try:
                self._push(tip)
            except TransientError:
                if not self._has_arrived(last):
                    raise
                return tuple(made)
            self._keep(tip)
        self.tip, self._there, self.entries = tip, tip, (*self.entries, *made)
        self._evidence = dict(evidence or {})
        return tuple(made)

    def evidence(self, digest: str) -> bytes:
        """Read what an entry rests on.

        Raises:
            RegistryError: The log does not hold it, or holds something else under its name.
        """
        if digest in self._evidence:
            return self._evidence[digest]
        done = call_git(self.project, "cat-file", "blob", f"{self.tip}:{_EVIDENCE}/{digest}")
        if done.returncode or sha256_of(done.stdout) != digest:
            raise RegistryError(
                f"the evidence {digest[:12]} is not in the log of decisions ({BRANCH}), which "
                "names it: the branch was changed. Restore it from another clone."
            )
        return done.stdout

    def _chain(self, tip: str) -> tuple[Entry, ...]:
        """Read all entries of a commit, and see that each continues the one before."""
        if not tip:
            return ()
        listed = self._git("ls-tree", f"{tip}:{_ENTRIES}").splitlines()
        blobs = "".join(f"{line.split()[2]}\n" for line in listed)
        done = call_git(self.project, "cat-file", "--batch", content=blobs.encode())
        if done.returncode or b" missing\n" in done.stdout:
            raise RegistryError(
                f"git cannot read an entry of the log of decisions here ({git_words(done)}): its "
                f"file is damaged. Bring {BRANCH} anew with `git fetch --refetch`."
            )
        entries: list[Entry] = []
        rest, before = done.stdout, ""
        while rest:
            head, _, rest = rest.partition(b"\n")
            size = int(head.split()[2])
            entry, rest = read_entry(rest[:size]), rest[size + 1 :]
            if (entry.number, entry.previous) != (len(entries) + 1, before):
                raise RegistryError(
                    f"entry {entry.number} of the log of decisions does not continue entry "
                    f"{len(entries)}: the branch {BRANCH} was changed. Restore it from another "
                    "clone (`git push --force` by its owner), and find out who changed it."
                )
            before = entry.digest
            entries.append(entry)
        return tuple(entries)

    def _fetch(self, here: str, seen: str) -> str:
        """Bring the remote's branch, which has to continue the one here; return its commit."""
        assert self.remote is not None
        found = call_git(
            self.project, "ls-remote", "--exit-code", self.remote, REF, seconds=self.patience
        )
        if found.returncode == 2:
            if seen:
                raise RegistryError(
                    f"the branch {BRANCH} is gone from the remote '{self.remote}', which had it: "
                    f"put it back with `git push {self.remote} {BRANCH}`, and ask who removed it."
                )
            self._there = ""
            return here  # begun before there was a remote: the next decision publishes all of it
        if found.returncode:
            raise self._away("cannot be read", found)
        tip = found.stdout.split()[0].decode()
        self._there = tip
        if tip == here == seen:
            return tip
        done = call_git(
            self.project, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=",
            self.remote, REF, seconds=self.patience,
        )  # fmt: skip
        if done.returncode:
            raise self._away("cannot be fetched", done)
        if here and call_git(self.project, "merge-base", "--is-ancestor", here, tip).returncode:
            raise RegistryError(
                f"the log of decisions at the remote '{self.remote}' ({tip[:10]}) does not "
                f"continue the one that this clone knows ({here[:10]}): one of them was rewritten, "
                "or both were begun apart. Compare them with `git log`, keep the right one as "
                f"{BRANCH}, and nothing is decided until then."
            )
        self._keep(tip)
        return tip

    def _keep(self, tip: str) -> None:
        """Remember what the remote has; another process of this clone may have been quicker."""
        lines = "".join(f"update {ref} {tip}\n" for ref in (REF, self._seen()))
        call_git(self.project, *_SYNCED, "update-ref", "--stdin", content=lines.encode())

    def _seen(self) -> str:
        return f"refs/pasam/{self.remote}/{BRANCH}"

    def _commits_of(self, *refs: str) -> list[str]:
        """Commits that refs point to; empty for one that is not there."""
        listed = self._git("for-each-ref", "--format=%(refname) %(objectname)", *refs)
        found = dict(line.split() for line in listed.splitlines())
        return [found.get(ref, "") for ref in refs]

    def _push(self, tip: str) -> None:
        """Let the remote take a commit if its branch is still where it was read."""
        assert self.remote is not None
        done = call_git(
            self.project, "push", "--porcelain", "--no-verify",
            f"--force-with-lease={REF}:{self._there}", self.remote, f"{tip}:{REF}",
            seconds=self.patience,
        )  # fmt: skip
        if not done.returncode:
            return
        said = git_words(done)
        if any(word in said for word in _OUTRUN):
            raise OutrunError(said)
        if "rejected]" in said:
            raise RegistryError(
                f"the remote '{self.remote}' refuses the log of decisions: {said}. Nothing was "
                f"decided. Whoever decides needs the right to push the branch {BRANCH}."
            )
        raise self._away("cannot be written", done)

    def _has_arrived(self, entry: Entry | None) -> bool:
        """Whether the remote has an entry after all, as after a connection that broke too late."""
        try:
            return entry is not None and entry.digest in {each.digest for each in self.read()}
        except TransientError as error:
            raise TransientError(
                f"the remote '{self.remote}' broke off while it took a decision, and whether it "
                f"did is unknown ({error}) Look at `pasam registry log` when it answers again."
            ) from None

    def _away(self, what: str, done: subprocess.CompletedProcess[bytes]) -> TransientError:
        return TransientError(
            f"the log of decisions at the remote '{self.remote}' {what}: {git_words(done)}. "
            "Nothing was decided; try again when the remote can be reached."
        )

    def _commit(self, entries: Sequence[Entry], evidence: Mapping[str, bytes]) -> str:
        """Write a commit of the log with these entries; no branch points to it yet."""
        tip = self.tip
        files = [_files_of(entry, evidence) for entry in entries]
        blobs = self._blobs([content for each in files for content in each.values()])
        signed = self._settings.get("commit.gpgsign") in ("true", "yes", "on", "1")
        with temporary_folder() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            if tip:
                self._git("read-tree", tip, env=index)
            for entry, named in zip(entries, files, strict=True):
                lines = "".join(f"100644 {blobs.pop(0)}\t{name}\n" for name in named).encode()
                self._git("update-index", "--add", "--index-info", content=lines, env=index)
                tree = self._git("write-tree", env=index).strip()
                about = "" if entry.version is None else f" version {entry.version}"
                message = f"{entry.number}: {entry.event}{about}\n\n{entry.why}".encode()
                options = (*(("-p", tip) if tip else ()), *(("-S",) if signed else ()))
                tip = self._git(
                    "commit-tree", tree, *options, content=message, env=_identity(entry.by)
                ).strip()
        return tip

    def _blobs(self, contents: Sequence[bytes]) -> list[str]:
        """Let git keep contents, all in one call; return their names in the same order."""
        with temporary_folder() as folder:
            paths = [Path(folder).resolve() / str(number) for number in range(len(contents))]
            for path, content in zip(paths, contents, strict=True):
                path.write_bytes(content)
            listed = "".join(f"{path}\n" for path in paths).encode()
            return self._git(
                "hash-object", "-w", "--no-filters", "--stdin-paths", content=listed
            ).split()

    def _author(self) -> dict[str, str]:
        asked = r"^(user\.(name|email)|commit\.gpgsign)$"
        found = self._git("config", "--null", "--get-regexp", asked, fails=True).split("\0")
        self._settings = {line.partition("\n")[0]: line.partition("\n")[2] for line in found}
        name, mail = (self._settings.get(f"user.{what}", "").strip() for what in ("name", "email"))
        host = socket.gethostname()
        return {
            "who": f"{name or _user()} <{mail or f'{_user()}@{host}'}>",
            "user": _user(),
            "host": host,
            "clone": clone_id(self.project),
            "commit": self._git("rev-parse", "--verify", "--quiet", "HEAD", fails=True).strip(),
            "flow_run": self.flow_run or "",
        }

    def _git(
        self, *arguments: str, content: bytes | None = None, env: _Env = None, fails: bool = False
    ) -> str:
        """Run git; a failure is an error unless it `fails` for a reason that is no fault."""
        done = call_git(self.project, *_SYNCED, *arguments, content=content, env=env)
        if done.returncode and not fails:
            raise RegistryError(
                f"the log of decisions cannot be kept: git {arguments[0]}: {git_words(done)}."
            )
        return done.stdout.decode(errors="replace")


def _files_of(entry: Entry, evidence: Mapping[str, bytes]) -> dict[str, bytes]:
    """Content by path of what the branch keeps of an entry."""
    kept = {f"{_EVIDENCE}/{d}": evidence[d] for d in entry.evidence.values() if d in evidence}
    return {f"{_ENTRIES}/{entry.number:06}.json": entry.content(), **kept}


def _identity(by: Mapping[str, str]) -> dict[str, str]:
    """Git's own variables: a machine without an identity in its configuration may decide, too."""
    name, _, mail = by["who"].rpartition(" <")
    return {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", mail.rstrip(">")))
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
