"""Checks of single arguments: what came, what is allowed, by the name of the argument."""

import math
import reprlib
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SEEDS = 2**63  # what the Sobol' sequence takes


def check_name(what: str, name: object, known: tuple[str, ...], also: str = "") -> None:
    """Raise ValueError with the known names, and what `also` is taken, when it is not one."""
    if not isinstance(name, str) or name not in known:
        names = " ".join(filter(None, (", ".join(map(repr, known)), also)))
        raise ValueError(f"Unknown {what} {name!r}; known are {names}.")


def whole_number(value: object, name: str, least: int) -> int:
    """Return `value` as an int, at least `least`; raises TypeError or ValueError by name."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` must be a whole number, but got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, but got {value!r}.")
    return int(value)


def finite_number(value: object, what: str) -> float:
    """Return `value` as a finite float; raises TypeError or ValueError that begin with `what`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{what} must be a number, but got {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite, but got {value!r}.")
    return float(value)


def checked_seed(seed: object) -> int:
    """Return a seed; raises TypeError or ValueError."""
    number = whole_number(seed, "seed", 0)
    if number >= _SEEDS:
        raise ValueError(f"`seed` must be below 2**63, but got {seed!r}.")
    return number


def checked_noise(noise: object) -> Literal["auto", "heteroscedastic", False] | float:
    """Return one of the names, False or a positive standard deviation; raises TypeError or
    ValueError."""
    if isinstance(noise, str) and noise == "auto":
        return "auto"
    if isinstance(noise, str) and noise == "heteroscedastic":
        return "heteroscedastic"
    if noise is True or not isinstance(noise, bool | int | float | np.integer | np.floating):
        raise TypeError(
            "`noise` is 'auto', 'heteroscedastic', False or a standard deviation, but got "
            f"{noise!r}."
        )
    sd = float(noise)
    if not (math.isfinite(sd) and sd >= 0):
        raise ValueError(f"`noise` must be a finite standard deviation >= 0, but got {noise!r}.")
    return sd or False


def checked_budget(cost_budget: object) -> float | None:
    """Return a positive budget of costs or None; raises TypeError or ValueError."""
    if cost_budget is None:
        return None
    budget = finite_number(cost_budget, "`cost_budget`")
    if budget <= 0:
        raise ValueError(f"`cost_budget` must be positive, but got {cost_budget!r}.")
    return budget


def checked_n_evals(n_evals: object, cost_budget: object) -> int | None:
    """Return a number of evaluations, or None where a budget ends the search.

    Raises TypeError or ValueError.
    """
    if n_evals is None and cost_budget is None:
        raise TypeError(
            "`n_evals` must be a whole number, how many evaluations there are in all; only with a "
            "`cost_budget` may it be left out."
        )
    return None if n_evals is None else whole_number(n_evals, "n_evals", 1)


def checked_timeout(timeout: object, name: str = "timeout") -> float | None:
    """Return positive seconds or None; raises TypeError or ValueError by name."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | np.integer | np.floating):
        raise TypeError(f"`{name}` must be positive seconds or None, but got {timeout!r}.")
    if not timeout > 0:
        raise ValueError(f"`{name}` must be positive seconds, but got {timeout!r}.")
    return float(timeout)


def real_number(value: object, what: str) -> float:
    """Return one real number of Python, NumPy or torch, 0-d arrays included, as a float.

    Raises TypeError, or ValueError beyond the range of a float64, that begin with `what`.
    """
    came = f"{type(value).__name__} {reprlib.repr(value)} came"
    if isinstance(value, bool | np.bool_ | str | bytes | complex | np.complexfloating | None):
        raise TypeError(f"{what} must be a number, but {came}.")
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iufO":
        raise TypeError(f"{what} must be a number, but {came}.")
    shape = getattr(value, "shape", ())
    if len(shape) > 0:
        raise TypeError(f"{what} must be one number, but an array of shape {tuple(shape)} came.")
    if hasattr(value, "detach"):  # torch warns when a tensor that carries a graph becomes a float
        value = value.detach()
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ValueError(f"{what} is beyond the range of a float64.") from error
    except Exception as error:  # whatever the object does when it is asked for a float
        raise TypeError(f"{what} must be a number, but {came}.") from error


def real_numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `values` as an array of floats, from tensors too.

    Raises TypeError, or ValueError beyond the range of a float64, by name.
    """
    try:
        array: NDArray[Any] = np.asarray(_detached(values))
        if array.dtype.kind not in "iufO":
            raise TypeError(f"`{name}` has the type {array.dtype}")
        return array.astype(np.float64)
    except OverflowError as error:
        raise ValueError(f"`{name}` has a number beyond the range of a float64.") from error
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` must be real numbers, but got {reprlib.repr(values)}."
        ) from error


def _detached(values: Any) -> Any:
    """Tensors without their graph, which NumPy refuses to leave behind."""
    if isinstance(values, list | tuple):
        return [_detached(value) for value in values]
    return values.detach() if hasattr(values, "detach") else values
