"""A command in its own group: its lines, its log, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pipelines.process import TimeUp, run_child

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


def test_a_character_cut_in_two_by_a_flush_is_one_character(run):
    code = (
        "import sys, time; w = sys.stdout.buffer; e = 'ö'.encode();"
        "w.write(e[:1]); w.flush(); time.sleep(0.5); w.write(e[1:]); w.flush()"
    )
    assert run(code)[1] == ["ö"]


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


def test_a_command_that_takes_too_long_is_ended(run, tmp_path):
    start = time.monotonic()
    with pytest.raises(TimeUp):
        run(SAVING, timeout=1.0)
    assert time.monotonic() - start < 30
    assert (tmp_path / "saved").exists()


def test_ctrl_c_in_this_process_reaches_the_group(run, tmp_path):
    def told(lines):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        run(SAVING, told)
    assert (tmp_path / "saved").exists()


def test_the_command_reads_nothing(run):
    assert run("import sys; print(len(sys.stdin.read()))") == (0, ["0"])
