"""A function of the user's that takes a point: whether it does, its call, its name."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bayesopt.space import Space


def check_takes_point(function: Callable[..., Any], space: Space) -> None:
    """Raise TypeError when `function` cannot be called with a point of `space`."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return
    try:
        if space.takes_vector:
            signature.bind(None)
        else:
            signature.bind(**dict.fromkeys(space.names))
    except TypeError as error:
        how = "one vector" if space.takes_vector else f"the keywords {', '.join(space.names)}"
        name = getattr(function, "__name__", repr(function))
        raise TypeError(
            f"{name}{signature} does not fit the space: it is called with {how} ({error})."
        ) from None


def at_point(
    function: Callable[..., Any], params: Mapping[str, Any], vector_of: tuple[str, ...] | None
) -> Any:
    """What a function gives at one point.

    Parameters
    ----------
    function, params
        What is called, and with what.
    vector_of
        Names in the order of the vector, where it takes one; None for keywords.
    """
    if vector_of is None:
        return function(**params)
    return function(np.array([params[name] for name in vector_of]))


def name_of(function: Any) -> str:
    """Its module and name, by which it is stored."""
    if isinstance(function, partial):
        return name_of(function.func)
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__ or 'builtins'}.{named.__qualname__}"
