"""The benchmark of several expectations: every way runs on a tiny budget, and the table adds up."""

import numpy as np
import pytest

from benchmarks import expectations
from benchmarks.expectations import METHODS, Run, play, problem, table
from benchmarks.hard_for_polynomials import hard_cases


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs(method):
    run = play(("gaussian moments", method, 400, 0))
    assert len(run.errors) == len(run.half_widths) == 10
    assert np.isfinite(run.errors).all()
    assert run == play(("gaussian moments", method, 400, 0)) or run.seconds > 0.0


@pytest.mark.parametrize("case", hard_cases(), ids=lambda case: case.name)
def test_exact_values_of_the_hard_cases(case):
    """By 200,000 draws; the heavy tail by importance sampling on the radius."""
    rng = np.random.default_rng(1)
    x = case.inputs.sample(200_000, rng)
    W = np.ones(len(x))
    if case.name == "exp(5 abs(x)), normal":
        x = 4.0 * x
        W = 16.0 * np.exp(-0.5 * np.square(x).sum(axis=1) * (1 - 1 / 16.0))
    values = W * case.func(x, rng)
    assert abs(values.mean() - case.truth) < 4 * values.std() / np.sqrt(len(x))


def test_table_by_hand():
    weights = problem("gaussian moments").weights
    truth = problem("gaussian moments").truth
    runs = [
        Run(
            "gaussian moments", "auto", 100, seed, list(sign * 0.1 * truth), list(half * truth), 1.0
        )
        for seed, (sign, half) in enumerate([(1, 0.2), (-1, 0.05), (1, 0.2), (-1, 0.2)])
    ]
    line = table(runs).splitlines()[-1]
    assert f"{0.01 * len(weights):.2e}" in line
    assert "| 4 |" in line and "| 0.750 |" in line
    assert expectations.CASES[0] in line
