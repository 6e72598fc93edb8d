"""Tasks without Prefect, what a run's page shows, and telling people without failing over it."""

from __future__ import annotations

import base64
import datetime
import inspect
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from tracked_world import git

from pasam.errors import DataError, StageError, TransientError
from pipelines.flows import __main__ as commands
from pipelines.flows import endings, engine, operations
from pipelines.flows.engine import (
    WIDEST,
    Outcome,
    flow_run_id,
    image_address,
    in_flow_run,
    log,
    notify,
    show_image,
    show_link,
    show_table,
    show_text,
    slug,
    task,
    worth_another_try,
)
from pipelines.flows.operations import watch
from pipelines.flows.schedule import deployments, guard
from pipelines.flows.servers import ui
from pipelines.stage_runner import docstring_parts


@pytest.fixture
def slept(monkeypatch):
    """Seconds that were waited, without waiting."""
    waits = []
    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=waits.append))
    return waits


def failing(times, error):
    """A task that fails some times before it returns how often it was called."""
    calls = []

    @task("count {word}", delays=(1, 10))
    def count(word):
        calls.append(word)
        if len(calls) <= times:
            raise error
        return len(calls)

    return count


def test_a_task_is_called_like_its_function(slept):
    @task("add {left}")
    def add(left, right=1):
        """Add."""
        return left + right

    assert add(1) == 2
    assert add(1, right=5) == 6
    assert add.__doc__ == "Add."
    assert slept == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_transient_error_is_tried_again_after_each_delay(times, slept):
    assert failing(times, TransientError("busy"))("x") == times + 1
    assert slept == [1, 10][:times]


def test_the_last_try_says_what_went_wrong(slept):
    with pytest.raises(TransientError, match="busy"):
        failing(3, TransientError("busy"))("x")
    assert slept == [1, 10]


@pytest.mark.parametrize("error", [DataError("bad mask"), ValueError("a bug")])
def test_nothing_else_is_tried_again(error, slept):
    with pytest.raises(type(error)):
        failing(1, error)("x")
    assert slept == []


class State:
    """What Prefect knows of a try that has failed."""

    def __init__(self, error):
        self.error = error

    def result(self, *, raise_on_failure):
        assert not raise_on_failure
        return self.error


@pytest.mark.parametrize(
    ("error", "again"),
    [(TransientError("away"), True), (DataError("bad"), False), (ValueError("a bug"), False)],
)
def test_prefect_too_tries_nothing_but_a_transient_error_again(error, again):
    made = failing(0, None)._of_prefect()
    assert made.retry_condition_fn is worth_another_try
    assert (made.retries, made.retry_delay_seconds) == (2, [1, 10])
    assert made.retry_condition_fn(made, None, State(error)) is again


def test_without_prefect_there_is_no_flow_run():
    assert not in_flow_run()
    assert flow_run_id() is None


def test_a_run_has_a_page_where_prefect_is_in_use_and_shows_one(monkeypatch):
    settings = SimpleNamespace(PREFECT_UI_URL=SimpleNamespace(value=lambda: "http://h:1"))
    monkeypatch.setitem(sys.modules, "prefect", SimpleNamespace(settings=settings))
    monkeypatch.setitem(sys.modules, "prefect.settings", settings)
    assert engine.flow_run_page("7") == "http://h:1/runs/flow-run/7"
    assert engine.flow_run_page("") == ""
    monkeypatch.setattr(settings, "PREFECT_UI_URL", SimpleNamespace(value=lambda: None))
    assert engine.flow_run_page("7") == ""
    monkeypatch.delitem(sys.modules, "prefect")
    monkeypatch.setattr(settings, "PREFECT_UI_URL", None)
    assert engine.flow_run_page("7") == ""


def test_what_is_said_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="pipelines.flows"):
        log("100 % done")
    assert caplog.messages == ["100 % done"]


def test_the_flows_and_their_help_load_nothing_heavy(root):
    code = (
        "import sys, pipelines.flows.__main__; "
        "print({'prefect', 'mlflow', 'torch', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "set()\n"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "figure.png"
    Image.new("RGBA", (3 * WIDEST, 300), (250, 10, 10, 255)).save(path)
    return path


def test_a_picture_becomes_an_address_that_holds_it_at_the_width_of_a_page(picture):
    kind, _, content = image_address(picture).partition(",")
    assert kind == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(content)))
    assert shown.size == (WIDEST, 100)
    assert shown.getpixel((0, 0))[0] > 230


def test_a_small_picture_is_not_blown_up(tmp_path):
    Image.new("L", (20, 10)).save(tmp_path / "small.png")
    content = image_address(tmp_path / "small.png").partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (20, 10)


def test_without_a_run_a_link_is_said_and_the_rest_is_left_out(picture, caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    show_text("a", "# A", "A")
    show_table("b", [{"c": 1}], "B")
    show_image("d", picture, "D")
    show_link("e", "file:///verdict.html", "The verdict")
    assert caplog.messages == ["The verdict: file:///verdict.html"]


@pytest.mark.parametrize(
    ("key", "taken"), [("table1", "table1"), ("card_PA-SAM.v2", "card-pa-sam-v2"), ("_x_", "x")]
)
def test_a_key_has_the_letters_that_prefect_takes(key, taken):
    assert slug(key) == taken


@pytest.fixture
def webhook():
    """A server that keeps what it is sent; `status` is its answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            length = int(self.headers["Content-Length"])
            server.received.append(json.loads(self.rfile.read(length)))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    return caplog


def address(server):
    return f"http://127.0.0.1:{server.server_port}/secret"


def test_a_webhook_receives_subject_and_text(webhook, said):
    notify(address(webhook), "retrain failed", "no disk")
    assert webhook.received == [{"subject": "retrain failed", "text": "retrain failed: no disk"}]
    assert said.messages == []


def test_a_webhook_that_refuses_is_logged_without_its_secret(webhook, said):
    webhook.status = 500
    notify(address(webhook), "retrain failed", "no disk")
    assert said.messages == ["Nobody was told by 127.0.0.1 (HTTPError): retrain failed: no disk"]


def test_a_webhook_that_is_not_there_is_logged(webhook, said):
    place = address(webhook).replace(str(webhook.server_port), "9")
    notify(place, "retrain failed", "no disk")
    assert "Nobody was told by 127.0.0.1" in said.text
    assert "secret" not in said.text


def test_nobody_is_told_without_an_address(said, monkeypatch):
    monkeypatch.delenv("PASAM_NOTIFY", raising=False)
    assert not notify(None, "retrain failed", "no disk")
    assert said.messages == []


def test_the_address_may_come_from_the_environment(webhook, monkeypatch):
    monkeypatch.setenv("PASAM_NOTIFY", address(webhook))
    assert notify(None, "retrain failed", "no disk")
    assert len(webhook.received) == 1


@cache
def told_block():
    """A notification block of Prefect that appends to a list; Prefect knows a class only once."""
    from prefect.blocks.abstract import NotificationBlock

    class Told(NotificationBlock):
        sent: ClassVar[list[tuple[str, str]]] = []
        error: ClassVar[Exception | None] = None

        async def notify(self, body: str, subject: str | None = None) -> None:
            if self.error is None:
                self.sent.append((subject, body))
            elif self._raise_on_failure:  # as Prefect's own, which say nothing otherwise
                raise self.error

    return Told


@pytest.fixture
def block(monkeypatch):
    """The class of a block that Prefect has by one name."""
    from prefect.blocks.core import Block

    async def load(name):
        if name != "slack-webhook/team":
            raise ValueError(name)
        return told_block()()

    monkeypatch.setattr(Block, "aload", load)
    monkeypatch.setattr(told_block(), "sent", [])
    return told_block()


def test_a_block_of_prefect_is_given_the_message(block, said):
    assert notify("slack-webhook/team", "retrain failed", "no disk")
    assert block.sent == [("retrain failed", "no disk")]
    assert not notify("slack-webhook/other", "retrain failed", "no disk")
    assert "Prefect has no such block" in said.text
    assert len(block.sent) == 1


def test_a_block_that_cannot_send_fails_nothing_and_tells_no_secret(block, said, monkeypatch):
    monkeypatch.setattr(block, "error", RuntimeError("https://hooks.example.com/SECRET: no"))
    assert not notify("slack-webhook/team", "retrain failed", "no disk")
    assert said.messages[-1].startswith("Nobody was told by slack-webhook/team (")
    assert "SECRET" not in said.text


@pytest.fixture(autouse=True)
def _restore_signal_handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def example(
    *,
    how: Literal["a", "b"] = "a",
    loud: bool = False,
    hours: float = 1.0,
    notify: str | None = None,
) -> Outcome:
    """Do something.

    At length.

    Args:
        how: In which way,
            exactly.
        loud: Whether to shout.
        hours: How long, 100 % of it.
        notify: Who is told.
    """
    return Outcome("unchanged", f"{how} {loud} {hours} {notify}")


@pytest.fixture
def run(monkeypatch, in_empty_folder):
    """Run a command of one flow and return its exit code."""

    def run_flow(function, *arguments):
        monkeypatch.setattr(commands, "FLOWS", (function,))
        try:
            commands.main([function.__name__, *arguments])
        except SystemExit as ended:
            return ended.code
        return 0

    return run_flow


def test_parameters_are_flags_with_the_flows_defaults(run, capsys):
    assert run(example, "--local") == 0
    assert run(example, "--local", "--how", "b", "--loud", "--hours", "2", "--notify", "me") == 0
    assert run(example, "--local", "--no-loud") == 0
    said = ["a False 1.0 None", "b True 2.0 me", "a False 1.0 None"]
    assert capsys.readouterr().out == "".join(f"unchanged: {each}\n" for each in said)


def test_help_has_the_docstrings_words_and_an_example(run, capsys):
    assert run(example, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "Do something. At length.",
        "In which way, exactly. [default: a]",
        "How long, 100 % of it.",
        "Example: python -m pipelines.flows example --local",
    ):
        assert words in text
    assert "Args" not in text


@pytest.mark.parametrize("wrong", [("--how", "c"), ("--lou",), ("--size", "7")])
def test_a_wrong_flag_is_a_wrong_configuration(wrong, run, capsys):
    assert run(example, "--local", *wrong) == 2
    assert wrong[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(TransientError("away"), 75), (StageError("bad", exit_code=3), 3), (StageError("x"), 2)],
)
def test_a_failure_is_one_line_its_exit_code_and_told(error, code, run, capsys, webhook):
    def fails(*, notify: str | None = None) -> Outcome:
        """Fail.

        Args:
            notify: Who is told.
        """
        raise error

    assert run(fails, "--local", "--notify", address(webhook)) == code
    assert capsys.readouterr().err == f"error: {error}\n"
    (message,) = webhook.received
    assert "fails failed" in message["subject"]
    assert str(error) in message["text"]


@pytest.mark.parametrize(
    ("name", "code"), [("rejected", 1), ("postponed", 75), ("promoted", 0), ("unchanged", 0)]
)
def test_an_outcome_has_the_exit_code_of_its_meaning(name, code, run, capsys):
    def ends() -> Outcome:
        """End."""
        return Outcome(name, "so")

    assert run(ends, "--local") == code
    assert capsys.readouterr().out == f"{name}: so\n"


def test_a_fault_of_ours_is_one_line_with_a_file_for_its_report(run, capsys):
    def broken() -> Outcome:
        """Break."""
        return [][1]

    assert run(broken, "--local") == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a fault of pasam itself (IndexError" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_flow_says_so_by_its_exit_code(number, code, run):
    def stopped() -> Outcome:
        """Be stopped."""
        os.kill(os.getpid(), number)
        raise AssertionError

    assert run(stopped, "--local") == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_has_done_its_work(number, monkeypatch):
    def serves() -> None:
        """Serve."""
        os.kill(os.getpid(), number)
        raise AssertionError

    monkeypatch.setattr(commands, "SERVERS", (serves,))
    commands.main(["serves"])


def test_every_flow_and_server_is_a_command():
    names = {function.__name__ for function in commands.FLOWS}
    assert names == {
        "reproduce",
        "retrain",
        "ablate",
        "promote",
        "nightly",
        "fan_out",
        "stage_apart",
    }
    assert (deployments, ui) == commands.SERVERS
    assert (watch, guard) == commands.WATCHERS


@pytest.mark.parametrize("function", [*commands.FLOWS, *commands.WATCHERS, *commands.SERVERS])
def test_every_flag_is_explained(function, capsys):
    words = docstring_parts(function)[1]
    assert set(words) == set(inspect.signature(function).parameters)
    assert all(words.values())
    with pytest.raises(SystemExit, match="0"):
        commands.main([function.__name__, "--help"])
    text = "".join(capsys.readouterr().out.split())
    assert all("".join(each.split()) in text for each in words.values())


def test_a_flag_of_a_list_may_be_repeated(monkeypatch):
    given = []

    def serves(*, cron: list[str] | None = None) -> None:
        """Serve."""
        given.append(cron)

    monkeypatch.setattr(commands, "SERVERS", (serves,))
    commands.main(["serves"])
    commands.main(["serves", "--cron", "a=1", "--cron", "b=2"])
    assert given == [None, ["a=1", "b=2"]]


def ended(name, *, days=0.0, flow="retrain", took=60):
    """An ending some days ago, kept in the file."""
    moment = endings.now() - datetime.timedelta(days=days)
    ending = endings.Ending(
        flow=flow, outcome=name, message="so", ended=moment.isoformat(timespec="seconds"),
        started=(moment - datetime.timedelta(seconds=took)).isoformat(timespec="seconds"),
    )  # fmt: skip
    endings.keep(ending)
    return ending


@pytest.fixture
def kept(in_empty_folder, monkeypatch):
    """An empty project; nobody is told unless a test says who."""
    monkeypatch.delenv("PASAM_NOTIFY", raising=False)
    return in_empty_folder


def flow_that(outcome):
    def some_flow(*, notify=None):
        return Outcome(outcome, "what came of it")

    return some_flow


@pytest.mark.parametrize("name", ["promoted", "rejected", "accepted", "postponed", "drifted"])
def test_news_are_told_with_project_machine_and_commit(name, kept, webhook):
    git(kept, "init", "--quiet")
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    git(kept, *who, "commit", "--quiet", "--allow-empty", "-m", "x")
    git(kept, "remote", "add", "origin", "https://me:secret@git.example.org/pasam.git")
    operations.followed(flow_that(name), {"notify": address(webhook)})
    (message,) = webhook.received
    for words in (
        endings.project_name(), name, "what came of it", socket.gethostname(),
        git(kept, "rev-parse", "HEAD")[:10], "Repository: https://git.example.org/pasam.git",
    ):  # fmt: skip
        assert words in message["text"]
    assert "secret" not in message["text"]


@pytest.mark.parametrize("name", ["unchanged", "watched", "reproduced", "studied"])
def test_an_ending_without_news_is_told_to_nobody_and_kept(name, kept, webhook):
    operations.followed(flow_that(name), {"notify": address(webhook)})
    assert webhook.received == []
    assert endings.last("some_flow").outcome == name


def test_a_stopped_flow_is_kept_as_cancelled(kept):
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operations.followed(stopped, {})
    assert endings.last("stopped").outcome == "cancelled"


def test_a_line_that_a_crash_cut_short_costs_nothing_else(kept):
    first = ended("promoted")
    endings.ENDINGS.write_text(endings.ENDINGS.read_text() + '{"flow": "retr')
    assert endings.read_endings() == [first]
    assert [first, ended("failed")] == endings.read_endings()


def test_there_is_an_alarm_a_day_while_nothing_succeeds(kept, webhook):
    ended("unchanged", days=12)
    ended("failed", days=1)
    for _ in range(2):
        assert operations.watch(notify=address(webhook)).name == "alarmed"
    (message,) = webhook.received
    assert "has not succeeded for 12 days; the last run failed: so" in message["text"]
    assert operations.watch(days=20, notify=address(webhook)).name == "watched"


def test_an_alarm_that_did_not_arrive_is_given_again(kept, webhook):
    ended("unchanged", days=12)
    webhook.status = 500
    operations.watch(notify=address(webhook))
    webhook.status = 200
    operations.watch(notify=address(webhook))
    assert len(webhook.received) == 2


def test_there_is_one_sign_of_life_a_week(kept, webhook):
    ended("unchanged", days=2)
    ended("rejected", days=1)
    for _ in range(2):
        assert operations.watch(notify=address(webhook)).name == "watched"
    (message,) = webhook.received
    assert "1 x retrain rejected, 1 x retrain unchanged" in message["text"]


def test_prometheus_reads_how_flows_ended(kept):
    good, _ = ended("promoted", days=3), ended("postponed", days=2)
    failed = ended("failed", days=1, took=90)
    families = text_string_to_metric_families(endings.METRICS.read_text())
    samples = {
        (each.name, each.labels.get("outcome", "")): each.value
        for family in families
        for each in family.samples
    }
    success, moment = (datetime.datetime.fromisoformat(e.ended).timestamp() for e in (good, failed))
    assert samples["pasam_flow_last_end_seconds", ""] == moment
    assert samples["pasam_flow_last_success_seconds", ""] == success
    assert samples["pasam_flow_last_duration_seconds", ""] == 90
    assert samples["pasam_flow_endings", "failed"] == 1
    assert samples["pasam_registry_champion", ""] == 0


def test_a_process_that_is_gone_is_at_no_run(kept):
    endings.note_running("a")
    assert endings.is_running("a")
    number, created = json.loads(endings.running_file("a").read_text())
    endings.running_file("a").write_text(json.dumps([number, created - 1]))
    assert not endings.is_running("a"), "another process has its number by now"
    assert not endings.is_running("b")
