"""The flows with Prefect: tasks, states, retries, schedules, and a run that really fires."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from unittest.mock import MagicMock, call

import httpx
import psutil
import pytest
import urllib3

from pasam.errors import DataError, TransientError
from pipelines.flows import endings, engine, operations, schedule
from pipelines.flows.engine import (
    Outcome,
    flow_run_id,
    in_flow_run,
    log,
    notify,
    show_text,
    task,
)
from pipelines.flows.reproduce import GROUPS

pytestmark = pytest.mark.filterwarnings("default")

PATIENCE = 420  # seconds; a server of Prefect starts slowly on a busy machine
STAGES = "stages:\n" + "".join(
    f"  {name}:\n    cmd: cp input.txt {name}.txt\n    deps: [input.txt]\n    outs: [{name}.txt]\n"
    for group in GROUPS.values()
    for name in group
)


@pytest.fixture
def stub(monkeypatch, in_empty_folder):
    """A stand-in for all of Prefect, which takes seconds to import; no flow is running."""
    made = MagicMock()
    made.flow = lambda **how: lambda run: SimpleNamespace(how=how, run=run)
    made.FlowRunContext.get.return_value = None
    for name in (
        "", ".automations", ".cache_policies", ".client", ".client.schemas",
        ".client.schemas.objects", ".context", ".deployments", ".deployments.runner", ".events",
        ".events.actions", ".events.schemas", ".events.schemas.automations", ".exceptions",
        ".flows", ".runner", ".schedules", ".states",
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, f"prefect{name}", made)
    return made


@pytest.fixture
def made(stub, root):
    """The module that makes Prefect's flows, on that stand-in."""
    place = root / "pipelines" / "flows" / "prefect_flows.py"
    spec = importlib.util.spec_from_file_location("flows_on_a_stand_in", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def due(stub):
    """When the present run was due; it is one of a schedule."""
    moment = endings.now() - datetime.timedelta(hours=1)
    stub.runtime.flow_run.tags, stub.runtime.flow_run.id = ["x", "auto-scheduled"], 7
    stub.runtime.flow_run.scheduled_start_time = moment
    stub.Completed.side_effect = lambda **how: (how["name"], how["message"])
    return moment


def weekly(*, how: str = "a") -> Outcome:
    """Do something."""
    raise AssertionError


def test_a_run_says_that_it_is_at_work_and_ends_as_its_flow_does(made, due, monkeypatch):
    seen = []

    def followed(function, parameters):
        seen.append((function, parameters, endings.is_running("7")))
        return Outcome("promoted", "x")

    monkeypatch.setattr(operations, "followed", followed)
    flow = made.prefect_flow(weekly)
    assert flow.run(how="b") == ("Promoted", "x")
    assert seen == [(weekly, {"how": "b"}, True)]
    assert not endings.running_file("7").exists()
    monkeypatch.setattr(operations, "followed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        flow.run()
    assert not endings.running_file("7").exists()
    assert flow.how == {
        "name": "weekly", "flow_run_name": made.run_name, "persist_result": False,
        "on_crashed": [made.follow_cut_run], "on_cancellation": [made.follow_cut_run],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "outcome", "flow", "by_schedule", "skipped"),
    [
        (61, "unchanged", "weekly", True, True),
        (60, "unchanged", "weekly", True, False),
        (-10, "unchanged", "weekly", True, False),
        (61, "failed", "weekly", True, False),
        (61, "unchanged", "nightly", True, False),
        (61, "unchanged", "weekly", False, False),
    ],
)
def test_only_a_late_run_of_a_schedule_whose_work_is_done_is_skipped(
    seconds, outcome, flow, by_schedule, skipped, made, due, stub, monkeypatch
):
    moment = (due + datetime.timedelta(seconds=seconds)).isoformat()
    times = {"started": moment, "ended": moment}
    endings.keep(endings.Ending(flow=flow, outcome=outcome, message="", **times))
    monkeypatch.setattr(operations, "followed", lambda *_: Outcome("unchanged", ""))
    stub.runtime.flow_run.tags = ["auto-scheduled"] if by_schedule else []
    name, message = made.prefect_flow(weekly).run()
    assert name == ("Skipped" if skipped else "Unchanged")
    assert ("It came late" in message) is skipped


@pytest.mark.parametrize(("outcome", "again"), [("postponed", 1), ("promoted", 0)])
def test_a_postponed_run_is_followed_by_another_of_its_deployment_in_an_hour(
    outcome, again, made, due, stub, monkeypatch
):
    monkeypatch.setattr(operations, "followed", lambda *_: Outcome(outcome, ""))
    stub.runtime.deployment.id = "d"
    made.prefect_flow(weekly).run()
    assert stub.run_deployment.call_count == again
    if again:
        given = stub.run_deployment.call_args
        when = given.kwargs.pop("scheduled_time")
        assert given == call("d", timeout=0, as_subflow=False)
        assert abs((when - endings.now()).total_seconds() - 3600) < 60
        stub.run_deployment.side_effect = RuntimeError("away")
        assert made.prefect_flow(weekly).run()[0] == "Postponed"
        stub.runtime.deployment.id = None
        made.prefect_flow(weekly).run()
        assert stub.run_deployment.call_count == 2


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_run_that_could_not_say_how_it_ended_is_ended_for_it(cancelled, made, monkeypatch):
    ended = []
    monkeypatch.setattr(operations, "end", lambda *words: ended.append(words))
    endings.note_running("7")
    state = SimpleNamespace(is_cancelled=lambda: cancelled, message=None if cancelled else "killed")
    run = SimpleNamespace(id="7", start_time=endings.now(), parameters={"notify": "team"})
    made.follow_cut_run(SimpleNamespace(name="weekly"), run, state)
    outcome = (
        Outcome("cancelled", "It says no more.") if cancelled else Outcome("crashed", "killed")
    )
    assert ended == [("weekly", outcome, run.start_time, "team", "7")]
    assert not endings.running_file("7").exists()


def test_a_task_of_prefect_has_the_delays_the_time_and_the_rule_of_ours(stub, monkeypatch):
    monkeypatch.setattr(engine, "in_flow_run", lambda: True)
    stub.task.side_effect = lambda **how: lambda function: lambda *a, **k: (how, function, a, k)

    @task("look at {what}", delays=(5, 50), timeout=70)
    def look_at(what, how=""):
        raise AssertionError

    how, function, *given = look_at("x", how="y")
    assert (function, given) == (look_at.function, [("x",), {"how": "y"}])
    assert how == {
        "name": "look at", "task_run_name": "look at {what}", "retries": 2,
        "retry_delay_seconds": [5, 50], "retry_condition_fn": engine.worth_another_try,
        "timeout_seconds": 70, "cache_policy": stub.NO_CACHE, "persist_result": False,
    }  # fmt: skip


ENTRY = {
    "name": "weekly retraining", "entrypoint": "a/b.py:retrain", "description": "d",
    "parameters": {"publish": "push"}, "tags": ["t"],
    "schedules": [{"cron": "0 3 * * 0", "timezone": "Europe/Berlin"}, {"cron": "1 1 * * *"}],
    "concurrency_limit": {"limit": 1},
}  # fmt: skip


def test_what_is_served_of_an_entry_is_all_that_it_says_under_this_projects_name(stub):
    schedule.deployment(ENTRY, {})
    stub.RunnerDeployment.from_entrypoint.assert_called_once_with(
        "a/b.py:retrain", description="d", parameters={"publish": "push"},
        name=f"weekly retraining of {endings.project_name()}",
        tags=["t", endings.project_name()], schedules=[stub.Cron.return_value] * 2,
        concurrency_limit=stub.ConcurrencyLimitConfig.return_value,
    )  # fmt: skip
    stub.ConcurrencyLimitConfig.assert_called_once_with(limit=1)
    assert stub.Cron.call_args_list == [
        call("0 3 * * 0", timezone="Europe/Berlin"), call("1 1 * * *", timezone="UTC")
    ]  # fmt: skip
    none = {key: value for key, value in ENTRY.items() if key != "schedules"}
    for entry, cron, wanted in (
        (ENTRY, {"nightly": "2 2 * * *"}, [("0 3 * * 0", "Europe/Berlin"), ("1 1 * * *", "UTC")]),
        (ENTRY, {"retrain": "2 2 * * *"},
         [("2 2 * * *", "Europe/Berlin"), ("2 2 * * *", "UTC")]),
        (none, {"retrain": "2 2 * * *"}, [("2 2 * * *", "UTC")]),
        (none, {"nightly": "2 2 * * *"}, []),
    ):  # fmt: skip
        assert schedule.schedules_of(entry, cron) == wanted


@pytest.mark.parametrize(
    ("flow", "cut", "missed", "starts"),
    [
        ("retrain", False, False, False), ("retrain", True, False, True),
        ("retrain", False, True, True), ("nightly", True, False, False),
        ("nightly", False, True, True),
    ],
)  # fmt: skip
def test_what_was_missed_or_cut_short_runs_at_once(flow, cut, missed, starts, stub, monkeypatch):
    monkeypatch.setattr(schedule, "is_unfinished", lambda: cut)
    monkeypatch.setattr(schedule, "missed", lambda name, schedules: missed)
    schedule._catch_up(flow, [], 5)
    wanted = [call(5, timeout=0, as_subflow=False)]
    assert stub.run_deployment.call_args_list == wanted * starts


def test_serving_says_when_all_is_due_and_takes_that_back_at_the_end(stub, monkeypatch):
    seen = []
    nightly = {**ENTRY, "name": "nightly", "entrypoint": "a/b.py:nightly"}
    stub.TerminationSignal = KeyboardInterrupt
    stub.Runner.return_value.add_deployment.side_effect = lambda made: len(seen)
    moment = endings.now() + datetime.timedelta(days=1)
    monkeypatch.setattr(schedule, "due", lambda schedules, after, count: [moment])
    monkeypatch.setattr(schedule, "_catch_up", lambda *given: seen.append(given))
    monkeypatch.setattr(schedule, "end_silent_runs", seen.append)
    monkeypatch.setattr(schedule, "renew_page", lambda: seen.append("page"))

    def start(running):
        seen.append(endings.next_due(endings.now()))
        raise KeyboardInterrupt

    monkeypatch.setattr(schedule.asyncio, "run", start)
    schedule.serve([ENTRY, nightly], {"nightly": "2 2 * * *"})
    own, other = [("0 3 * * 0", "Europe/Berlin"), ("1 1 * * *", "UTC")], "2 2 * * *"
    text = moment.isoformat(timespec="seconds")
    assert seen == [
        endings.project_name(), ("retrain", own, 0),
        ("nightly", [(other, "Europe/Berlin"), (other, "UTC")], 0), "page",
        {"retrain": text, "nightly": text}, "page",
    ]  # fmt: skip
    assert endings.next_due(endings.now()) is None


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The module, with a temporary server of Prefect behind it."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        patch.chdir(tmp_path_factory.mktemp("project"))  # endings are kept in it
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
        patch.setenv("DO_NOT_TRACK", "1")
        from prefect.testing.utilities import prefect_test_harness

        from pipelines.flows import prefect_flows as module

        with prefect_test_harness(server_startup_timeout=180):
            yield module


@pytest.mark.slow
def test_an_outcome_becomes_the_runs_state_and_tasks_its_task_runs(served):
    seen = []

    @task("look at {what}")
    def look(what: str) -> str:
        seen.append((in_flow_run(), flow_run_id()))
        log("100 %")
        return what

    def flow(*, what: str = "nothing") -> Outcome:
        """Look."""
        return Outcome("unchanged", look(what))

    state = served.prefect_flow(flow)(what="all", return_state=True)
    assert (state.name, state.message, state.is_completed()) == ("Unchanged", "all", True)
    ((inside, run_id),) = seen
    assert inside
    assert run_id is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "tries"), [(TransientError("busy"), 2), (DataError("bad mask"), 1)]
)
def test_only_a_transient_error_is_tried_again(error, tries, served):
    calls = []

    @task("fail", delays=(0,))
    def fail() -> None:
        calls.append(1)
        raise error

    def flow() -> Outcome:
        """Fail."""
        fail()
        raise AssertionError

    state = served.prefect_flow(flow)(return_state=True)
    assert state.is_failed()
    assert str(error) in state.message
    assert len(calls) == tries


@pytest.mark.slow
def test_a_failure_is_kept_and_told_to_whom_the_parameters_name(served, monkeypatch):
    told = []
    monkeypatch.setattr(operations, "notify", lambda *words: told.append(words))

    def flow(*, notify: str | None = None) -> Outcome:
        """Fail."""
        raise DataError("bad mask")

    served.prefect_flow(flow)(notify="team", return_state=True)
    ((address, subject, text),) = told
    assert (address, subject) == ("team", f"{endings.project_name()}: flow failed")
    assert "bad mask" in text
    kept = endings.last("flow")
    assert (kept.outcome, kept.succeeded) == ("failed", False)
    assert kept.run


@pytest.mark.slow
def test_a_run_that_was_killed_or_cancelled_is_kept_and_told_once(served, monkeypatch):
    from prefect.states import Cancelled, Crashed

    told = []
    monkeypatch.setattr(operations, "notify", lambda *words: told.append(words))
    run = SimpleNamespace(id="7", start_time=endings.now(), parameters={"notify": "team"})
    for state, name in ((Crashed(message="killed"), "crashed"), (Cancelled(), "cancelled")):
        served.follow_cut_run(SimpleNamespace(name="weekly"), run, state)
        assert endings.last("weekly").outcome == name
    assert [subject.rpartition(" ")[2] for _, subject, _ in told] == ["crashed", "cancelled"]


@pytest.mark.slow
def test_a_late_run_does_its_work_and_further_late_ones_are_skipped(served):
    calls = []

    def nightly_thing() -> Outcome:
        """Count."""
        calls.append(1)
        return Outcome("watched", "")

    missed = endings.now() - datetime.timedelta(days=2)
    assert not served.is_superfluous("nightly_thing", missed)
    served.prefect_flow(nightly_thing)(return_state=True)
    assert served.is_superfluous("nightly_thing", missed)
    assert not served.is_superfluous("nightly_thing", endings.now())
    assert calls == [1]


@pytest.mark.slow
def test_a_run_that_is_at_work_says_which_process_it_is(served):
    seen = []

    def busy() -> Outcome:
        """Look."""
        seen.append(flow_run_id())
        assert endings.is_running(flow_run_id())
        return Outcome("unchanged", "")

    assert served.prefect_flow(busy)(return_state=True).name == "Unchanged"
    assert not endings.is_running(seen[0])
    assert not endings.running_file(seen[0]).exists()


@pytest.mark.slow
def test_what_a_page_cannot_show_costs_no_result(served, monkeypatch, caplog):
    def away(*_, **__):
        raise httpx.ConnectError("gone")

    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", away)

    def flow() -> Outcome:
        """Show."""
        show_text("table", "# T", "The table")
        return Outcome("unchanged", "")

    assert served.prefect_flow(flow)(return_state=True).name == "Unchanged"


@pytest.mark.slow
def test_a_notification_block_tells_and_its_refusal_is_said_without_its_secret(served, caplog):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook
    from prefect.blocks.system import Secret

    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200 if "custom" in self.path else 403)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = server.server_port
    body = {"text": "{{subject}}: {{body}}"}
    CustomWebhookNotificationBlock(
        name="team", url=f"http://127.0.0.1:{port}/custom", json_data=body
    ).save("team")
    MattermostWebhook(hostname="127.0.0.1", port=port, token="Secret", secure=False).save("team")
    Secret(value="words").save("team")
    caplog.set_level("INFO", logger="pipelines.flows")

    def said(address):
        caplog.clear()
        notify(address, "drift", "blur")
        return [each.message for each in caplog.records if each.name == "pipelines.flows"]

    try:
        assert said("custom-webhook/team") == []
        assert json.loads(received.pop()) == {"text": "drift: blur"}
        for address, reason in (
            ("mattermost-webhook/team", "NotificationError"),
            ("mattermost-webhook/nobody", "Prefect has no such block; see `prefect block ls`"),
            ("secret/team", "this block of Prefect sends no messages"),
        ):
            assert said(address) == [f"Nobody was told by {address} ({reason}): drift: blur"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_run_is_named_by_its_flow_and_when_it_was_due(served):
    from prefect import runtime

    def weekly() -> Outcome:
        """Do nothing."""
        return Outcome("unchanged", runtime.flow_run.name)

    state = served.prefect_flow(weekly)(return_state=True)
    assert re.fullmatch(
        re.escape(endings.project_name()) + r" weekly \d{4}-\d\d-\d\d \d\d:\d\d UTC", state.message
    )


@pytest.mark.slow
def test_every_flow_keeps_its_parameters_and_words(served):
    for name in ("reproduce", "retrain", "ablate", "promote", "nightly"):
        flow = getattr(served, name)
        assert flow.name == name
        assert flow.description
    properties = served.retrain.parameters.properties
    assert set(properties["publish"]["enum"]) == {"nothing", "commit", "push"}
    assert "How far the results may go" in str(properties["publish"])


@pytest.fixture
def project(root, tmp_path):
    """A project whose stages do next to nothing and have run, with this repository's flows."""
    for name in ("pipelines", "pasam", "prefect.yaml"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "input.txt").touch()
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    return tmp_path


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.fixture
def team_server(tmp_path_factory):
    """A server of Prefect that goes on when whoever uses it is killed; its address."""
    port, home = free_port(), tmp_path_factory.mktemp("team")
    ours = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment = {**ours, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=output, stderr=output, cwd=home
        )
    yield f"http://127.0.0.1:{port}/api"
    process.terminate()
    process.wait(60)


@pytest.fixture
def serve(project):
    """Serve the project's flows with a reproduction every minute, as often as a test asks."""
    port = free_port()
    started = []
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [
        "-m", "pipelines.flows", "deployments", "--port", str(port),
        "--cron", "reproduce=* * * * *",
    ]  # fmt: skip

    def start(**variables):
        with (project / "serve.log").open("a") as output:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=project, env={**environment, **variables},
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        return process

    start.address = f"http://127.0.0.1:{port}/api"
    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def states_of(address, flow):
    """Names of the states of a flow's runs, the newest first; none while nobody answers."""
    body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
    try:
        answer = urllib3.request(
            "POST", f"{address}/flow_runs/filter", json=body, timeout=20, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return []
    return [run["state_name"] for run in answer.json()] if answer.status == 200 else []


def wait_for(happened, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.mark.slow
def test_a_scheduled_run_fires_and_what_is_silent_would_be_ended(serve, project):
    serve()
    wait_for(lambda: "Reproduced" in states_of(serve.address, "reproduce"))
    answer = urllib3.request("POST", f"{serve.address}/automations/filter", json={}, timeout=20)
    (automation,) = answer.json()
    assert automation["enabled"]
    assert automation["trigger"]["posture"] == "Proactive"
    assert automation["trigger"]["within"] == 120.0
    kept = (project / ".flows" / "endings.jsonl").read_text().splitlines()
    assert json.loads(kept[-1])["outcome"] == "reproduced"
    page = (project / "reports" / "operations.html").read_text()
    assert "The schedules are active" in page


@pytest.mark.slow
def test_a_run_whose_machine_is_gone_ends_within_three_minutes_and_leaves_its_place(
    team_server, serve, project
):
    """Runner, flow and DVC are killed at once; the server alone is left."""
    graph = project / "dvc.yaml"
    graph.write_text(STAGES.replace("cp input.txt", "sleep 900; cp input.txt", 1))
    runner = serve(PREFECT_API_URL=team_server)
    wait_for(lambda: "Running" in states_of(team_server, "reproduce"))
    wait_for(lambda: "sleep" in [p.name() for p in processes_of(runner)])
    time.sleep(35)  # a heartbeat comes every 30 s
    gone = processes_of(runner)
    for process in gone:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(gone, 30)
    killed = time.monotonic()
    wait_for(lambda: "Running" not in states_of(team_server, "reproduce"))
    assert "Crashed" in states_of(team_server, "reproduce")
    assert time.monotonic() - killed < 180 + 30  # and what a busy machine takes to say so
    graph.write_text(STAGES)
    serve(PREFECT_API_URL=team_server)
    wait_for(lambda: "Reproduced" in states_of(team_server, "reproduce"))


def processes_of(runner):
    """A runner with all that it has started."""
    one = psutil.Process(runner.pid)
    return [one, *one.children(recursive=True)]
