"""Signals: the first is noted, the second acts as before, and handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from convforge.training.stopping import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_next_one_acts_as_before(number):
    before = signal.getsignal(number)
    seen = []
    signal.signal(number, lambda *_: seen.append("acted"))
    try:
        with stop_on_signals() as stop:
            assert stop.signal == 0
            os.kill(os.getpid(), number)
            assert (stop.signal, seen) == (number, [])
            os.kill(os.getpid(), number)
            assert seen == ["acted"]
        os.kill(os.getpid(), number)
        assert seen == ["acted", "acted"]
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back_after_an_exception():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), stop_on_signals():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_nothing_is_changed():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def work():
        with stop_on_signals() as stop:
            found.append((stop.signal, signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(0, True)]
