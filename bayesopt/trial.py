"""What travels through the house: one trial, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from bayesopt.evaluation import Evaluation as Evaluation
from bayesopt.evaluation import NotFinite as NotFinite


class TrialState(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True)
class Seen:
    """Which trials were known when a point was chosen; with them it can be chosen again.

    Parameters
    ----------
    n
        All numbers below it had ended, but for the trial itself and those below.
    pending
        Numbers of the trials that were running.
    absent
        Numbers whose points were still being chosen by others.
    together
        Numbers whose points were chosen together, its own among them; empty for one alone.
    """

    n: int
    pending: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    together: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One point that was asked for or added, and what became of it.

    Parameters
    ----------
    number
        Position in the study, from 0.
    params
        Parameter values by name.
    state
        RUNNING, COMPLETE or FAILED.
    evaluation
        What was observed, once complete.
    reason
        Why it failed, once failed.
    origin
        "initial" (space-filling), "acquisition", "random", "given" (the user chose the point),
        "added" (the user brought the result along) or "late" (a result that came after another
        attempt at its trial had ended it).
    hyperparameters
        Logarithms of each model's hyperparameters when the point was chosen; the next fit starts
        from them. They are kept here so that asking depends on nothing but the trials.
    traceback
        Where it failed in the user's code, as Python prints it.
    seen
        What was known when the point was chosen; None where the user chose it.
    attempt
        How often it was given out, from 1; more than once after its process died.
    started, ended
        When the attempt began and when its result came, in seconds since 1970. They do not count
        when trials are compared.
    """

    number: int
    params: Mapping[str, Any]
    state: TrialState = TrialState.RUNNING
    evaluation: Evaluation | None = None
    reason: str | None = None
    origin: str = "given"
    hyperparameters: tuple[tuple[float, ...], ...] | None = None
    traceback: str | None = None
    seen: Seen | None = None
    attempt: int = 1
    started: float | None = field(default=None, compare=False)
    ended: float | None = field(default=None, compare=False)

    @property
    def value(self) -> float | tuple[float, ...] | None:
        """The observed value, one for each of several objectives, or None while there is none."""
        if self.evaluation is None:
            return None
        values = self.evaluation.values
        return values[0] if self.evaluation.is_one else values

    def to_json(self) -> dict[str, Any]:
        """Plain dict that `from_json` turns back into an equal trial; defaults are left out."""
        described: dict[str, Any] = {"number": self.number, "params": dict(self.params)}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default:
                described[name] = value
        described["state"] = self.state.value
        if self.evaluation is not None:
            described["evaluation"] = self.evaluation.to_json()
        if self.seen is not None:
            described["seen"] = [self.seen.n, self.seen.pending, self.seen.absent]
            if self.seen.together:
                described["seen"].append(self.seen.together)
        return described

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Trial":
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError if it cannot be."""
        given = dict(described)
        given["state"] = TrialState(given["state"])
        if "evaluation" in given:
            given["evaluation"] = Evaluation.from_json(given["evaluation"])
        if "seen" in given:
            n, *numbers = given["seen"]
            given["seen"] = Seen(n, *(tuple(each) for each in numbers))
        if "hyperparameters" in given:
            given["hyperparameters"] = _of_models(given["hyperparameters"])
        return cls(**given)


def _of_models(stored: Any) -> tuple[tuple[float, ...], ...]:
    """Hyperparameters of each model; old files hold those of the only one."""
    if any(not hasattr(each, "__len__") for each in stored):
        stored = [stored]
    return tuple(tuple(each) for each in stored)


_DEFAULTS = {f.name: f.default for f in fields(Trial) if f.name not in ("number", "params")}
