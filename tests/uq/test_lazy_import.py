"""Importing uq costs nothing; using it never loads torch."""

import subprocess
import sys

import pytest

import uq


def _loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_loads_neither_numpy_nor_scipy_nor_torch() -> None:
    assert not _loaded_after("import uq") & {"numpy", "scipy", "torch", "matplotlib", "pandas"}


def test_expectations_never_load_torch() -> None:
    code = """
import uq
from scipy import stats
uq.expectations(lambda x: x[:, 0] ** 2, uq.Inputs([stats.norm()]), budget=500, rng=0)
"""
    loaded = _loaded_after(code)
    assert "scipy" in loaded
    assert not loaded & {"torch", "gpytorch", "botorch", "matplotlib", "pandas"}


def test_only_a_gaussian_process_of_the_limit_state_loads_torch() -> None:
    code = """
import uq
from scipy import stats
from uq.reliability import cheap_probabilities, exploration, failure_density
cheap_probabilities._MOST = 12  # few of the points that cost no runs
exploration._CHEAP = failure_density._CHEAP = 1024
exploration._PARTICLES, exploration._LAST_PARTICLES, exploration._LAST_FITS = 300, 500, 1
inputs = uq.Inputs([stats.norm()] * 2)
for surrogate in (None, "polynomial", lambda x: 2.5 - x[:, 0]):
    uq.failure_probability(
        lambda x: 2.5 - x[:, 0], inputs, budget=160, surrogate=surrogate, rng=0
    )
    study = uq.ReliabilityStudy(inputs, budget=160, surrogate=surrogate, rng=0)
    study.tell(2.5 - study.ask()[:, 0])
    assert "torch" not in sys.modules, surrogate
"""
    assert not _loaded_after(code) & {"torch", "gpytorch", "botorch", "matplotlib", "pandas"}


def test_names() -> None:
    assert set(uq.__all__) <= set(dir(uq))
    for name in uq.__all__:
        assert getattr(uq, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        uq.expectation  # noqa: B018
