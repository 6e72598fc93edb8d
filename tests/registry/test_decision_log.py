"""The log of decisions only grows, says when it was changed, and lets one of two machines win."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from tracked_world import git

from pasam.errors import RegistryError, TransientError
from pasam.files import sha256_of
from pasam.registry.decision_log import (
    BRANCH,
    REF,
    DecisionLog,
    Entry,
    OutrunError,
    Standing,
    read_entry,
    standing_of,
)
from pasam.registry.upkeep.champion_history import (
    account,
    decided,
    reigns,
    verdict_behind,
    why_in_use,
)
from pasam.registry.upkeep.claims import _earlier
from pasam.registry.upkeep.cleaning import removable
from pipelines.flows.decision_tables import decision_tables

TABLE = b"scores"


def clone_of(bare, folder):
    git(bare.parent, "clone", "--quiet", str(bare), str(folder))
    return folder


@pytest.fixture
def alone(tmp_path):
    """A repository without a remote, with a file that is not committed."""
    folder = tmp_path / "alone"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "new.txt").write_text("mine")
    return folder


@pytest.fixture
def bare(tmp_path):
    place = tmp_path / "shared.git"
    git(tmp_path, "init", "--quiet", "--bare", str(place))
    return place


@pytest.fixture
def clones(bare, tmp_path):
    """The logs of two clones of one remote."""
    return tuple(DecisionLog(clone_of(bare, tmp_path / name)) for name in ("one", "two"))


def registration(number, before=None, **more):
    details = {"key": f"k{number}", "tags": {}, **more}
    return Entry(event="register", version=number, before=before, after=before, details=details)


def promotion(number, before=None):
    return Entry(event="promote", version=number, before=before, after=number, why="better")


def test_entries_are_chained_and_say_who_when_where(alone):
    log = DecisionLog(alone, flow_run="f1")
    git(alone, "config", "user.name", "Ada")
    git(alone, "config", "user.email", "ada@example.org")
    assert log.read() == ()
    log.append([registration(1), promotion(1)])
    log.append([registration(2, before=1)])
    first, second, third = DecisionLog(alone).read()
    assert [entry.number for entry in (first, second, third)] == [1, 2, 3]
    assert (first.previous, second.previous, third.previous) == ("", first.digest, second.digest)
    assert first.digest == sha256_of(first.content())
    assert third.time.endswith("+00:00")
    assert third.by["who"] == "Ada <ada@example.org>"
    assert third.by["flow_run"] == "f1"
    assert {"user", "host", "clone", "commit"} < set(third.by)
    assert str(alone.parent) not in third.content().decode()
    said = git(alone, "log", "--format=%s, %b, %an %ae%x00", BRANCH).replace("\n", "").split("\0")
    assert said[:2] == [
        "3: register version 2, , Ada ada@example.org",
        "2: promote version 1, better, Ada ada@example.org",
    ]


def test_the_working_tree_its_index_and_its_branch_stay_as_they_are(alone):
    git(alone, "add", "new.txt")
    before = git(alone, "status", "--porcelain", "--branch")
    log = DecisionLog(alone)
    log.read()
    log.append([registration(1)])
    assert git(alone, "status", "--porcelain", "--branch") == before
    assert (alone / "new.txt").read_text() == "mine"
    assert git(alone, "show", f"{BRANCH}:entries/000001.json").encode() == log.entries[0].content()


def test_a_machine_without_a_git_identity_may_decide(alone, monkeypatch):
    monkeypatch.setenv("HOME", str(alone))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    log = DecisionLog(alone)
    log.read()
    (entry,) = log.append([registration(1)])
    assert "@" in entry.by["who"]


def test_evidence_lies_beside_the_entries_and_is_kept_once(alone):
    log, digest = DecisionLog(alone), sha256_of(TABLE)
    log.read()
    for number in (1, 2):
        log.append([replace(registration(number), evidence={"s": digest})], {digest: TABLE})
    assert DecisionLog(alone).read()[1].evidence == {"s": digest}
    assert log.evidence(digest) == TABLE
    assert git(alone, "ls-tree", "--name-only", f"{BRANCH}:evidence").split() == [digest]
    with pytest.raises(RegistryError, match="evidence 000000000000 is not in the log"):
        log.evidence("0" * 64)


def test_without_a_repository_it_is_said_what_to_do(tmp_path):
    with pytest.raises(RegistryError, match=r"lies in no git repository.*git init"):
        DecisionLog(tmp_path)


def test_of_two_machines_one_wins_and_the_other_reads_what_was_decided(clones):
    one, two = clones
    for log in clones:
        log.read()
    one.append([registration(1)])
    with pytest.raises(OutrunError, match=r"stale info|fetch first"):
        two.append([registration(2)])
    assert [entry.version for entry in two.read()] == [1]
    two.append([registration(2)])
    assert [entry.version for entry in one.read()] == [1, 2]
    assert one.tip == two.tip


def test_of_two_processes_of_one_clone_one_wins(alone):
    first, second = DecisionLog(alone), DecisionLog(alone)
    for log in (first, second):
        log.read()
    first.append([registration(1)])
    with pytest.raises(OutrunError, match="cannot lock ref"):
        second.append([registration(2)])
    assert len(second.read()) == 1


def test_a_remote_that_is_away_is_a_passing_fault_and_decides_nothing(clones, bare):
    log, _ = clones
    log.read()
    log.append([registration(1)])
    away = bare.rename(bare.with_name("away.git"))
    with pytest.raises(
        TransientError, match=r"remote 'origin' cannot be read.*Nothing was"
    ) as told:
        DecisionLog(log.project).read()
    assert told.value.exit_code == 75
    with pytest.raises(TransientError):
        log.append([registration(2)])
    away.rename(bare)
    assert len(DecisionLog(log.project).read()) == 1
    assert len(DecisionLog(log.project).read(shared=False)) == 1


def test_a_remote_that_hangs_is_given_up_after_a_while(clones):
    log, _ = clones
    git(log.project, "config", "remote.origin.uploadpack", "sleep 30; git-upload-pack")
    with pytest.raises(TransientError, match=r"cannot be read: no answer within 0\.5 s"):
        DecisionLog(log.project, patience=0.5).read()


def test_a_push_whose_answer_was_lost_is_found_to_have_arrived(clones, monkeypatch):
    log, other = clones
    log.read()
    push = DecisionLog._push

    def cut_off(self, tip):
        push(self, tip)
        raise TransientError("connection lost")

    monkeypatch.setattr(DecisionLog, "_push", cut_off)
    (entry,) = log.append([registration(1)])
    assert [each.digest for each in log.entries] == [entry.digest]
    assert len(other.read()) == 1


def test_a_remote_that_refuses_is_an_error_with_its_words(clones, bare):
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    log, _ = clones
    log.read()
    with pytest.raises(RegistryError, match=r"refuses the log.*protected.*the right to push"):
        log.append([registration(1)])
    assert DecisionLog(log.project).read() == ()


def test_a_log_begun_without_a_remote_is_published_by_the_next_decision(alone, bare, tmp_path):
    log = DecisionLog(alone)
    log.read()
    log.append([registration(1)])
    git(alone, "remote", "add", "origin", str(bare))
    log = DecisionLog(alone)
    assert len(log.read()) == 1
    log.append([registration(2)])
    assert len(DecisionLog(clone_of(bare, tmp_path / "two")).read()) == 2


def test_a_remote_that_was_rewritten_or_lost_the_branch_is_told(clones, bare):
    one, two = clones
    one.read()
    one.append([registration(1)])
    old = one.tip
    one.append([registration(2)])
    two.read()
    git(bare, "update-ref", REF, old)
    with pytest.raises(RegistryError, match="does not continue the one that this clone knows"):
        DecisionLog(two.project).read()
    git(bare, "update-ref", "-d", REF)
    with pytest.raises(RegistryError, match=r"is gone from the remote .*git push origin pasam"):
        DecisionLog(two.project).read()


def rewrite(folder, name, content):
    """Put a file of the log in another's place, as an attacker would."""
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=folder, input=content, capture_output=True,
        check=True,
    ).stdout.decode().strip()  # fmt: skip
    listed = git(folder, "ls-tree", f"{BRANCH}:entries").splitlines()
    lines = [f"100644 blob {blob}\t{name}" if line.endswith(name) else line for line in listed]
    tree = subprocess.run(
        ["git", "mktree"], cwd=folder, input="\n".join(lines), text=True, capture_output=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    root = subprocess.run(
        ["git", "mktree"], cwd=folder, input=f"040000 tree {tree}\tentries\n", text=True,
        capture_output=True, check=True,
    ).stdout.strip()  # fmt: skip
    git(folder, "update-ref", REF, git(folder, "commit-tree", root, "-m", "x").strip())


@pytest.mark.parametrize("damage", [lambda content: content[:10] + b"x" + content[11:], None])
def test_a_damaged_or_lost_file_of_git_is_told_in_words(damage, alone):
    DecisionLog(alone).append([registration(1)])
    name = git(alone, "rev-parse", f"{REF}:entries/000001.json").strip()
    file = alone / ".git" / "objects" / name[:2] / name[2:]
    content = file.read_bytes()
    file.unlink()
    if damage is not None:
        file.write_bytes(damage(content))
    with pytest.raises(RegistryError, match=r"cannot read an entry .*git fetch --refetch"):
        DecisionLog(alone).read()


def test_an_entry_that_was_changed_breaks_the_chain(alone):
    git(alone, "config", "user.email", "x@example.org")
    git(alone, "config", "user.name", "X")
    log = DecisionLog(alone)
    log.read()
    log.append([registration(1), promotion(1), registration(2, before=1)])
    words = json.loads(log.entries[1].content())
    words["why"] = "other"
    changed = (json.dumps(words, indent=1, sort_keys=True) + "\n").encode()
    rewrite(alone, "000002.json", changed)
    with pytest.raises(RegistryError, match="entry 3 of the log of decisions does not continue"):
        DecisionLog(alone).read()
    rewrite(alone, "000002.json", b"{}")
    with pytest.raises(RegistryError, match="this is no entry of the log"):
        DecisionLog(alone).read()


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{", b"[" * 100_000, b'{"event": "x"}', b"\xff", Entry(event="x").content()
])  # fmt: skip
def test_what_is_no_entry_is_refused_in_a_sentence(content):
    with pytest.raises(RegistryError, match="no entry of the log"):
        read_entry(content)


def test_credentials_of_an_address_are_in_no_message(alone):
    secret = "glpat-secret"
    git(alone, "remote", "add", "origin", f"https://oauth2:{secret}@127.0.0.1:9/x.git")
    with pytest.raises(TransientError) as told:
        DecisionLog(alone).read()
    assert secret not in str(told.value)


def history(*entries):
    return standing_of(replace(entry, number=n + 1) for n, entry in enumerate(entries))


def rolled_back(number, to):
    return Entry(event="rollback", version=number, before=number, after=to, why="worse")


THREE = (registration(1), promotion(1), registration(2, 1), promotion(2, 1),
         registration(3, 2), promotion(3, 2))  # fmt: skip


def test_the_way_back_follows_the_champions_before_and_bars_the_one_that_goes():
    standing = history(*THREE)
    assert standing.aliases == {"champion": 3, "previous": 2}
    standing = history(*THREE, rolled_back(3, 2))
    assert standing.aliases == {"champion": 2, "previous": 1}
    assert set(standing.barred) == {"k3"}
    assert standing.versions[3].status == "rolled back"
    standing = history(*THREE, rolled_back(3, 2), rolled_back(2, 1))
    assert standing.aliases == {"champion": 1}


def test_the_way_back_goes_past_what_a_person_has_rejected():
    rejected = Entry(event="reject", version=2, before=3, after=3, why="halos")
    standing = history(*THREE, rejected)
    assert standing.aliases == {"champion": 3, "previous": 1}
    lifted = Entry(event="lift", version=2, before=3, after=3, why="labels were wrong")
    standing = history(*THREE, rejected, lifted)
    assert standing.aliases == {"champion": 3, "previous": 2}
    assert standing.barred == {}


def test_what_a_person_has_rejected_is_in_no_environment():
    staged = Entry(
        event="stage", version=4, before=3, after=3, details={"accepted": True, "moved": True}
    )
    standing = history(*THREE, registration(4, 3), staged)
    assert standing.aliases["staging"] == 4
    rejected = Entry(event="reject", version=4, before=3, after=3, why="halos")
    standing = history(*THREE, registration(4, 3), staged, rejected)
    assert "staging" not in standing.aliases
    assert set(standing.barred) == {"k4"}


def test_a_version_that_comes_back_under_another_number_takes_over_all_that_it_was():
    again = registration(4, before=3, replaces=3)
    again = replace(again, details={**again.details, "key": "k3"}, after=4)
    standing = history(*THREE, again)
    assert standing.aliases == {"champion": 4, "previous": 2}
    assert standing.by_key("k3").number == 4
    assert standing.versions[4].status == "accepted"
    assert 3 not in standing.versions


def test_an_entry_that_contradicts_those_before_is_refused():
    with pytest.raises(RegistryError, match="names 1 as the champion, and they 2"):
        history(*THREE[:4], registration(3, 1))
    with pytest.raises(RegistryError, match="versions are \\[1, 2, 3\\]"):
        history(*THREE, promotion(9, 3))


def verdict(number, *, champion=None, gain=None, gate="g1"):
    checks = [{"name": "mean", "passed": True, "reason": "mean: good enough"}]
    measured = None if gain is None else {"mean": gain, "low": gain - 1.0, "std": 1.0}
    details = {
        "accepted": True, "champion": champion, "checks": checks, "decision": "promote",
        "gains": {}, "gate": {"mode": "on"}, "mean_gain": measured, "mean_score": 60.0 + number,
        "reasons": ["mean: good enough"], "scores": {}, "version": number,
    }  # fmt: skip
    digest = sha256_of(TABLE)
    return Entry(
        event="verdict", version=number, before=champion, after=champion, gate=gate,
        details=details, evidence={"scores.parquet": digest},
    )  # fmt: skip


@pytest.fixture
def fair(alone):
    """A log: 1 was first, 2 won against it, 3 was promoted unjudged and rolled back, 1 rejected."""
    log, evidence = DecisionLog(alone), {sha256_of(TABLE): TABLE}
    git(alone, "config", "user.name", "Ada")
    git(alone, "config", "user.email", "ada@example.org")
    log.read()
    log.append([registration(1), verdict(1), promotion(1)], evidence)
    params = {"train.learning_rate": "0.001"}
    tags = {"git.commit": "c0ffee", "git.dirty": "false", "data.manifest_md5": "da7a"}
    made = registration(2, before=1, params=params, tags=tags)
    log.append([made, verdict(2, champion=1, gain=4.5), promotion(2, before=1)], evidence)
    hurried = replace(promotion(3, before=2), why="the fair is tomorrow", gate="g2")
    unjudged = registration(3, before=2, tags={"scores.mbiou": '{"mean": 38.8}'})
    log.append([unjudged, hurried])
    git(alone, "config", "user.name", "Grace")
    torn = Entry(event="rollback", version=3, before=3, after=2, why="masks looked torn")
    rejected = Entry(event="reject", version=1, before=2, after=2, why="trained too fast")
    log.append([torn, rejected])
    return log


def test_it_is_told_who_was_champion_until_when_and_why_no_longer(fair):
    found = reigns(fair.entries)
    assert [each.version for each in found] == [1, 2, 3, 2]
    assert [each.ended and each.ended.event for each in found] == [
        "promote", "promote", "rollback", None,
    ]  # fmt: skip
    facts = dict(why_in_use(fair.entries, standing_of(fair.entries)))
    assert facts["in use since"].endswith("came back when version 3 was rolled back")
    assert "Grace" in facts["decided"]
    assert "Ada" in facts["promoted before"]
    assert "62.00, +4.50 points against version 1" in facts["why it won"]
    assert "at least +3.50" in facts["why it won"]
    assert facts["champion before"].startswith("version 3; rolled back; entry 9 of the log")
    assert facts["champion before"].endswith("masks looked torn")


def test_what_nobody_judged_is_told_though_it_was_judged_at_another_time(fair):
    standing = standing_of(fair.entries)
    assert verdict_behind(standing.versions[3]) is None
    late = verdict(2, champion=2)
    fair.append([replace(late, details={**late.details, "accepted": False})])
    version = standing_of(fair.entries).versions[2]
    assert version.verdict.number == 11, "the last one"
    assert verdict_behind(version).number == 5, "the one it became champion by"


def test_a_versions_account_says_of_what_it_is_made_and_whether_its_evidence_is_whole(fair):
    told = account(fair, standing_of(fair.entries), 2)
    assert ("code: git commit", "c0ffee") in told["made of"]
    assert ("code: uncommitted changes", "none") in told["made of"]
    assert ("data: manifest, md5", "da7a") in told["made of"]
    assert told["made with the params"] == [("train.learning_rate", "0.001")]
    assert told["what the gate found"] == [("holds", "mean: good enough")]
    where = dict(told["evidence"])
    assert where["scores.parquet of entry 5"] == f"evidence/{sha256_of(TABLE)}: whole"
    assert "entries 1 to 10 each continue the one before" in where["the log lies"]
    fair._evidence = {"f" * 64: b""}
    git(fair.project, "commit", "--quiet", "--allow-empty", "--message", "none")
    fair.tip = git(fair.project, "rev-parse", "HEAD").strip()
    where = dict(account(fair, standing_of(fair.entries), 2)["evidence"])
    assert where["scores.parquet of entry 5"].endswith(": DAMAGED OR GONE")
    barred = dict(account(fair, standing_of(fair.entries), 1)["state"])
    assert "trained too fast; `pasam registry lift 1" in barred["may not be promoted"]
    assert barred["in use"].endswith("version 2 took its place; " + decided(fair.entries[5]))


def test_the_page_has_the_champions_the_barred_and_the_gates_judgement(fair, monkeypatch):
    monkeypatch.chdir(fair.project)
    tables = {t.heading: t for t in decision_tables(fair, standing_of(fair.entries), None)}
    assert [row[0] for row in tables["Champions"].rows] == ["2", "3", "2", "1"]
    assert [row[0] for row in tables["May not be promoted"].rows] == ["3", "1"]
    assert tables["May not be promoted"].rows[1][-1] == 'pasam registry lift 1 --why "..."'
    assert "judged version 2 against version 1" in tables["Why it won"].lead
    assert tables["Why it won"].rows[0] == ("mean", "yes", "mean: good enough")
    assert tables["Versions"].rows[0][5:8] == ("not judged, measured 38.80", "", "")
    assert tables["Versions"].rows[1][6] == "version 1"
    assert dict(tables["Params"].rows) == {"train.learning_rate": "0.001"}
    back = dict(tables["Champion"].rows)["the way back"]
    assert back.startswith("none: every other version may not be promoted")
    assert "pasam registry lift 3 --why" in back


class Plainly:
    """What the log means, in the plainest words: whoever was promoted, and who is out."""

    def __init__(self):
        self.champions, self.out, self.status = [], set(), {}
        self.staging = self.candidate = None

    @property
    def previous(self):
        before = [n for n in self.champions[:-1] if n != self.champions[-1] and n not in self.out]
        return before[-1] if before else None

    def becomes(self, number, status):
        if self.candidate == number and self.status[number] != status:
            self.candidate = None
        self.status[number] = status

    def goes_out(self, number, status):
        self.becomes(number, status)
        self.out.add(number)
        self.staging = None if self.staging == number else self.staging

    def act(self, event, number, holds):
        """Do it, or return nothing where the commands would refuse it."""
        champion = self.champions[-1] if self.champions else None
        common = {"event": event, "before": champion, "after": champion, "version": number}
        if event == "register":
            number = len(self.status) + 1
            self.status[number], self.candidate = "registered", number
            return Entry(**common | {"version": number, "details": {"key": f"k{number}"}})
        if event == "rollback":
            back = self.previous
            if back is None:
                return None
            self.goes_out(champion, "rolled back")
            while self.champions[-1] != back:
                self.champions.pop()
            return Entry(**common | {"version": champion, "after": back})
        if number not in self.status or number == champion:
            return None
        if (number in self.out) is not (event == "lift"):
            return None
        if event == "promote":
            self.becomes(number, "accepted")
            self.champions.append(number)
            return Entry(**common | {"after": number})
        if event == "reject":
            self.goes_out(number, "rejected")
        elif event == "lift":
            self.out.discard(number)
            self.becomes(number, "registered")
        elif event == "verdict" and not holds:
            self.becomes(number, "refused")
        elif event == "stage" and holds:
            self.staging = number
        return Entry(**common, details={"accepted": holds, "moved": holds})


EVENTS = ("register", "promote", "promote", "rollback", "reject", "lift", "verdict", "stage")


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_decided_in_whatever_order_means_what_the_plain_rules_say(seed):
    draw = Random(seed)
    plain, standing, number = Plainly(), Standing(), 0
    for event in ("register", "register", *draw.choices(EVENTS, k=400)):
        which, holds = draw.randint(1, 4), draw.random() < 0.5
        if event == "register" and len(plain.status) == 4:
            continue
        entry = plain.act(event, which, holds)
        if entry is None:
            continue
        number += 1
        standing.follow(replace(entry, number=number))
        aliases = {
            "champion": plain.champions[-1] if plain.champions else None,
            "previous": plain.previous, "candidate": plain.candidate, "staging": plain.staging,
        }  # fmt: skip
        assert standing.aliases == {k: v for k, v in aliases.items() if v is not None}
        assert standing.champions == plain.champions
        found = standing.versions
        assert {n: each.status for n, each in found.items()} == plain.status
        assert {n for n, each in found.items() if standing.barring(each)} == plain.out


def test_a_champion_of_a_year_ago_is_the_last_that_had_taken_over_by_then_and_is_in_line_still():
    def at(entry, days):
        moment = datetime.now(UTC) - timedelta(days=days)
        return replace(entry, time=moment.isoformat(timespec="milliseconds"))

    standing = history(
        at(registration(1), 900), at(promotion(1), 900), at(registration(2, 1), 500),
        at(promotion(2, 1), 500), at(registration(3, 2), 400), at(promotion(3, 2), 400),
        at(rolled_back(3, 2), 390), at(registration(4, 2), 300), at(promotion(4, 2), 300),
    )  # fmt: skip
    assert _earlier(standing) == 2, "3 was rolled back, and 4 came later"
    young = history(at(registration(1), 9), at(promotion(1), 9), at(registration(2, 1), 8),
                    at(promotion(2, 1), 8))  # fmt: skip
    assert _earlier(young) == 1
    assert _earlier(Standing()) is None
    again = history(at(registration(1), 900), at(promotion(1), 900), at(registration(2, 1), 500),
                    at(promotion(2, 1), 500), at(registration(5, 2, replaces=2), 400))  # fmt: skip
    assert _earlier(again) == 5


def test_of_old_versions_those_in_use_stay_and_what_is_gone_counts_for_nothing():
    entries = [*THREE, *(registration(number, 3) for number in range(4, 10))]
    staged = Entry(event="stage", version=5, before=3, after=3, details={"moved": True})
    gone = Entry(event="remove", version=4, before=3, after=3)
    standing = history(*entries, staged, gone)
    assert (standing.candidate, standing.claims) == (9, [])
    for keep, going in ((0, [6, 7, 8]), (1, [6, 7]), (2, [6]), (3, []), (9, [])):
        assert removable(standing, keep) == going


def test_what_is_barred_is_barred_by_its_bytes_and_by_its_numbers_alone():
    rejected = Entry(event="reject", version=2, before=None, why="halos")
    made = [registration(n, tensors=t) for n, t in ((1, "a"), (2, "b"), (3, "b"), (4, "c"))]
    standing = history(*made, rejected, registration(5, barred=True))
    barred = {n: standing.barring(each) for n, each in standing.versions.items()}
    assert {n: by and by.number for n, by in barred.items()} == {1: None, 2: 5, 3: 5, 4: None, 5: 6}
    lifted = history(*made, rejected, Entry(event="lift", version=3))
    assert set(lifted.barred) == {"k2"}, "the numbers are free, the first file is not"


def test_what_is_registered_again_stays_what_it_was_and_what_takes_its_place_is_that_too():
    refused = replace(verdict(2, champion=1), why="no gain")
    refused = replace(refused, details={**refused.details, "accepted": False})
    staged = Entry(event="stage", version=2, before=1, after=1, details={"moved": True})
    begun = [*THREE[:3], staged, refused, replace(registration(2, 1), why="cleaner")]
    version = history(*begun).versions[2]
    assert (version.status, version.why, version.verdict.number) == ("refused", "no gain", 5)
    assert (version.registered.number, [e.number for e in version.entries]) == (6, [3, 4, 5, 6])
    standing = history(*begun, registration(3, 1, replaces=2))
    assert (standing.staging, standing.candidate, set(standing.versions)) == (3, 3, {1, 3})
    taken = standing.versions[3]
    assert (taken.status, taken.why, taken.registered.number) == ("refused", "no gain", 7)
    assert [entry.number for entry in taken.entries] == [3, 4, 5, 6, 7]
