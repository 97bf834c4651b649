"""Every example runs on a tiny budget, says what it found and leaves its picture."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dask.distributed
import pytest
from matplotlib import pyplot
from sklearn import datasets

EXAMPLES = Path(__file__).parents[2] / "examples"

# name: (arguments for a tiny budget, what it must say)
TINY = {
    "tune_classifier": (["--n-evals", "8"], ["random search", "+-"]),
    "noisy_ei": (["--n-evals", "9", "--n-searches", "3"], ["luckiest observation", "recommended"]),
    "gaussian_moments": (["--budget", "500"], ["E[X^20]", "published", "sum"]),
    "cantilever_beam": (
        ["--budget", "500", "--n-laws", "5"],
        ["published procedure", "uq, default", "First law"],
    ),
    "ishigami": (["--n", "32"], ["exact", "Interaction", "Extended to 640 runs"]),
    "flood": (["--budget", "500"], ["river", "ground", "Probability that the river"]),
    "four_branch": (["--budget", "200"], ["Exact", "Estimate", "Regions of failure", "Not seen"]),
    "roof_truss": (["--budget", "160"], ["sag above", "39 mm", "Plain Monte Carlo", "load"]),
    "kg_vs_ei_under_noise": (
        ["--n-evals", "8", "--n-searches", "1"],
        ["expected improvement", "knowledge gradient"],
    ),
    "derivatives": (["--n-evals", "12", "--n-searches", "1"], ["with gradients", "the truth"]),
    "simplex_mixture": (["--n-evals", "12"], ["true best", "Length-scales", "limit 1.6"]),
    "many_machines": (
        ["--n-evals", "6", "--n-workers", "1"],
        ["a Dask cluster: 6 trials, 6 different", "one database: 6 trials, 6 different"],
    ),
    "fermenters": (
        ["--n-evals", "10", "--n-searches", "1"],
        ["1 searches of 10 batches", "one fermenter", "four fermenters", "°C"],
    ),
    "coil_spring": (["--n-evals", "11"], ["true best", "deflection", "552.0 MPa", "of 11 springs"]),
    "falling_robot": (
        ["--n-evals", "10", "--n-searches", "1"],
        ["learns from falls", "random trials", "raised Fell", "probability of success"],
    ),
    "wind_turbine": (
        ["--budget", "3.5", "--n-searches", "1"],
        ["which may spend 3.5", "all meshes", "the fine mesh alone", "cost budget"],
    ),
    "cross_validation_folds": (
        ["--n-fits", "10", "--n-searches", "1"],
        ["one fold at a time       10", "all folds each time      40"],
    ),
    "bakery": (["--n-evals", "9"], ["9 days simulated", "best in the worst tenth", "price"]),
    "second_coffee_machine": (
        ["--n-cups", "4", "--n-searches", "1"],
        ["from the new machine", "knows the old machine", "starts anew", "after 4 cups"],
    ),
    "unsteady_reactor": (
        ["--n-evals", "16", "--n-searches", "1"],
        ["1 searches of 16 runs", "noise by temperature", "lost yield"],
    ),
    "car_suspension": (
        ["--budget", "80", "--n-searches", "1"],
        ["1 searches for each", "all simulators", "the best alone", "kNs/m", "cost budget"],
    ),
    "one_default": (
        ["--n-evals", "8", "--n-searches", "1"],
        ["one data set at a time", "all data sets each time", "The first default", "tumours"],
    ),
    "electric_car": (["--n-evals", "10"], ["of 10 prototypes", "battery", "random cars"]),
}

# By a fresh interpreter, as a user does it: one of each package, and all with the slow tests.
FRESH = [
    name if name in ("simplex_mixture", "ishigami") else pytest.param(name, marks=pytest.mark.slow)
    for name in TINY
]


@pytest.mark.parametrize("name", FRESH)
def test_example(name: str, tmp_path: Path) -> None:
    picture = tmp_path / f"{name}.png"
    arguments, says = TINY[name]
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments, "--picture", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert picture.stat().st_size > 10_000
    for text in says:
        assert text in done.stdout
    assert "Warning" not in done.stderr


@pytest.fixture
def three_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three digits of ten to tell apart."""
    whole: Callable[..., object] = datasets.load_digits
    monkeypatch.setattr(datasets, "load_digits", lambda **given: whole(n_class=3, **given))


@pytest.fixture
def workers_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Dask cluster in this process: the fresh interpreter starts one of processes."""
    whole: Callable[..., object] = dask.distributed.LocalCluster
    monkeypatch.setattr(
        dask.distributed, "LocalCluster", lambda **given: whole(processes=False, **given)
    )


@pytest.mark.parametrize("name", TINY)
@pytest.mark.usefixtures("few_cheap_points", "three_digits", "workers_in_threads")
def test_example_in_this_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Saves the imports; a warning is an error here."""
    picture = tmp_path / f"{name}.png"
    arguments, says = TINY[name]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments, "--picture", str(picture)])
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        pyplot.close("all")
    assert picture.stat().st_size > 10_000
    told = capsys.readouterr()
    for text in says:
        assert text in told.out
    assert "Warning" not in told.err


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(TINY)
