"""The line of progress: in a terminal, in a notebook, in a log file, and nowhere."""

import io
import re
import sys
import types

import pytest

from bayesopt.execution import progress
from bayesopt.execution.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests turn by hand."""
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])

    def turn(seconds):
        now[0] += seconds

    return turn


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_of(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.parametrize("show", [False, "auto"])
def test_a_short_search_is_silent_where_nobody_watches(capsys, show):
    line = Progress(5, 0, show)
    line.advance(1.0, 0.1)
    line.close()
    assert capsys.readouterr() == ("", "")


def test_a_log_file_gets_a_line_every_half_minute_and_the_last(capsys, clock):
    line = Progress(40, 2, "auto")
    for seconds in (29.0, 1.5, 29.0, 29.0, 1.0):
        clock(seconds)
        line.advance(0.123456789, seconds)
    line.close()
    lines = lines_of(capsys)
    assert [re.search(r"\d+/40", one).group() for one in lines] == ["4/40", "6/40", "7/40"]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 4/40 best 0\.123457, function 30\.5 s, optimiser 0\.0 s",
        lines[0],
    )


def test_who_asks_for_lines_gets_one_a_second_and_the_last(capsys, clock):
    line = Progress(9, 0, True)
    for seconds in (0.0, 0.5, 0.6, 0.1, 0.1):
        clock(seconds)
        line.advance(None, seconds)
    line.close()
    line.close()
    lines = lines_of(capsys)
    assert [re.search(r"\d/9", one).group() for one in lines] == ["1/9", "3/9", "5/9"]
    assert "best none yet" in lines[0]


def test_a_last_line_is_not_written_twice(capsys, clock):
    line = Progress(1, 0, True)
    line.advance(1.0, 0.0)
    line.close()
    assert len(lines_of(capsys)) == 1


def test_a_terminal_shows_count_best_and_both_clocks(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    line = Progress(5, 2, "auto")
    with line.asking():
        clock(2.0)
    line.advance(None, 30.0)
    line.advance(0.123456789, 3.0)
    line.close()
    shown = sys.stderr.getvalue()
    assert "4/5" in shown
    assert "best 0.123457, function 33.0 s, optimiser 2.0 s" in shown


def test_seconds_in_the_function_add_up_over_workers_and_asking_is_what_is_inside(clock):
    line = Progress(5, 0, False)
    with pytest.raises(ValueError), line.asking():
        clock(4.0)
        raise ValueError
    clock(50.0)
    line.advance(1.0, 10.0)
    line.advance(1.0, 11.0)
    assert (line.seconds_in_function, line.seconds_asking) == (21.0, 4.0)


def test_nothing_is_written_where_there_is_no_error_stream(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    line = Progress(2, 0, True)
    line.advance(1.0, 0.0)
    line.close()


@pytest.fixture
def notebook(monkeypatch):
    """What a kernel of Jupyter leaves in `sys.modules`."""
    kernel = types.ModuleType("ipykernel.zmqshell")
    kernel.ZMQInteractiveShell = type("Shell", (), {"initialized": lambda: True})
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", kernel)


def test_a_notebook_shows_a_widget(monkeypatch, notebook, capsys):
    import tqdm

    shown = []

    class Widget:
        n = 3

        def __init__(self, **given):
            shown.append(given)

        def set_postfix_str(self, text, refresh):
            shown.append(text)

        def update(self, n):
            shown.append(n)

        def close(self):
            shown.append("closed")

    widgets = types.ModuleType("tqdm.notebook")
    widgets.tqdm = Widget
    monkeypatch.setitem(sys.modules, "tqdm.notebook", widgets)
    monkeypatch.setattr(tqdm, "notebook", widgets, raising=False)
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: name)
    line = Progress(5, 3, "auto")
    line.advance(2.0, 1.0)
    line.close()
    assert shown[0] == {"total": 5, "initial": 3, "unit": "eval"}
    assert shown[1].startswith("best 2, function 1.0 s") and shown[2:] == [1, "closed"]
    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_widgets_gets_plain_lines(monkeypatch, notebook, capsys):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    line = Progress(5, 3, True)
    line.advance(2.0, 1.0)
    line.close()
    assert "4/5 best 2" in lines_of(capsys)[0]


def test_where_nobody_knows_how_many_there_will_be_they_are_counted(capsys, clock):
    line = Progress(None, 2, True)
    clock(2.0)
    line.advance(0.5, 1.0)
    line.close()
    assert re.search(r"\d\d 3 best 0\.5,", lines_of(capsys)[0])


def test_a_terminal_shows_a_count_without_an_end(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = Progress(None, 2, True)
    line.advance(0.5, 1.0)
    line.close()
    assert "3/?" in terminal.getvalue() and "best 0.5" in terminal.getvalue()
