"""Work in several processes gives the same results in the same order, and ends with its parent."""

from __future__ import annotations

import copy
import inspect
import io
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import Future
from datetime import timedelta

import cv2
import psutil
import pytest
from rich.console import Console

from pasam import errors, workers
from pasam.workers import (
    ALONE,
    ProcessGroup,
    byte_progress,
    count_progress,
    devices_here,
    loading_processes,
    parallel_map,
    progress_bar,
    run_together,
    started_group,
    threads_ahead,
)

# Other processes must be able to import the work: builtins and the standard library are.
WHO_AM_I = "__import__('os').getpid()"


def test_one_process_works_here_and_in_order():
    assert list(parallel_map(eval, [WHO_AM_I, "2 + 3"], workers=1, label="")) == [os.getpid(), 5]


def test_two_processes_work_elsewhere_and_in_order():
    threads = "__import__('cv2').getNumThreads()"
    work = ["0", WHO_AM_I, "2", threads, WHO_AM_I, "5"]
    found = list(parallel_map(eval, work, workers=2, label=""))
    assert (found[0], found[2], found[5]) == (0, 2, 5)
    assert os.getpid() not in (found[1], found[4])
    assert found[3] == 1, "processes must not fight for the processors"


def test_opencv_has_one_thread_where_processes_load_and_all_of_them_where_none_does():
    cv2.setNumThreads(3)
    with loading_processes(0):
        assert cv2.getNumThreads() == 3
    with loading_processes(2):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 3
    with pytest.raises(KeyError), loading_processes(2):
        raise KeyError
    assert cv2.getNumThreads() == 3


def test_a_single_task_is_not_worth_a_process():
    assert list(parallel_map(eval, [WHO_AM_I], workers=2, label="")) == [os.getpid()]


def test_nothing_to_do_gives_nothing():
    assert list(parallel_map(math.sqrt, [], workers=2, label="")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="math domain error"):
        list(parallel_map(math.sqrt, [4.0, -1.0], workers=workers, label=""))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_what_threads_have_done_comes_in_order_while_the_next_items_are_made(threads):
    made, done = [], []

    def items():
        for number in range(8):
            made.append(number)
            yield number

    def work(number):
        time.sleep(0.002 * (8 - number))  # later ones are sooner done
        done.append(threading.current_thread() is threading.main_thread())
        return number**2

    found = threads_ahead(work, items(), threads=threads)
    assert made == []
    assert next(found) == 0
    assert len(made) == threads + 1  # ahead, but not all of them
    assert list(found) == [number**2 for number in range(1, 8)]
    assert done == [not threads] * 8


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_in_a_thread_or_of_the_items_reaches_the_caller(threads):
    found = threads_ahead(math.sqrt, [4.0, -1.0, 9.0], threads=threads)
    assert next(found) == 2
    with pytest.raises(ValueError, match="math domain error"):
        list(found)

    def items():
        yield 4.0
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        list(threads_ahead(math.sqrt, items(), threads=threads))


class Bystander:
    """Stands for a process that somebody else of this program has started."""

    ended = False

    def terminate(self):
        self.ended = True


def test_an_error_ends_the_processes_of_the_work_and_nobody_elses(monkeypatch):
    bystander, children = Bystander(), multiprocessing.active_children
    monkeypatch.setattr(multiprocessing, "active_children", lambda: [bystander, *children()])
    with pytest.raises(ValueError, match="math domain error"):
        list(parallel_map(math.sqrt, [4.0, -1.0], workers=2, label=""))
    assert not bystander.ended


def test_an_interruption_ends_the_processes_at_their_work():
    before = set(multiprocessing.active_children())
    results = parallel_map(time.sleep, [0.0, 20.0, 20.0], workers=2, label="")
    next(results)
    ours = set(multiprocessing.active_children()) - before
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert -signal.SIGTERM in {process.exitcode for process in ours}, "nobody waited for the work"


KINDS = [
    kind for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.PasamError)
]  # fmt: skip
KEYWORDS = {"kind": "bad_row", "status": 413, "retry_after": 9, "exit_code": 7}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_crosses_from_another_process_whole(kind):
    taken = inspect.signature(kind.__init__).parameters
    error = kind("a cat", **{name: value for name, value in KEYWORDS.items() if name in taken})
    crossed = pickle.loads(pickle.dumps(error))  # noqa: S301  (just made)
    for found in (crossed, copy.copy(error)):
        assert type(found) is kind
        assert str(found) == "a cat"
        assert vars(found) == vars(error)


def test_a_refusal_says_when_to_come_again_only_where_it_was_told():
    assert errors.RefusedError("no", status=413).retry_after is None
    assert errors.RefusedError("later", status=503, retry_after=9).retry_after == 9


def test_an_error_with_keywords_reaches_the_caller_from_another_process():
    work = (
        "__import__('pasam.masks.images').masks.images.read_image(__import__('pathlib').Path('no'))"
    )
    with pytest.raises(errors.InvalidItemError, match="no does not exist") as caught:
        list(parallel_map(eval, [work, work], workers=2, label=""))
    assert caught.value.kind == "missing_file"


def test_results_come_as_they_are_asked_for():
    results = parallel_map(math.sqrt, [4.0, -1.0], workers=1, label="")
    assert next(results) == 2


@pytest.mark.long
def test_work_goes_on_only_a_little_ahead_of_what_is_taken(tmp_path):
    done = tmp_path / "done"
    work = [f"open({str(done)!r}, 'a').write('.')"] * 400
    results = parallel_map(eval, work, workers=2, label="")
    next(results)
    before, now = 0, len(done.read_text())
    while now > before:
        time.sleep(0.3)
        before, now = now, len(done.read_text())
    assert 16 <= now <= 96
    assert len(list(results)) == 399
    assert len(done.read_text()) == 400


def test_no_more_chunks_are_given_out_than_are_asked_for_and_a_few():
    given = []

    def submit(function, work, chunk):
        given.append(chunk)
        done = Future()
        done.set_result(function(work, chunk))
        return done

    chunks = [[4.0, 9.0], [16.0], [25.0], [36.0], [49.0]]
    results = workers._some_ahead(types.SimpleNamespace(submit=submit), math.sqrt, chunks, ahead=2)
    assert next(results) == 2
    assert given == chunks[:3]
    assert [next(results), next(results)] == [3, 4]
    assert given == chunks[:4]
    assert list(results) == [5, 6, 7]


@pytest.mark.parametrize(
    ("tasks", "asked", "begun", "sizes"),
    [(3, 8, 3, [1, 1, 1]), (100, 2, 2, [12] * 5), (1000, 2, 2, [16] * 5)],
)
def test_processes_and_chunks_are_as_few_as_the_work_needs(monkeypatch, tasks, asked, begun, sizes):
    seen, given = [], []

    class Pool:
        def __init__(self, processes, **_more):
            seen.append(processes)

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            pass

        def submit(self, function, work, chunk):
            given.append(len(chunk))
            done = Future()
            done.set_result(function(work, chunk))
            return done

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    results = parallel_map(math.sqrt, [4.0] * tasks, workers=asked, label="")
    assert next(results) == 2
    assert (seen, given) == ([begun], sizes)
    assert len(list(results)) == tasks - 1


PROGRAM = """
import os, sys, time
from pasam.workers import parallel_map
sys.stderr = open(os.devnull, "w")
tasks = ["print(__import__('os').getpid(), flush=True) or __import__('time').sleep(600)"] * 2
if __name__ == "__main__":
    list(parallel_map(eval, tasks, workers=2, label=""))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "sent", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_the_processes_end_with_the_one_they_work_for(sent, root, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        os.kill(parent.pid, sent)  # the one process, not its group
        parent.wait(timeout=120)
    assert psutil.wait_procs(workers, timeout=120)[1] == []


def shown(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with count_progress(console) as progress:
        task = progress.add_task("drawing", total=4, note="loss 0.25")
        progress.advance(task, 3)
        progress.refresh()
    return console.file.getvalue()


def test_a_terminal_sees_label_count_and_note():
    text = shown(terminal=True)
    assert "drawing" in text
    assert "3/4" in text
    assert "loss 0.25" in text


def test_a_bar_counts_an_item_when_the_next_is_asked_for(monkeypatch):
    bar = count_progress(Console(file=io.StringIO(), force_terminal=True))
    monkeypatch.setattr(workers, "count_progress", lambda: bar)
    items = progress_bar(iter("ab"), total=2, label="letters")
    next(items)
    assert [task.completed for task in bar.tasks] == [0]
    assert list(items) == ["b"]
    assert [task.completed for task in bar.tasks] == [2]


def test_a_log_file_stays_free_of_bars():
    assert shown(terminal=False) == ""


def test_the_rate_is_told_once_there_is_one():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with count_progress(console) as progress:
        task = progress.add_task("drawing", total=4, note="")
        for _ in range(4):
            progress.advance(task)
        progress.refresh()
    assert "/s" in console.file.getvalue()


def test_items_pass_through_in_order_and_in_silence(capsys):
    assert list(progress_bar(iter("abc"), total=3, label="letters")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_name_and_bytes_and_a_log_file_nothing(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with byte_progress(console) as bar:
        task = bar.add_task("DIS5K.zip", total=4_000_000)
        bar.update(task, completed=1_000_000)
        bar.refresh()
    text = console.file.getvalue()
    assert ("DIS5K.zip" in text) is terminal
    assert ("1.0/4.0 MB" in text) is terminal


TREE = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if cls.__module__ == errors.__name__
]


@pytest.mark.parametrize("cls", TREE)
def test_every_error_is_a_pasam_error(cls):
    assert issubclass(cls, errors.PasamError)


@pytest.mark.parametrize("cls", TREE)
def test_the_drawn_tree_names_every_error(cls):
    assert cls.__name__ in errors.__doc__


def test_only_a_passing_fault_has_the_exit_code_that_means_retry():
    passing = {cls for cls in TREE if issubclass(cls, errors.TransientError)}
    assert {cls.exit_code for cls in passing} == {75}
    assert {cls.exit_code for cls in set(TREE) - passing} == {2}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_the_shares_of_all_processes_are_the_whole_in_order_and_even(size, count):
    shares = [ProcessGroup(rank, size).share(range(count)) for rank in range(size)]
    assert [item for share in shares for item in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_gathers_its_own():
    assert ALONE.gather((1, 2)) == [1, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_of_several_processes_gathers_by_rank_and_the_others_nothing(monkeypatch, rank):
    asked = []

    def gather_object(mine, parts, group):
        asked.append((mine, parts and list(parts), group))
        if parts:
            parts[:] = [["a"], [], ["b", "c"]]

    fake = types.SimpleNamespace(gather_object=gather_object)
    for name, module in (("torch", types.SimpleNamespace(distributed=fake)),):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "torch.distributed", fake)
    monkeypatch.setattr(workers, "_gloo", lambda: "gloo")
    found = ProcessGroup(rank, 3, 0).gather(("a",))
    assert found == ([] if rank else ["a", "b", "c"])
    assert asked == [(["a"], None if rank else [None] * 3, "gloo")]


def test_a_group_is_what_torchrun_says(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert started_group() == ALONE
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert started_group() == ProcessGroup(rank=3, size=4, local_rank=1, local_size=4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert started_group() == ProcessGroup(rank=3, size=4, local_rank=1, local_size=2)


@pytest.mark.parametrize(("there", "each"), [(1, 1), (7, 1), (8, 1), (16, 2), (20, 2)])
def test_the_processes_of_a_machine_share_its_workers_and_each_has_one(there, each):
    assert ALONE.workers(there) == there
    assert ProcessGroup(rank=9, size=16, local_rank=1, local_size=8).workers(there) == each


def test_processes_find_each_other_when_they_are_told_to_and_one_alone_looks_for_nobody(
    monkeypatch,
):
    looked = []
    monkeypatch.setattr(workers, "_gloo", lambda: looked.append("here"))
    ALONE.join()
    assert looked == []
    ProcessGroup(rank=0, size=2).join()
    assert looked == ["here"]


@pytest.mark.parametrize("trains", [False, True])
def test_processes_that_may_train_wait_a_day_for_the_slowest_share(monkeypatch, trains):
    asked = []
    fake = types.SimpleNamespace(
        is_initialized=lambda: trains,
        init_process_group=lambda backend, timeout: asked.append(("all", backend, timeout)),
        new_group=lambda backend, timeout: asked.append(("more", backend, timeout)) or "own",
        group=types.SimpleNamespace(WORLD="world"),
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(distributed=fake))
    monkeypatch.setitem(sys.modules, "torch.distributed", fake)
    assert workers._gloo.__wrapped__() == ("own" if trains else "world")
    assert asked == [("more" if trains else "all", "gloo", timedelta(days=1))]


def test_auto_is_one_process_for_each_gpu_and_one_where_none_is_used(monkeypatch):
    cuda = types.SimpleNamespace(device_count=lambda: 3)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    assert [devices_here(name) for name in ("cpu", "auto", "gpu")] == [1, 3, 3]
    cuda.device_count = lambda: 0
    assert devices_here("auto") == 1


START = """
import os, signal, sys, time
from pathlib import Path
rank, folder = int(os.environ["RANK"]), Path(FOLDER)
def say(what):
    Path(folder, str(rank)).write_text(str(what))
def wait_for(count):
    while len(os.listdir(folder)) < count:
        time.sleep(0.01)
def end(code, line):
    from pasam.workers import leave_word
    assert leave_word(code, line)
    sys.exit(code)
"""
PLACE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")


def one_of_several(folder, code):
    """A command that runs this code with a few words more: `say`, `wait_for`, `end`."""
    return [sys.executable, "-c", START.replace("FOLDER", repr(str(folder))) + code]


def said(folder):
    return [path.read_text() for path in sorted(folder.iterdir())]


def test_each_of_several_processes_knows_its_place_and_the_first_one_speaks(tmp_path, capfd):
    code = f"say([os.environ[name] for name in {PLACE}]); print('Hello from', rank)"
    assert run_together(one_of_several(tmp_path, code), 2) == (0, "")
    assert said(tmp_path) == [str([r, r, "2", "2", "127.0.0.1"]) for r in "01"]
    assert capfd.readouterr().out == "Hello from 0\n"


def test_the_port_where_processes_meet_is_theirs_from_the_first_moment_on(tmp_path):
    code = """
import errno, socket
port = int(os.environ["MASTER_PORT"])
def take():
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
say(rank == 0 or take())
wait_for(2)
"""
    assert run_together(one_of_several(tmp_path, code), 2) == (0, "")
    assert said(tmp_path) == ["True", "True"]


@pytest.mark.slow
def test_processes_meet_and_gather_on_the_port_that_was_held_for_them(tmp_path):
    code = """
from pasam.workers import open_meeting, started_group
open_meeting()
open_meeting()  # the second time there is nothing left to open
group = started_group()
group.join()
say(group.gather([rank, os.environ.get("TORCHELASTIC_USE_AGENT_STORE")]))
wait_for(3)
"""
    assert run_together(one_of_several(tmp_path, code), 3) == (0, "")
    assert said(tmp_path) == [str([0, "True", 1, None, 2, None]), "[]", "[]"]


@pytest.mark.parametrize(
    ("fails", "code", "line"),
    [
        (r"end(2, 'error: bad\n')", 2, "error: bad\n"),
        ("print('what a mess', file=sys.stderr); sys.exit(3)", 3, "what a mess\n"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            137,
            "error: process 2 of 3 was ended by SIGKILL;",
        ),
        ("os.write(2, b'Why: '); os.abort()", 134, "Why: error: process 2 of 3 was ended by SIGAB"),
    ],
)
def test_where_one_of_several_processes_fails_the_others_end_and_its_error_is_told_once(
    fails, code, line, tmp_path
):
    work = f"""
signal.signal(signal.SIGTERM, lambda *_: (say("ended"), end(5, "it has lost another")))
if rank == 1:
    wait_for(2)
    {fails}
say("here")
time.sleep(60)
"""
    found, words = run_together(one_of_several(tmp_path, work), 3)
    assert (found, words.startswith(line), words.count("\n")) == (code, True, 1)
    assert said(tmp_path) == ["ended", "ended"]


def test_a_process_that_does_not_hear_is_killed_after_the_grace(tmp_path):
    work = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if rank == 1:
    wait_for(1)
    sys.exit(4)
say(os.getpid())
time.sleep(60)
"""
    assert run_together(one_of_several(tmp_path, work), 2, grace=0.05) == (4, "")
    (pid,) = said(tmp_path)
    assert not psutil.pid_exists(int(pid))


def test_ctrl_c_ends_all_processes_each_of_which_hears_of_it_once(tmp_path):
    work = """
signal.signal(signal.SIGTERM, lambda *_: (say("ended"), sys.exit(0)))
say("here")
if rank == 0:
    wait_for(2)
    os.killpg(0, signal.SIGINT)  # as a terminal does
time.sleep(60)
"""
    starter = f"""
import sys
from pasam.workers import run_together
try:
    run_together({one_of_several(tmp_path, work)}, 2)
except KeyboardInterrupt:
    sys.exit(130)
"""
    ended = subprocess.run(
        [sys.executable, "-c", starter], start_new_session=True, check=False, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
    assert said(tmp_path) == ["ended", "ended"]
