"""A command in its own group: its lines, its log, its end, also after its watcher's death."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.errors import DataError, StageError, TransientError
from pipelines import dvc as dvc_module
from pipelines import process as process_module
from pipelines import stage_runner
from pipelines.dvc import Dvc
from pipelines.process import LogThrottle, Stopped, TimeUp, run_child

WITH_GRANDCHILD = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
SAVING = """
import pathlib, signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    pathlib.Path("saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path):
    """Run Python code; returns its exit code and the lines that were told."""

    def run_code(code, on_line=None, **options):
        lines = []

        def told(line):
            lines.append(line)
            if on_line is not None:
                on_line(lines)

        command = [sys.executable, "-c", code]
        log = tmp_path / "logs" / "child.log"
        return run_child(command, cwd=tmp_path, log=log, on_line=told, **options), lines

    return run_code


def interrupt_once(is_there):
    """Interrupt like Ctrl-C as soon as the lines are what is waited for."""

    def told(lines):
        if is_there(lines):
            raise KeyboardInterrupt

    return told


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("code", [0, 2, 75])
def test_the_exit_code_is_the_commands(code, run):
    assert run(f"raise SystemExit({code})")[0] == code


def test_a_signals_exit_code_is_negative(run):
    assert run("import os; os.kill(os.getpid(), 9)")[0] == -9


def test_every_line_is_told_and_kept_whatever_ends_it(run, tmp_path):
    code = (
        "import sys; w = sys.stdout.buffer.write; w('eins\\nzw\\u00f6lf\\r'.encode());"
        "w(b'bad \\xff\\n\\n'); sys.stdout.flush(); sys.stderr.write('last')"
    )
    assert run(code) == (0, ["eins", "zwölf", "bad \ufffd", "last"])
    assert (tmp_path / "logs" / "child.log").read_bytes().endswith(b"last")


def test_a_line_is_told_while_the_command_still_runs(run, tmp_path):
    waiting = (
        "import pathlib, time; print('first', flush=True)\n"
        "while not pathlib.Path('told').exists(): time.sleep(0.02)"
    )
    code, lines = run(waiting, lambda lines: (tmp_path / "told").touch(), timeout=60)
    assert (code, lines) == (0, ["first"])


def test_what_is_cut_in_two_between_two_looks_is_put_together_again():
    lines = process_module._Lines()
    assert list(lines.add("zw\u00f6".encode()[:-1], last=False)) == []
    assert list(lines.add("\u00f6".encode()[1:] + b"lf\nn", last=False)) == ["zw\u00f6lf"]
    assert list(lines.add(b"", last=False)) == []
    assert list(lines.add(b"ext", last=True)) == ["next"]


@pytest.mark.long
def test_a_character_cut_in_two_by_a_flush_is_one_character(run):
    code = (
        "import sys, time; w = sys.stdout.buffer; e = 'ö'.encode();"
        "w.write(e[:1]); w.flush(); time.sleep(0.5); w.write(e[1:]); w.flush()"
    )
    assert run(code)[1] == ["ö"]


@pytest.mark.long
def test_an_interruption_lets_the_command_save_its_state(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(SAVING, interrupt_once(lambda lines: lines))
    assert (tmp_path / "saved").exists()


def test_no_process_of_the_group_survives_an_interruption(run):
    seen = []

    def told(lines):
        if len(lines) == 2:
            seen.extend(int(pid) for line in lines for pid in line.split() if pid.isdigit())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(WITH_GRANDCHILD.format(child=STUBBORN), told, grace=0.3)
    assert len(seen) == 2
    assert not any(runs(pid) for pid in seen)


@pytest.mark.long
def test_no_process_of_the_group_survives_the_death_of_this_one(root, tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipelines.process import run_child;"
        "here = Path(sys.argv[1]); command = [sys.executable, '-c', sys.argv[2]];"
        "run_child(command, cwd=here, log=here / 'log', on_line=lambda line: print(line, flush=1))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), SAVING],
        cwd=root, stdout=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout.readline() == "ready\n"
        group = [child.pid for child in psutil.Process(watching.pid).children(recursive=True)]
        watching.kill()
    deadline = time.monotonic() + 30
    while any(runs(pid) for pid in group):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (tmp_path / "saved").exists()


def test_what_the_command_leaves_behind_is_ended_too(run):
    code = WITH_GRANDCHILD.format(child="import time; time.sleep(600)").replace(
        "time.sleep(600)\n", ""
    )
    done, lines = run(code)
    assert done == 0
    assert not runs(int(lines[0].split()[2]))


@pytest.mark.long
def test_a_command_that_takes_too_long_is_ended(run, tmp_path):
    start = time.monotonic()
    with pytest.raises(TimeUp):
        run(SAVING, timeout=1.0)
    assert time.monotonic() - start < 30
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("ends", "timeout", "stops", "error", "at"),
    [
        (3, None, False, None, 3), (99, 2.0, False, TimeUp, 3), (3, 2.0, False, None, 3),
        (99, None, True, Stopped, 1), (1, 0.5, True, None, 1),
    ],
)  # fmt: skip
def test_a_command_is_given_up_when_late_or_to_stop_unless_it_has_just_ended(
    ends, timeout, stops, error, at, monkeypatch
):
    clock, lines, stop = [0], [], threading.Event()

    def ends_within(process, seconds):
        clock[0] += 1
        return clock[0] >= ends

    monkeypatch.setattr(process_module, "_ends_within", ends_within)
    monkeypatch.setattr(process_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    if stops:
        stop.set()
    asked = (None, io.BytesIO(b"first\nlast"), lines.append, timeout, stop)
    if error is None:
        process_module._follow(*asked)
        assert lines == ["first", "last"]
    else:
        with pytest.raises(error):
            process_module._follow(*asked)
        assert lines == ["first"]
    assert clock == [at]


@pytest.mark.long
def test_ctrl_c_in_this_process_reaches_the_group(run, tmp_path):
    def told(lines):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        run(SAVING, told)
    assert (tmp_path / "saved").exists()


def test_the_command_reads_nothing(run):
    assert run("import sys; print(len(sys.stdin.read()))") == (0, ["0"])


SLEEPING = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPING}"


@pytest.fixture
def group():
    """Start Python code in a group of its own; ended after the test."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def watch(group, word, grace=0.3):
    return subprocess.run(
        [sys.executable, "-E", "-P", process_module.__file__, str(group), str(grace)],
        input=word, check=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "is_one"),
    [
        (["/x/bin/dvc", "repro"], True), (["python", "/x/bin/dvc", "repro"], True),
        (["python", "-m", "dvc", "repro"], True), (["python", "-m", "stage", "dvc"], False),
        (["python", "dvc.py"], False), ([], False),
    ],
)  # fmt: skip
def test_a_process_runs_dvc_as_a_program_or_as_a_module(words, is_one):
    assert stage_runner._is_dvc(SimpleNamespace(cmdline=lambda: words)) is is_one


@pytest.mark.parametrize(
    ("runs_on", "status", "ended"),
    [
        (True, psutil.STATUS_SLEEPING, False), (False, psutil.STATUS_SLEEPING, True),
        (True, psutil.STATUS_ZOMBIE, True),
    ],
)  # fmt: skip
def test_a_stage_is_stopped_once_the_dvc_that_started_it_is_gone(
    runs_on, status, ended, monkeypatch
):
    shell = SimpleNamespace(cmdline=lambda: ["sh", "-c", "python -m stage"])
    dvc = SimpleNamespace(
        cmdline=lambda: ["python", "-m", "dvc", "repro"], is_running=lambda: runs_on,
        status=lambda: status,
    )  # fmt: skip
    own, sent, looked = SimpleNamespace(parents=lambda: [shell, dvc]), [], threading.Event()

    def kill(*given):
        sent.append(given)
        looked.set()

    monkeypatch.setattr(stage_runner.psutil, "Process", lambda: own)
    monkeypatch.setattr(stage_runner.os, "kill", kill)
    with stage_runner.ended_with_dvc(pause=0.01):
        looked.wait(10 if ended else 0.1)
    assert sent == [(os.getpid(), signal.SIGTERM)] * ended


@pytest.mark.parametrize(
    ("obeys", "sent"), [(True, [signal.SIGTERM]), (False, [signal.SIGTERM, signal.SIGKILL])]
)
def test_a_group_may_save_its_state_before_it_is_killed(obeys, sent, monkeypatch):
    alive, numbers, waited = [True], [], []

    def give(group, number):
        assert group == 7
        numbers.append(number)
        alive[0] = alive[0] and not (obeys or number == signal.SIGKILL)
        return True

    monkeypatch.setattr(process_module, "_alive", lambda process: alive[0])
    monkeypatch.setattr(process_module, "_signal", give)
    monkeypatch.setattr(
        process_module, "_wait_until_gone", lambda process, seconds: waited.append(seconds)
    )
    process_module.end_group(SimpleNamespace(pid=7), 5.0)
    assert (numbers, waited[0]) == (sent, 5.0)
    process_module.end_group(SimpleNamespace(pid=7), 5.0)  # all have ended
    assert numbers == sent


def test_a_second_interruption_cuts_the_grace_short(monkeypatch):
    numbers, waits = [], [KeyboardInterrupt, None]

    def wait(process, seconds):
        if error := waits.pop(0):
            raise error

    monkeypatch.setattr(process_module, "_alive", lambda process: True)
    monkeypatch.setattr(process_module, "_signal", lambda group, number: numbers.append(number))
    monkeypatch.setattr(process_module, "_wait_until_gone", wait)
    with pytest.raises(KeyboardInterrupt):
        process_module.end_group(SimpleNamespace(pid=7), 5.0)
    assert (numbers, waits) == ([signal.SIGTERM, signal.SIGKILL], [])


@pytest.mark.parametrize(
    ("word", "lives", "sent"),
    [
        (b"done", 9, []), (b"", 0, [signal.SIGTERM]), (b"do", 9, None),
        (b"", 2, [signal.SIGTERM, 0, 0, signal.SIGKILL]),
    ],
)  # fmt: skip
def test_whoever_guards_a_group_ends_it_gently_unless_it_hears_that_all_is_well(
    word, lives, sent, monkeypatch
):
    given, clock = [], [0.0]

    def give(group, number):
        given.append(number)
        return len(given) <= lives

    def sleep(seconds):
        clock[0] += seconds

    monkeypatch.setattr(process_module, "_signal", give)
    monkeypatch.setattr(process_module.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(
        process_module, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep)
    )
    monkeypatch.setattr(process_module.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(word)))
    process_module.guard_orphans(7, 0.25)
    if sent is None:  # it holds out: asked for its end, looked at all the grace, then killed
        assert given == [signal.SIGTERM, 0, 0, 0, signal.SIGKILL]
    else:
        assert given == sent


def test_after_the_word_nothing_is_ended(group):
    process = group(SLEEPING)
    watch(process.pid, b"done")
    assert process.poll() is None


@pytest.mark.long
@pytest.mark.parametrize(("code", "number"), [(SLEEPING, -15), (STUBBORN, -9)])
def test_without_a_word_the_group_is_ended_gently_first(code, number, group):
    process = group(code)
    watch(process.pid, b"")
    assert process.wait(30) == number


def test_a_group_that_has_ended_is_no_error(group):
    process = group(SLEEPING)
    process.kill()
    process.wait()
    watch(process.pid, b"")


@pytest.fixture
def passed():
    return []


def limit(passed, clock, **options):
    return LogThrottle(passed.append, log=Path("a.log"), clock=clock, **options)


def test_a_burst_passes_whole(passed):
    told = limit(passed, lambda: 0.0, rate=1, burst=3)
    for line in "abc":
        told(line)
    told.close()
    assert passed == ["a", "b", "c"]


def test_what_is_left_out_is_counted_where_it_was(passed):
    now = [0.0]
    told = limit(passed, lambda: now[0], rate=1, burst=2)
    for line in "abcde":
        told(line)
    now[0] = 1.0
    told("f")
    assert passed == ["a", "b", "(3 lines left out here; all are in a.log)", "f"]


def test_what_is_left_out_at_the_end_is_said_at_the_end(passed):
    told = limit(passed, lambda: 0.0, rate=1, burst=1)
    told("a")
    told("b")
    told.close()
    assert passed == ["a", "(1 line left out here; all are in a.log)"]


def test_after_a_long_silence_no_more_than_a_burst_passes_at_once(passed):
    now = [0.0]
    told = limit(passed, lambda: now[0], rate=10, burst=2)
    now[0] = 1000.0
    for line in "abcd":
        told(line)
    told.close()
    assert passed == ["a", "b", "(2 lines left out here; all are in a.log)"]


def test_a_line_without_an_end_is_told_in_pieces():
    lines = process_module._Lines()
    assert list(lines.add(b"x" * 8192, last=False)) == []
    assert list(lines.add(b"y", last=False)) == ["x" * 8192 + "y"]
    assert list(lines.add(b"z", last=False)) == []
    assert list(lines.add(b"", last=True)) == ["z"]
    first, second = "\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode()[:1], b"\xb6\n"
    assert list(lines.add(first, last=False)) == []
    assert list(lines.add(second, last=False)) == ["\N{LATIN SMALL LETTER O WITH DIAERESIS}"]


def test_all_digests_of_the_lock_are_looked_at_in_the_cache_before_anything_runs(
    tmp_path, monkeypatch
):
    asked, damaged = [], []

    def damaged_cache(project, *, of, again):
        asked.append((project, of, again))
        return iter(damaged)

    monkeypatch.setattr("pasam.registry.upkeep.damaged_cache.damaged_cache", damaged_cache)
    dvc_module.expect_whole_results(tmp_path)
    assert asked == [], "nothing was made yet"
    file, folder = "0" * 32, "a" * 32 + ".dir"
    text = f"outs:\n- path: a\n  hash: md5\n  md5: {file}\n- path: b\n    md5: {folder}\n"
    (tmp_path / "dvc.lock").write_text(text)
    dvc_module.expect_whole_results(tmp_path)
    assert asked == [(tmp_path, {file, folder}, False)]
    damaged += ["files/md5/00/0", "files/md5/aa/a"]
    with pytest.raises(DataError, match=r"2 results in .* were made: files/md5/00/0\. Remove"):
        dvc_module.expect_whole_results(tmp_path)


@given(st.lists(st.floats(0, 2), max_size=60))
def test_no_line_is_lost_without_being_counted_and_the_rate_holds(pauses):
    now, passed = [0.0], []
    told = limit(passed, lambda: now[0], rate=2, burst=5)
    for pause in pauses:
        now[0] += pause
        told("line")
    told.close()
    lines = passed.count("line")
    counted = sum(int(note[1:].split()[0]) for note in passed if note != "line")
    assert lines + counted == len(pauses)
    assert lines <= 5 + 2 * now[0]


@pytest.fixture
def attempts(tmp_path, monkeypatch):
    """DVC in a folder, whose commands only note how they would be run."""
    seen = []

    def child(command, **how):
        seen.append((command, how))
        how["log"].parent.mkdir(parents=True, exist_ok=True)
        how["log"].write_text('{"train": [1]}\n/cache')
        how["on_line"]("words")
        return 0

    monkeypatch.setenv("OWN", "this process's")
    monkeypatch.setattr(dvc_module, "run_child", child)
    monkeypatch.setattr(dvc_module, "expect_whole_results", lambda folder: seen.append(folder))
    lines = []
    made = Dvc(
        project=tmp_path, state=tmp_path / ".flows", on_line=lines.append, timeout=5.0, grace=2.0,
        env={"OWN": "1"},
    )  # fmt: skip
    return made, seen, lines


@pytest.mark.parametrize(
    ("act", "words", "told"),
    [
        (lambda dvc: dvc.repro("train", "report"), ["repro", "train", "report"], ["words"]),
        (lambda dvc: dvc.pull("train"), ["pull", "--allow-missing", "train", "--run-cache"],
         ["words"]),
        (lambda dvc: dvc.push("train"), ["push", "train", "--run-cache"], ["words"]),
        (lambda dvc: dvc.status(), ["status", "--json"], []),
        (lambda dvc: dvc.graph(), ["dag", "--dot"], []),
        (lambda dvc: dvc.has_remote(), ["remote", "list"], []),
        (lambda dvc: dvc.share_cache(Path("c")),
         ["cache", "dir", "--local", str(Path("c").resolve())], []),
    ],
)  # fmt: skip
def test_each_of_dvcs_commands_is_run_as_it_was_set_up(act, words, told, attempts, tmp_path):
    made, seen, lines = attempts
    act(made)
    if words[0] == "repro":
        assert seen.pop(0) == tmp_path, "the cache is looked at before anything runs on it"
    ((command, how),) = seen
    assert command == [sys.executable, "-m", "dvc", *words]
    assert (how["cwd"], how["timeout"], how["grace"]) == (tmp_path, 5.0, 2.0)
    assert how["env"]["OWN"] == "1"
    assert how["env"]["DVC_NO_ANALYTICS"] == "1"
    assert how["env"]["PATH"].startswith(str(Path(sys.executable).parent) + os.pathsep)
    assert how["log"].parent == tmp_path / ".flows" / "logs"
    assert lines == told
    assert made.environment().items() >= {"OWN": "1", "DO_NOT_TRACK": "1"}.items()


def test_what_dvc_says_for_programs_is_read_from_its_last_line(attempts, tmp_path):
    made, *_ = attempts
    assert made.status() == ("train",)
    assert made.cache_folder() == Path("/cache")
    assert made.has_remote()


def test_a_refusal_that_has_nothing_to_do_with_the_run_cache_is_not_asked_twice(
    attempts, monkeypatch
):
    asked = []

    def refused(self, arguments):
        asked.append(arguments)
        return 253, "ERROR: you are not inside of a DVC repository", Path("a.log")

    monkeypatch.setattr(Dvc, "_attempt", refused)
    for act in (attempts[0].push, attempts[0].pull):
        with pytest.raises(StageError, match="not inside of a DVC repository"):
            act("train")
    assert asked == [
        ("push", "train", "--run-cache"), ("pull", "--allow-missing", "train", "--run-cache")
    ]  # fmt: skip


def test_what_a_failure_means_depends_on_the_command_that_met_it(attempts, monkeypatch):
    monkeypatch.setattr(Dvc, "_attempt", lambda *_: (255, "ERROR: reset by peer", Path("a.log")))
    made, *_ = attempts
    for act, words in ((made.push, "push train"), (made.pull, "pull --allow-missing train")):
        with pytest.raises(TransientError, match=f"`dvc {words} --run-cache` met a transient"):
            act("train")
    with pytest.raises(StageError, match="`dvc status --json` failed"):
        made.status()


def test_a_command_that_took_too_long_names_its_log_and_its_time(attempts, monkeypatch):
    def late(command, **how):
        raise TimeUp

    monkeypatch.setattr(dvc_module, "run_child", late)
    with pytest.raises(StageError, match=r"`dvc push --run-cache` took longer than 5 s") as ended:
        attempts[0].push()
    assert ended.value.exit_code == 143
