"""Calls at the same time, each in a thread of its own."""

import threading


def in_threads(*calls):
    """What each call returns; raises what one of them has raised."""
    start, outcomes = threading.Barrier(len(calls)), [None] * len(calls)

    def call(i):
        start.wait()
        try:
            outcomes[i] = calls[i]()
        except BaseException as error:
            outcomes[i] = error

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
