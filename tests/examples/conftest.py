"""Searches for failures with fewer of the points that cost no runs, as in tests/uq."""

import pytest

from uq.proposals import spiked_fits
from uq.reliability import cheap_probabilities, exploration, failure_density


@pytest.fixture
def few_cheap_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cheap_probabilities, "_MOST", 12)
    monkeypatch.setattr(exploration, "_CHEAP", 1024)
    monkeypatch.setattr(exploration, "_PARTICLES", 300)
    monkeypatch.setattr(exploration, "_LAST_PARTICLES", 500)
    monkeypatch.setattr(exploration, "_LAST_FITS", 1)
    monkeypatch.setattr(failure_density, "_CHEAP", 1024)
    monkeypatch.setattr(spiked_fits, "_ROUNDS", 10)
    monkeypatch.setattr(spiked_fits, "_ROUNDS_OF_CHOICE", 4)
