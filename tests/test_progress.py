"""Progress shows on terminals and nowhere else."""

import io

from rich.console import Console

from pasam.workers import bar, track


def shown(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with bar(console) as progress:
        task = progress.add_task("drawing", total=4, note="loss 0.25")
        progress.advance(task, 3)
        progress.refresh()
    return console.file.getvalue()


def test_a_terminal_sees_label_count_and_note():
    text = shown(terminal=True)
    assert "drawing" in text
    assert "3/4" in text
    assert "loss 0.25" in text


def test_a_log_file_stays_free_of_bars():
    assert shown(terminal=False) == ""


def test_the_rate_is_told_once_there_is_one():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with bar(console) as progress:
        task = progress.add_task("drawing", total=4, note="")
        for _ in range(4):
            progress.advance(task)
        progress.refresh()
    assert "/s" in console.file.getvalue()


def test_items_pass_through_in_order_and_in_silence(capsys):
    assert list(track(iter("abc"), total=3, label="letters")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
