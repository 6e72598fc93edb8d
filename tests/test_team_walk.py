"""Two people in two clones do what docs/team.md says, as typed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from small_world import dump_yaml
from team_servers import ACCOUNTS, ADDRESSES, HOST, INSIDE, LOGINS, MLFLOW
from tracked_world import KEPT, copy_tracked, git, write_lock

STAGE = """\
import os, pathlib, sys
name, *deps = sys.argv[1:]
with open(os.environ["RAN"], "a") as ran:
    ran.write(f"{os.environ['WHO']} {name}\\n")
text = "".join(pathlib.Path(dep).read_text() for dep in deps)
params = pathlib.Path("params.yaml").read_text().split(f"\\n{name}:")[-1].split("\\n\\n")[0]
pathlib.Path(name).write_text(text if deps else params)
"""
LENIENT = {
    "mode": "on", "allow_generated": True, "floor_mean": 0.0, "floor_benchmark": 0.0,
    "n_resamples": 100, "latency_ms": 100_000.0, "latency_ratio": 1000.0,
}  # fmt: skip
GRAPH = {"robustness": (), "instances": (), "report": ("robustness", "instances")}


def write_project(folder, root):
    """Write the real params and three small stages that read them."""
    shutil.copy(root / "params/default.yaml", folder / "params.yaml")
    shutil.copy(root / ".gitattributes", folder)
    (folder / "stage.py").write_text(STAGE)
    (folder / ".gitignore").write_text("".join(f"/{name}\n" for name in GRAPH))
    stages = {
        name: {
            "cmd": " ".join(["python", "stage.py", name, *deps]),
            "deps": ["stage.py", *deps],
            **({} if deps else {"params": [name]}),
            "outs": [name],
        }
        for name, deps in GRAPH.items()
    }
    (folder / "dvc.yaml").write_text(dump_yaml({"stages": stages}))


class Team:
    """A bare remote, a DVC remote, and two clones with their own names."""

    def __init__(self, folder, root, monkeypatch):
        self.folder = folder
        monkeypatch.setenv("RAN", str(folder / "ran"))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "nobody"))
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name, code in (
            ("pasam", "from pasam.cli.app import app; app()"),
            ("dvc", "from dvc.cli import main; import sys; sys.exit(main())"),
        ):
            program = bin_folder / name
            program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
            program.chmod(0o755)
        monkeypatch.setenv("PYTHONPATH", str(root))
        python = os.path.dirname(sys.executable)  # noqa: PTH120  (a link stays one)
        monkeypatch.setenv("PATH", os.pathsep.join([str(bin_folder), python, os.environ["PATH"]]))
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder / "git"], check=True)
        self._begin(root)

    def _begin(self, root):
        ada = self.folder / "Ada"
        subprocess.run(["git", "clone", "-q", self.folder / "git", ada], check=True)
        write_project(ada, root)
        self.identify("Ada")
        self.run(
            "Ada",
            "git checkout -q -B main; dvc init -q; dvc remote add -q --default team ../dvc;"
            "dvc repro -q;"
            "git add --all; git commit -q -m Begin; dvc push -q; git push -q -u origin main",
        )
        subprocess.run(["git", "clone", "-q", self.folder / "git", self.folder / "Ben"], check=True)
        self.identify("Ben")
        self.run("Ben", "dvc pull -q")

    def identify(self, who):
        self.run(
            who, f"git config user.name {who}; git config user.email {who}@example.org;"
            "pasam merge --setup",
        )  # fmt: skip

    def run(self, who, line, *, fails=False):
        done = subprocess.run(
            ["bash", "-ec", line], cwd=self.folder / who, env={**os.environ, "WHO": who},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{who}: {line}\n{said}"
        return said

    def ran(self):
        path = self.folder / "ran"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


class Colleagues:
    """Two accounts with paths of their own, on a machine with the team's servers.

    Git and DVC go over SSH, each with the own account and key; MLflow lies on PostgreSQL behind the
    proxy, which asks for a password.
    """

    def __init__(self, machine):
        self.machine = machine
        self.places = {
            "Ada": machine.folder / "home/Ada/src/pasam", "Ben": machine.folder / "home/Ben/p",
        }  # fmt: skip
        self.log = machine.folder / "ran"
        self.log.touch()
        self.log.chmod(0o666)
        machine.start_sshd()
        for who in self.places:
            self.type(
                who, f"git config --global user.name {who};"
                f"git config --global user.email {who}@example.org; mkdir -p {self.places[who]}",
                folder=machine.folder / "home" / who,
            )  # fmt: skip

    def type(self, who, line, *, fails=False, folder=None):
        login = {"MLFLOW_TRACKING_USERNAME": who.lower(), "MLFLOW_TRACKING_PASSWORD": LOGINS[who]}
        return self.machine.run(
            self.placed(line), who=who, fails=fails,
            folder=folder or self.places[who], RAN=str(self.log), MLFLOW_TRACKING_URI=MLFLOW,
            **login,
        )  # fmt: skip

    def placed(self, line):
        return line.replace("/srv/", f"{self.machine.folder}/srv/")

    def begin(self, once):
        """Ada makes the team's remotes as the docs say, and Ben clones."""
        for line in once:
            if line.startswith("sudo "):
                self.machine.run(self.placed(line.removeprefix("sudo ")))
            else:
                self.type("Ada", line)
        line = "git clone --quiet ssh://git.example.org/srv/pasam.git ."
        self.type("Ben", f"{line}; pasam merge --setup; dvc pull --quiet --allow-missing")

    def ran(self):
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines


@pytest.fixture
def team(tmp_path, root, monkeypatch):
    return Team(tmp_path, root, monkeypatch)


@pytest.fixture
def colleagues(machine):
    return Colleagues(machine)


def lines_of(block):
    return [line for line in block.splitlines() if line.strip()]


def blocks(root, *headings):
    """The walks of docs/team.md under some headings: who types what."""
    text = (root / "docs/team.md").read_text()
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        if part.partition("\n")[0] in headings:
            for block in re.findall(r"```console\n# (Ada|Ben)\n(.*?)```", part, re.DOTALL):
                yield block[0], lines_of(block[1])


def once(root):
    """What docs/team.md has one of a team type, once."""
    text = (root / "docs/team.md").read_text()
    return lines_of(re.search(r"## Once\n\n```console\n(.*?)```", text, re.DOTALL)[1])


def walk(root, headings, type_in, ran):
    """Type the docs' lines; return what they said, and which stages ran in each block."""
    said, stages = [], []
    for who, lines in blocks(root, *headings):
        for line in lines:
            command, note = re.fullmatch(r"(.*?)(?:\s+#(.*))?", line).groups("")
            said.append(type_in(who, command, fails=note.strip().startswith("fails:")))
        stages.append(ran())
    return said, stages


def check_two_retrainings(root, type_in, ran):
    said, stages = walk(root, ("Two people, two changes", "Two people, one value"), type_in, ran)
    assert stages == [
        ["Ada robustness", "Ada report"],
        ["Ben instances", "Ben report", "Ben report"],  # of her and his change together: once
        ["Ada robustness", "Ada report"],
        ["Ben robustness", "Ben report"],  # before he knew; after the merge nothing
    ]
    told = next(text for text in said if "both sides changed 1" in text)
    assert "robustness.images was 8, is 10 in ours and 12 in theirs" in told
    assert "Ada: Robustness on twelve images" in told
    type_in("Ada", "git pull -q --no-rebase --no-edit; dvc pull -q; dvc repro")
    assert ran() == []
    states = [type_in(who, "git rev-parse HEAD^{tree}; dvc status") for who in ("Ada", "Ben")]
    assert states[0] == states[1]
    for who in ("Ada", "Ben"):
        text = type_in(who, "cat params.yaml")
        assert "\n  images: 12\n" in text
        assert "\n  boxes_per_image: 50\n" in text
        assert type_in(who, "git status --porcelain") == ""


@pytest.mark.slow
def test_two_people_merge_two_retrainings_as_the_docs_say_and_nothing_runs_twice(team, root):
    assert sorted(team.ran()) == ["Ada instances", "Ada report", "Ada robustness"]
    check_two_retrainings(root, team.run, team.ran)


@pytest.mark.slow
def test_two_accounts_do_so_over_ssh_with_paths_of_their_own(colleagues, root):
    ada = colleagues.places["Ada"]
    write_project(ada, root)
    colleagues.type(
        "Ada", "git init -q -b main; dvc init -q; pasam merge --setup; dvc repro -q; git add --all;"
        "git commit -q -m Begin",
    )  # fmt: skip
    assert sorted(colleagues.ran()) == ["Ada instances", "Ada report", "Ada robustness"]
    colleagues.begin(once(root))
    colleagues.type("Ben", "dvc repro")
    assert colleagues.ran() == []
    check_two_retrainings(root, colleagues.type, colleagues.ran)
    stored = (colleagues.machine.folder / "srv/pasam-dvc").rglob("*")
    owners = {path.stat().st_uid for path in stored}
    assert owners == {ACCOUNTS["Ada"], ACCOUNTS["Ben"]}


def place_project(colleagues, tracked_once, root):
    """Give Ada a project whose stages have run, known to DVC, and whose gate accepts."""
    machine, ada = colleagues.machine, colleagues.places["Ada"]
    own = copy_tracked(tracked_once, machine.folder / "world")
    own.change("gate", **LENIENT)
    shutil.copytree(own.folder, ada, dirs_exist_ok=True)
    for name in (".git", ".dvc", "dvc.lock"):
        path = ada / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in (".gitignore", ".gitattributes", "catalogue.lock"):
        shutil.copy(root / name, ada)
    for name in ("pasam", "pipelines"):  # the code that the stages' records name
        ignored = shutil.ignore_patterns("__pycache__", "packaged")
        shutil.copytree(root / name, ada / name, dirs_exist_ok=True, ignore=ignored)
    (ada / "data/own/README.md").write_text("No set of one's own.\n")
    machine.run(f"chown -R Ada:pasam {ada}")
    colleagues.type(
        "Ada", "git init -q -b main; dvc init -q; pasam merge --setup; git add --all;"
        f"dvc commit --quiet --force {' '.join(KEPT)}; git add --all; git commit -q -m Begin",
    )  # fmt: skip


@pytest.mark.slow
def test_two_accounts_see_one_champion_in_an_mlflow_that_asks_for_a_password(
    colleagues, tracked_once, root
):
    machine, ada = colleagues.machine, colleagues.places["Ada"]
    machine.start_postgres()
    machine.start_mlflow()
    machine.start_proxy()
    place_project(colleagues, tracked_once, root)
    colleagues.begin(once(root))
    for who in colleagues.places:
        told = json.loads(colleagues.type(who, "pasam doctor --team --json 2>/dev/null || true"))
        states = {check["name"]: check["state"] for check in told["checks"]}
        assert states["MLflow"] == states["clock"] == states["git identity"] == "ok", told
    asked = {"MLFLOW_TRACKING_URI": MLFLOW, "MLFLOW_TRACKING_USERNAME": "ada"}
    for word in ("", "wrong"):
        machine.run(
            "pasam registry list", who="Ada", folder=ada, fails=True,
            MLFLOW_TRACKING_PASSWORD=word, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", **asked,
        )  # fmt: skip
    said, _ = walk(root, ("Two people, one champion",), colleagues.type, colleagues.ran)
    hers, listed, synced, again = said[0], said[3], said[4], said[5]
    assert "version 1 is champion now" in hers
    assert re.search(r"1 +champion +accepted +pa_sam", listed), listed
    assert re.match(r"0 recorded now, [1-9]\d* before", synced), synced
    assert "version 1 is the champion already" in again
    for who in colleagues.places:
        shown = colleagues.type(who, "pasam registry list --json 2>/dev/null")
        assert [version["number"] for version in json.loads(shown)] == [1]


@pytest.mark.slow
def test_before_this_the_same_walk_ended_in_a_conflict_of_the_lock(team):
    for who, change in (("Ada", "images: 6/images: 8"), ("Ben", "image: 100/image: 50")):
        (team.folder / who / ".gitattributes").write_text("")
        team.run(who, f"sed -i 's/{change}/' params.yaml; dvc repro -q; git commit -q -am Change")
    team.run("Ada", "git push -q")
    said = team.run("Ben", "git pull --no-rebase --no-edit", fails=True)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in said
    team.run("Ben", "dvc status", fails=True)
    team.run("Ben", "pasam merge; git commit -q --no-edit; dvc status")


REQUESTS = 2000

CLIENT = """
import collections, io, itertools, json, pathlib, sys, threading, time
import httpx, numpy, PIL.Image
host, token, stop, said, least = sys.argv[1:]
stop, said, least = pathlib.Path(stop), pathlib.Path(said), int(least)
draw = numpy.random.default_rng(0)

def png(side):
    file = io.BytesIO()
    PIL.Image.fromarray(draw.integers(0, 255, (side, side, 3), numpy.uint8)).save(file, "PNG")
    return file.getvalue()

IMAGES = png(64), png(300)  # the second is larger than HAProxy's buffer
PROMPTS = {"prompts": json.dumps([{"box": [8, 8, 40, 40]}])}
HEADERS = {"Authorization": f"Bearer {token}"}
lock, answers, faults, numbers = threading.Lock(), collections.Counter(), [], itertools.count()
began = time.monotonic()

def ask(client, path, **what):
    with lock:
        number = next(numbers)
    time.sleep(max(0.0, began + number / 45 - time.monotonic()))  # 50 a second are allowed
    try:
        answer = client.post(f"https://{host}{path}", headers=HEADERS, **what)
        word, text = str(answer.status_code), answer.text[:200]
    except httpx.HTTPError as error:
        answer, word, text = None, type(error).__name__, str(error)
    with lock:
        answers[word] += 1
        if word != "200":
            faults.append([number, round(time.monotonic() - began, 1), path, word, text])
    return answer

def visit(keeps_cookies):
    with httpx.Client(timeout=60) as client:
        for turn in itertools.count():
            if stop.exists() and sum(answers.values()) >= least:
                return
            image = IMAGES[turn % 2]
            answer = ask(client, "/embed", files={"image": image})
            if answer is None or answer.status_code != 200:
                continue
            name = answer.json()["embedding"]
            for _ in range(9):
                if not keeps_cookies:
                    client.cookies.clear()
                ask(client, "/predict", files={"image": image}, data={**PROMPTS, "embedding": name})

threads = [threading.Thread(target=visit, args=(number % 2,)) for number in range(8)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    time.sleep(0.5)
    with lock:
        text = json.dumps({"answers": answers, "faults": faults})
    said.write_text(text)
"""


@pytest.fixture
def shared_project(machine, tracked_once):
    """A project whose gate accepts what it trained; its champion is in the team's MLflow."""
    own = copy_tracked(tracked_once, machine.folder / "world")
    own.change("gate", **LENIENT)
    write_lock(own)
    git(own.folder, "commit", "--quiet", "--all", "--message", "A gate that accepts")
    git(own.folder, "push", "--quiet", "origin", "HEAD:main")
    machine.start_postgres()
    machine.start_mlflow()
    return own


def promote(machine, project):
    return machine.run(
        'pasam registry promote --why "better"', folder=project.folder, MLFLOW_TRACKING_URI=INSIDE
    )


def stop_whole(machine, name):
    """A replica is told to stop, and ends by itself."""
    assert machine.end(name) == -signal.SIGTERM, machine.log(name)[-2000:]
    assert "Application shutdown complete" in machine.log(name)


@pytest.mark.slow
def test_no_request_is_lost_in_a_rolling_update_or_while_mlflow_is_away(machine, shared_project):
    promote(machine, shared_project)
    first, second, third, fourth = ADDRESSES
    machine.start_replica("one", first)
    machine.start_replica("two", second)
    machine.name("serve", first, second)
    machine.start_proxy()
    machine.wait("proxy", f"curl -sf https://{HOST}/ready")
    stop, said = machine.folder / "stop", machine.folder / "said"
    token = (machine.folder / "secrets/pasam_token").read_text().strip()
    words = [sys.executable, "-c", CLIENT, HOST, token, str(stop), str(said), str(REQUESTS)]
    client = machine.start("client", words)
    time.sleep(5)
    # A rolling update: a new container is there and ready before the old one goes, in turn.
    for old, new, address, left in (
        ("one", "three", third, (second, third)),
        ("two", "four", fourth, (third, fourth)),
    ):
        machine.start_replica(new, address)
        machine.name("serve", *left)
        stop_whole(machine, old)
    machine.end("mlflow", 9)
    # Both start anew without MLflow, from what they have kept.
    for name, address in (("three", third), ("four", fourth)):
        stop_whole(machine, name)
        machine.start_replica(name, address)
        assert "the last good version answers" in machine.log(name)
        time.sleep(8)  # until the proxy has seen it
    stop.touch()
    assert client.wait(300) == 0, machine.log("client")
    del machine.processes["client"]
    found = json.loads(said.read_text())
    assert found["faults"] == []
    assert found["answers"]["200"] >= REQUESTS
    counts = [machine.log(name).count("POST /predict") for name in ("one", "two", "three", "four")]
    assert min(counts) > 50, counts
