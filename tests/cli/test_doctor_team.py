"""`pasam doctor --team`: what a new member lacks, found by asking the real thing.

And what a machine lacks for several processes.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email.utils
import http.server
import importlib.metadata
import io
import json
import os
import re
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from small_world import load_yaml
from typer.testing import CliRunner

from pasam.cli import doctor
from pasam.cli.app import app
from pasam.cli.resources import Boxes, Content, Detected, gigabytes
from pasam.cli.run_costs import run_seconds
from pasam.cli.space_costs import cpu_memories
from pasam.cli.team import membership as team
from pasam.config.schema import EmbedParams, EvaluateParams, TrainParams

LOGIN = "ada:word"


@pytest.fixture
def clone(in_empty_folder, monkeypatch):
    """A clone of a bare remote, with DVC and a remote folder."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("HOME", str(in_empty_folder))
    for command in (
        "init -q --bare -b main remote.git", "clone -q remote.git clone",
    ):  # fmt: skip
        subprocess.run(["git", *command.split()], check=True, capture_output=True)
    monkeypatch.chdir("clone")
    folder = in_empty_folder / "clone"
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@example.org")
    git("commit", "-q", "--allow-empty", "-m", "begin")
    git("push", "-q", "origin", "HEAD:main")
    return folder


def git(*arguments):
    subprocess.run(["git", *arguments], check=True, capture_output=True)


@pytest.fixture
def dvc(clone, monkeypatch):
    """DVC in the clone; it and the doctor's questions to it run in this process: a second each."""
    from dvc.cli import main

    ask = team._run

    def here(root, *command):
        if command[1:3] != ("-m", "dvc"):
            return ask(root, *command)
        said = io.StringIO()
        with contextlib.chdir(root), contextlib.redirect_stdout(said):
            return main(list(command[3:])), said.getvalue()

    def run(*arguments):
        assert main([*arguments, "--quiet"]) == 0

    run("init")
    monkeypatch.setattr(team, "_run", here)
    return run


class Answers(http.server.BaseHTTPRequestHandler):
    """A server that wants a login, says a version, and has a clock of its own."""

    protocol_version = "HTTP/1.1"
    version, ahead = "", 0.0

    def do_GET(self):
        known = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
        is_known = self.headers.get("Authorization") == known
        body = type(self).version.encode() if is_known else b"no"
        self.send_response_only(200 if is_known else 401)
        self.send_header(
            "Date", email.utils.formatdate(time.time() + type(self).ahead, usegmt=True)
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True  # without a word, as servers end idle ones

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    class Own(Answers):
        version = importlib.metadata.version("mlflow")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        running.address = f"http://127.0.0.1:{running.server_port}"
        running.handler = Own
        yield running
        running.shutdown()
        thread.join()


def mlflow(address, login=LOGIN):
    return team.check_server(
        "MLflow", "MLFLOW_TRACKING_URI", address, "/version", login, "MLFLOW_TRACKING_PASSWORD"
    )


def test_a_name_is_missing_until_git_knows_it(clone):
    assert team.check_identity(clone).found == "Ada <ada@example.org>"
    git("config", "--unset", "user.email")
    assert team.check_identity(clone).state == "missing"


def test_a_remote_is_read_and_pushed_to_without_leaving_anything(clone):
    first, decisions = team.check_git_remote(clone)
    assert (first.state, first.found) == ("ok", "origin can be read and takes a push")
    assert decisions.state == "note"
    git("push", "-q", "origin", "HEAD:pasam-decisions")
    assert team.check_git_remote(clone)[1].state == "ok"
    heads = subprocess.run(["git", "ls-remote", "origin"], capture_output=True, text=True).stdout
    assert "doctor" not in heads


def test_a_remote_that_is_gone_or_has_a_password_in_its_address_is_said(clone):
    git("remote", "set-url", "origin", "../gone.git")
    (check,) = team.check_git_remote(clone)
    assert check.state == "missing"
    assert re.search(r"cannot be read: fatal: '.*gone\.git' does not appear to be", check.found)
    git("remote", "set-url", "origin", "http://ada:word@127.0.0.1:9/x.git")
    check, _ = team.check_git_remote(clone)
    assert check.found == "its address holds a password"
    assert "word" not in check.remedy.replace("password", "")


def test_who_is_not_let_in_reads_the_servers_own_reason(clone, tmp_path, monkeypatch):
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\n"
        "echo \"Warning: Permanently added 'git.example.org' to the list of known hosts.\" >&2\n"
        "echo 'ben@git.example.org: Permission denied (publickey).' >&2; exit 255\n"
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    git("remote", "set-url", "origin", "ssh://git.example.org/srv/pasam.git")
    (check,) = team.check_git_remote(clone)
    reason = "ben@git.example.org: Permission denied (publickey)"
    assert check.found == f"origin cannot be read: {reason}"


def test_the_merge_driver_is_looked_for(clone):
    assert team.check_driver(clone).state == "note"
    assert CliRunner().invoke(app, ["merge", "--setup"]).exit_code == 0
    assert team.check_driver(clone).state == "ok"


@pytest.mark.long
def test_dvcs_remote_is_written_to_and_left_as_it_was(clone, dvc, tmp_path):
    assert "no default remote" in team.check_dvc_remote(clone)[0].found
    store = tmp_path / "store"
    dvc("remote", "add", "--default", "team", str(store))
    (check,) = team.check_dvc_remote(clone)
    assert (check.state, check.found) == ("ok", "'team' can be read and written")
    assert [path for path in store.rglob("*") if path.is_file()] == []
    (tmp_path / "file").write_text("")
    dvc("remote", "modify", "team", "url", str(tmp_path / "file"))
    (check,) = team.check_dvc_remote(clone)
    assert check.state == "missing"
    assert "cannot be written" in check.found


@pytest.mark.long
def test_packages_and_passwords_of_dvcs_remote_are_told_apart(clone, dvc, monkeypatch):
    monkeypatch.setattr(team.importlib.util, "find_spec", lambda name: None)
    dvc("remote", "add", "--default", "team", "ssh://files.example.org/x")
    (check,) = team.check_dvc_remote(clone)
    assert "dvc-ssh is not installed" in check.found
    assert "[team]" in check.remedy
    dvc("remote", "modify", "team", "url", "ssh://ada:word@files.example.org/x")
    (check,) = team.check_dvc_remote(clone)
    assert "holds a password" in check.found


@pytest.mark.long
def test_a_cache_shared_by_a_group_needs_its_rights_and_an_umask(clone, dvc):
    assert "yours alone" in team.check_cache(clone).found
    dvc("config", "cache.shared", "group")
    cache = clone / ".dvc/cache"
    cache.mkdir(exist_ok=True)
    cache.chmod(0o755)
    assert "expected rws for group" in team.check_cache(clone).found
    cache.chmod(0o2775)
    before = os.umask(0o022)
    try:
        assert "your umask is 022, expected 002" in team.check_cache(clone).found
        os.umask(0o002)
        assert team.check_cache(clone).state == "ok"
    finally:
        os.umask(before)


def test_a_server_wants_a_login_and_this_environments_version(server):
    check, ahead = mlflow(server.address)
    assert check.state == "ok"
    assert abs(ahead) < 2
    for _ in range(100):  # the server closes every connection after its answer
        check, _ = mlflow(server.address, login="")
        assert "nothing answers" not in check.found
    assert (check.state, check.found.endswith("yours is not set")) == ("missing", True)
    check, _ = mlflow(server.address, login="ada:wrong")
    assert check.found.endswith("yours is refused")
    major, minor = map(int, importlib.metadata.version("mlflow").split(".")[:2])
    server.handler.version = f'"{major}.{minor}.999"'  # mends of one version speak alike
    assert mlflow(server.address)[0].state == "ok"
    server.handler.version = f"{major}.{minor + 1}.0"
    assert mlflow(server.address)[0].state == "note"
    server.handler.version = "2.1.0"
    check, _ = mlflow(server.address)
    assert (check.state, "runs 2.1.0" in check.found) == ("note", True)


def test_a_server_that_is_away_or_has_a_password_in_its_address_is_missing():
    assert mlflow("http://127.0.0.1:9")[0].state == "missing"
    check, _ = mlflow("http://ada:word@127.0.0.1:9")
    assert "holds a password" in check.found
    assert "nothing answers" in mlflow("http://ada@127.0.0.1:9")[0].found, "a name is no secret"
    assert mlflow("sqlite:///x.db")[0].state == "note"


@pytest.mark.parametrize(("ahead", "state"), [(0.0, "ok"), (20.0, "note"), (-300.0, "missing")])
def test_clocks_are_compared(server, ahead, state):
    server.handler.ahead = ahead
    check = team.check_clock([mlflow(server.address)[1]])
    assert check.state == state
    assert team.check_clock([]).state == "note"


def test_files_of_passwords_that_others_can_read_are_named(clone):
    (clone / ".dvc").mkdir()
    private = clone / ".dvc/config.local"
    private.write_text("password = word\n")
    private.chmod(0o644)
    check = team.check_private_files(clone)
    assert (check.state, str(private) in check.remedy) == ("missing", True)
    private.chmod(0o600)
    assert team.check_private_files(clone).state == "ok"


@pytest.mark.long
def test_the_command_ends_with_2_and_what_to_do(clone, dvc):
    result = CliRunner().invoke(app, ["doctor", "--team"])
    assert result.exit_code == 2
    assert "To do:\n  dvc remote add -d NAME ADDRESS; dvc push" in result.output
    content = json.loads(CliRunner().invoke(app, ["doctor", "--team", "--json"]).output)
    names = {check["name"] for check in content["checks"]}
    assert names == {
        "git identity", "git remote", "decisions", "merges", "DVC remote", "cache", "MLflow",
        "Prefect", "clock", "secrets",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [
        ([], "note", "no server"), ([0.0, 5.0], "ok", "as the servers'"), ([-5.1], "note", "ahead"),
        ([5.1, -1], "note", "5 s behind"), ([60.0], "note", "behind"),
        ([60.1], "missing", "at most"),
        ([2.0, -61.0], "missing", "61 s ahead of"),
    ],
)  # fmt: skip
def test_the_clock_that_is_farthest_off_counts(ahead, state, words):
    found = team.check_clock(ahead)
    assert (found.state, words in found.found) == (state, True)


@pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o660, "ok"), (0o604, "missing"),
                                             (0o601, "missing")])  # fmt: skip
def test_a_file_of_passwords_that_others_can_read_is_named(mode, state, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in (".dvc/config.local", "deploy/secrets/token"):
        place = tmp_path / name
        place.parent.mkdir(parents=True)
        place.touch()
        place.chmod(0o600)
    place.chmod(mode)
    found = team.check_private_files(tmp_path)
    assert (found.state, str(place) in found.found) == (state, state == "missing")


def saying(monkeypatch, **answers):
    """Let DVC's commands say this, by their last two words or less; return what was asked."""
    asked = []

    def run(root, *command):
        key = "write" if command[1] == "-c" else "_".join(command[3:]).replace(".", "_")
        asked.append(command[-2:])
        return answers[key]

    monkeypatch.setattr(team, "_run", run)
    return asked


@pytest.mark.parametrize(
    ("name", "address", "installed", "written", "words"),
    [
        ((1, "no config"), "", True, None, "no default remote: nobody else gets"),
        ((0, "\n"), "", True, None, "no default remote: nobody else gets"),
        ((0, "shared\n"), "ssh://ada:word@host/x", True, None, "of 'shared' holds a password"),
        ((0, "shared\n"), "ssh://ada@host/x", True, (0, ""), None),
        ((0, "shared\n"), "s3://bucket/x", False, None, "'shared' is s3://, and dvc-s3 is not"),
        ((0, "shared\n"), "s3://bucket/x", True, (0, ""), None),
        ((0, "shared\n"), "/mnt/disk", False, (0, ""), None),
        ((0, "shared\n"), "/mnt/disk", True, (1, "trace\nno right\n\n"), "written to: no right"),
    ],
)
def test_dvcs_remote_is_missing_for_the_first_thing_that_it_lacks(
    name, address, installed, written, words, tmp_path, monkeypatch
):
    asked = saying(
        monkeypatch, config_core_remote=name, config_remote_shared_url=(0, f"{address}\n"),
        write=written,
    )  # fmt: skip
    looked = []
    monkeypatch.setattr(
        team.importlib.util, "find_spec", lambda module: looked.append(module) or installed or None
    )
    (check,) = team.check_dvc_remote(tmp_path)
    assert (check.state, check.name) == ("ok" if words is None else "missing", "DVC remote")
    assert (words or "'shared' can be read and written") in check.found
    assert (asked[-1][0] == "shared") is (written is not None), "else nothing is written"
    scheme, far, _ = address.partition("://")
    assert looked == [f"dvc_{scheme}"] * (bool(far) and "password" not in (words or ""))


@pytest.mark.parametrize(
    ("said", "shared", "mode", "umask", "state", "words"),
    [
        ((1, "a\nno repository"), "", 0o755, 0o022, "missing", "does not know it: no repository"),
        (None, "\n", 0o755, 0o022, "ok", "yours alone"),
        (None, "group\n", 0o2775, 0o002, "ok", "cache, shared by a group"),
        (None, "group\n", 0o775, 0o002, "missing", "is drwxrwxr-x, expected rws for group"),
        (None, "group\n", 0o2755, 0o002, "missing", "is drwxr-sr-x, expected rws for group"),
        (None, "group\n", 0o2775, 0o022, "missing", "your umask is 022, expected 002"),
    ],
)
def test_a_cache_of_a_group_is_for_all_of_it(
    said, shared, mode, umask, state, words, tmp_path, monkeypatch
):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    where = said or (0, "a note of DVC's\ncache\n")
    saying(monkeypatch, cache_dir=where, config_cache_shared=(0, shared))
    before = os.umask(umask)
    try:
        check = team.check_cache(tmp_path)
        assert os.umask(umask) == umask, "it stays as it was"
    finally:
        os.umask(before)
    assert (check.state, words in check.found) == (state, True)
    folder.rmdir()
    tmp_path.chmod(mode)
    monkeypatch.setattr(team.os, "access", lambda place, how: place != tmp_path)
    check = team.check_cache(tmp_path)
    assert check.state == "missing"
    assert said or check.found == f"{tmp_path} cannot be written by you", "the nearest that exists"


def test_each_server_is_asked_at_its_own_path_with_its_own_login(tmp_path, monkeypatch):
    seen = []
    ahead = {"MLflow": None, "Prefect": -70.0}
    monkeypatch.setattr(
        team, "check_server", lambda name, *how: seen.append((name, *how)) or (name, ahead[name])
    )
    names = ("identity", "driver", "cache", "private_files")
    for name in names:
        monkeypatch.setattr(team, f"check_{name}", lambda root, name=name: name)
    monkeypatch.setattr(team, "check_git_remote", lambda root: ["git", "decisions"])
    monkeypatch.setattr(team, "check_dvc_remote", lambda root: ["dvc"])
    monkeypatch.setattr(team, "check_clock", lambda clocks: ("clock", clocks))
    environment = {
        "MLFLOW_TRACKING_URI": "https://m", "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_TRACKING_PASSWORD": "w1", "PREFECT_API_URL": "https://p",
        "PREFECT_API_AUTH_STRING": "ben:w2",
    }  # fmt: skip
    assert team.team_checks(tmp_path, environment) == (
        "identity", "git", "decisions", "driver", "dvc", "cache", "MLflow", "Prefect",
        ("clock", [-70.0]), "private_files",
    )  # fmt: skip
    assert seen == [
        ("MLflow", "MLFLOW_TRACKING_URI", "https://m", "/version", "ada:w1",
         "MLFLOW_TRACKING_PASSWORD"),
        ("Prefect", "PREFECT_API_URL", "https://p", "/admin/version", "ben:w2",
         "PREFECT_API_AUTH_STRING"),
    ]  # fmt: skip
    team.team_checks(tmp_path, {"MLFLOW_TRACKING_USERNAME": "ada"})
    assert [(address, login) for _, _, address, _, login, _ in seen[2:]] == [("", ""), ("", "")]


def test_no_remote_and_one_that_takes_no_push_are_told_apart(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess
    answers = {
        "ls-remote": done([], 0, b"", b""), "push": done([], 1, b"", b"fatal: no right"),
    }  # fmt: skip
    monkeypatch.setattr(team, "_git", lambda root, *words: answers[words[0]])
    for user in ("", "ada@"):  # a name alone is no secret
        answers["remote"] = done([], 0, f"https://{user}h/x.git\n".encode(), b"")
        (check,) = team.check_git_remote(tmp_path)
        assert (check.state, check.found) == (
            "missing", "origin can be read, not pushed to: fatal: no right"
        )  # fmt: skip
    answers["remote"] = done([], 2, b"", b"")
    (check,) = team.check_git_remote(tmp_path)
    assert (check.state, check.found[:18]) == ("missing", "no remote 'origin'")


@pytest.fixture
def paper(root):
    """What a run of the paper's preset depends on, and how much data there is."""
    path = root / "params" / "paper.yaml"
    plan = doctor._plan(path)
    counts = {("val", name): (100, 100) for name in plan.evaluate.benchmarks}
    return plan, Content(counts={("train", "t"): (500, 500), **counts}, checks=(), download=0)


def test_the_hours_of_a_run_know_how_many_gpus_embed_and_measure(paper):
    plan, content = paper
    boxes = Detected(counted=Boxes(images=10, boxes=50))

    def hours(embed, evaluate, *, on_gpu=True):
        own = {"embed": plan.embed, "evaluate": plan.evaluate}
        devices = {"embed": embed, "evaluate": evaluate}
        own = {name: part.replaced(devices=devices[name]) for name, part in own.items()}
        changed = dataclasses.replace(plan, **own)
        found = run_seconds(changed, content, on_gpu=on_gpu, cores=2, detected=boxes)
        starts = {"embed": 6, "evaluate": 3 * 4, "instances": 3, "robustness": 0}
        return {name: found[name] - least for name, least in starts.items()}

    one = hours(1, 1)
    assert min(one.values()) > 0
    assert hours(2, 1) == pytest.approx({**one, "embed": one["embed"] / 2})
    measured = {name: seconds / 4 for name, seconds in one.items()}
    assert hours(1, 4) == pytest.approx({**measured, "embed": one["embed"]})
    assert hours("auto", "auto") == hours(8, 8), "as many as train"
    assert hours(8, 8, on_gpu=False) == hours(1, 1, on_gpu=False), "one process has all cores"


def test_too_few_gpus_to_embed_or_to_measure_name_how_many_there_are(paper):
    plan, _ = paper
    gpus = [80 * 10**9] * 2
    for section, look in (
        (plan.embed, partial(doctor.check_embedding, "vit_l")),
        (plan.evaluate, partial(doctor.check_evaluation, "vit_l")),
    ):
        few = look(section.replaced(devices=3), probe=lambda: gpus)
        assert few.found == f"2 GPUs there, 3 wanted ({few.remedy.partition(':')[0]})"
        assert (few.state, few.remedy.partition(".")[2]) == ("missing", "devices: 2, or auto")
        states = [look(section.replaced(devices=n), probe=lambda: gpus).state for n in (2, "auto")]
        assert states == ["ok", "ok"]
        assert look(section, probe=list).state == "missing"
        assert look(section.replaced(accelerator="auto"), probe=list).state == "ok"


def test_embedding_needs_memory_for_the_images_of_a_pass_on_each_gpu_that_it_takes(paper):
    plan, _ = paper
    gb = 10**9

    def look(*gpus, encoder="32-true", **changes):
        embed = plan.embed.replaced(**changes)
        return doctor.check_embedding("vit_l", embed, lambda: list(gpus), encoder)

    told = look(5 * gb)
    assert (told.state, told.found) == (
        "ok",
        "5.0 GB there, about 4.1 GB needed on a GPU: weights 1.2 GB, batch 0.1 GB, encoder 1.7 GB, "
        "CUDA 1.0 GB, at embed.batch_size 4",
    )
    small = look(9 * gb, 3 * gb)
    assert (small.state, small.remedy[:28]) == ("missing", "a smaller embed.batch_size, ")
    assert look(9 * gb, 3 * gb, devices=1).state == "ok"
    assert look(3 * gb, encoder="bf16").state == look(4 * gb, batch_size=2).state == "ok"


def test_the_memory_of_the_cpu_is_that_of_all_processes_of_a_stage(root):
    params = load_yaml((root / "params" / "default.yaml").read_text())
    train, embed, evaluate = (
        kind(**params[name]) for name, kind in
        (("train", TrainParams), ("embed", EmbedParams), ("evaluate", EvaluateParams))
    )  # fmt: skip
    nothing = Content(counts={}, checks=(), download=0)
    memories = cpu_memories("tiny", train, embed, evaluate, nothing)
    for name, given in (
        ("training", (train.replaced(devices=9), embed, evaluate)),
        ("embedding", (train, embed.replaced(devices=9), evaluate)),
        ("evaluation", (train, embed, evaluate.replaced(devices=9))),
    ):
        needed = 9 * memories[name].needed
        enough, short = (
            doctor.check_memory("tiny", *given, nothing, there=needed - less) for less in (0, 1)
        )
        assert (enough.state, short.state) == ("ok", "missing")
        assert f"about {gigabytes(needed)} needed by a stage of 9 processes;" in enough.found
        assert short.remedy.startswith("fewer devices, a smaller ")
    auto = embed.replaced(devices="auto")
    assert "by a stage;" in doctor.check_memory("tiny", train, auto, evaluate, nothing).found
