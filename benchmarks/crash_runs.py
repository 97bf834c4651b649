"""What came of one search where evaluations may crash."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CrashRun:
    """One run done: `values` has a number for every evaluation, ``None`` for one that crashed."""

    problem: str
    solver: str
    seed: int
    version: str
    n_initial: int
    optimum: float
    values: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def regret(self) -> float:
        return min(v for v in self.values if v is not None) - self.optimum

    def failed(self, n_last: int) -> int:
        """How many of the last so many evaluations crashed."""
        return sum(v is None for v in self.values[-n_last:])
