"""Every example runs on a tiny budget, says what it found and leaves its picture."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# name: (arguments for a tiny budget, what it must say)
TINY = {
    "tune_classifier": (["--n-evals", "12"], ["random search", "+-"]),
    "noisy_ei": (["--n-evals", "9", "--n-searches", "3"], ["luckiest observation", "recommended"]),
    "gaussian_moments": (["--budget", "500"], ["E[X^20]", "published", "sum"]),
    "cantilever_beam": (
        ["--budget", "500", "--n-laws", "5"],
        ["published procedure", "uq, default", "First law"],
    ),
    "ishigami": (["--n", "32"], ["exact", "Interaction", "Extended to 640 runs"]),
    "flood": (["--budget", "600"], ["river", "ground", "Probability that the river"]),
    "four_branch": (["--budget", "200"], ["Exact", "Estimate", "Regions of failure", "Not seen"]),
    "roof_truss": (["--budget", "200"], ["sag above", "39 mm", "Plain Monte Carlo", "load"]),
    "simplex_mixture": (["--n-evals", "12"], ["true best", "Length-scales", "limit 1.6"]),
}


@pytest.mark.parametrize("name", TINY)
def test_example(name: str, tmp_path: Path) -> None:
    picture = tmp_path / f"{name}.png"
    arguments, says = TINY[name]
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments, "--picture", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert picture.stat().st_size > 10_000
    for text in says:
        assert text in done.stdout
    assert "Warning" not in done.stderr


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(TINY)
