"""The benchmark of Sobol' indices: every way runs on few rows, and the table adds up."""

import importlib.util

import numpy as np
import pytest

from benchmarks.sobol import METHODS, Run, play, table, truth

# What the extra `bench` installs, and the extra `test` does not.
PEERS = {"SALib": "SALib", "OpenTURNS, Martinez": "openturns"}
HERE = [name for name in METHODS if importlib.util.find_spec(PEERS.get(name, "uq")) is not None]


@pytest.mark.parametrize("method", HERE)
def test_every_method_runs(method):
    case, n = ("beam", 400) if method == "published" else ("product_and_sum", 64)
    run = play((case, method, n, 0))
    errors = np.array(run.errors)
    known = ~np.isnan(errors)
    assert known.sum() == (6 if method == "published" else len(errors))
    assert np.abs(errors[known]).max() < 0.7


def test_noise_has_a_part_in_every_total_index():
    exact, noisy = truth("product_and_sum"), truth("product_and_sum + noise")
    assert noisy[:3] == pytest.approx(exact[:3] / 1.0025)
    assert noisy[3:] == pytest.approx((exact[3:] + 0.0025) / 1.0025)
    errors = [play(("product_and_sum + noise", "uq", 256, seed)).errors for seed in range(20)]
    mean, sd = np.mean(errors, axis=0), np.std(errors, axis=0)
    assert (np.abs(mean) < 4 * sd / np.sqrt(20)).all()


def test_table_by_hand():
    runs = [
        Run("ishigami", "uq", 64, seed, [sign * 0.1] * 6, [half] * 6, 1.0)
        for seed, (sign, half) in enumerate([(1, 0.2), (-1, 0.05), (1, 0.2), (-1, 0.2)])
    ]
    line = table(runs).splitlines()[-1]
    assert line.startswith("| ishigami | 64 | uq | 4 | 1.00e-01 | 0.750 | 0.750, 0.750 | 0.75 |")
    assert f"| {0.1625 / 0.196:.2f} |" in line
