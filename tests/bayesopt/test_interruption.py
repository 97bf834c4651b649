"""Ctrl-C and SIGTERM wait where something could be lost, and are never swallowed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bayesopt.execution.interruption import Interruption


def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def usual_handlers():
    before = handlers()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    assert handlers() == (signal.default_int_handler, signal.SIG_DFL)
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


REASONS = {
    signal.SIGINT: "Interrupted by the user.",
    signal.SIGTERM: "Stopped by SIGTERM.",
}


@pytest.mark.parametrize("number", REASONS)
def test_a_signal_waits_for_the_next_allowed_stretch(number):
    done = []
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        signal.raise_signal(number)
        done.append("told")
        with interruption.allowed():
            done.append("waited")
    assert done == ["told"]
    assert interruption.reason == REASONS[number]


@pytest.mark.parametrize("number", REASONS)
def test_a_signal_in_an_allowed_stretch_raises_at_once(number):
    done = []
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        with interruption.allowed():
            done.append("before")
            signal.raise_signal(number)
            done.append("after")
    assert done == ["before"]


def test_what_cleans_up_is_not_interrupted_by_the_same_signal():
    done = []
    with Interruption() as interruption:
        try:
            with interruption.allowed():
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            done.append("cleaned up")
    assert done == ["cleaned up"]


def test_a_second_signal_raises_anywhere():
    done = []
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        done.append("held")
        signal.raise_signal(signal.SIGINT)
        done.append("never")
    assert done == ["held"]
    assert interruption.reason == "Stopped by SIGTERM."


def test_a_signal_that_came_too_late_raises_at_the_end():
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        with interruption.allowed():
            pass
        signal.raise_signal(signal.SIGINT)


def test_an_error_is_not_hidden_by_a_signal():
    with pytest.raises(ValueError), Interruption():
        signal.raise_signal(signal.SIGINT)
        raise ValueError


def test_without_a_signal_nothing_happens():
    with Interruption() as interruption, interruption.allowed():
        pass
    assert interruption.reason == "Interrupted by the user."


def test_handlers_of_the_user_stay():
    came = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    mine = handlers()
    with Interruption() as interruption, interruption.allowed():
        assert handlers() == mine
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert came == [signal.SIGTERM] and handlers() == mine
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_in_another_thread_it_does_nothing():
    seen = []

    def search():
        with Interruption() as interruption, interruption.allowed():
            seen.append(handlers())

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert seen == [(signal.default_int_handler, signal.SIG_DFL)]


def test_a_signal_ends_a_real_wait_in_another_process():
    code = """
import time
from bayesopt.execution.interruption import Interruption
try:
    with Interruption() as interruption:
        with interruption.allowed():
            print("waiting", flush=True)
            time.sleep(60)
except KeyboardInterrupt:
    print(interruption.reason)
"""
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout.readline() == "waiting\n"
        os.kill(one.pid, signal.SIGTERM)
        assert one.stdout.read() == "Stopped by SIGTERM.\n"
    assert one.returncode == 0 and time.monotonic() - started < 50


def test_a_forked_process_is_not_held():
    is_up, say = os.pipe()
    with Interruption():
        child = os.fork()
        if child == 0:
            os.write(say, b"!")
            time.sleep(30)
            os._exit(0)
        os.read(is_up, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
