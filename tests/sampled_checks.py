"""Shapes and types are checked in some calls of a function only: most checks cost more than it.

The first `FIRST` calls of each function in each test are checked, and one in `THEN` of the later
ones; a prime, so as not to fall in step with a loop. `make test-all` checks every call.
"""

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import jaxtyping

FIRST, THEN = 5, 61

jaxtyping_jaxtyped = jaxtyping.jaxtyped
_n_calls: Counter[int] = Counter()  # by the identity of the code: a closure is made again and again


def new_test() -> None:
    _n_calls.clear()


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """As that of jaxtyping, which its import hook puts around all functions and dataclasses."""
    check_every_call = jaxtyping_jaxtyped(typechecker=typechecker)

    def decorate(fn: Any) -> Any:
        if inspect.isclass(fn):
            return check_every_call(fn)
        code, checked = id(fn.__code__), None

        @functools.wraps(fn)
        def sampled(*args: Any, **kwargs: Any) -> Any:
            nonlocal checked
            n = _n_calls[code] = _n_calls[code] + 1
            if n > FIRST and n % THEN:
                return fn(*args, **kwargs)
            checked = checked or check_every_call(fn)
            return checked(*args, **kwargs)

        return sampled

    return decorate
