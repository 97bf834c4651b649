"""The benchmark of failure probabilities: peers run and are counted, and the tables add up."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import uq
from benchmarks import reliability
from benchmarks import reliability_peers as peers
from benchmarks.reliability import SOLVERS, Run, breakdowns, coverage_table, main, play, table
from benchmarks.reliability_cases import CASES
from benchmarks.reliability_peers import CountedRuns, Outcome, StoppedRun, with_normal_interval

P = CASES["r_minus_s"].exact
PEERS = ("ot_subset", "ot_nais", "ot_cross_entropy", "ot_form_is")


def monte_carlo(case, budget, seed):
    """Plain draws."""
    runs = CountedRuns(case)
    fails = runs(case.inputs.sample(budget, seed)) < 0.0
    error = float(fails.std(ddof=1)) / math.sqrt(budget)
    p = float(fails.mean())
    return Outcome(p, error, p - 1.96 * error, p + 1.96 * error, runs.count, "plain")


def run(seed=0, ratio=1.0, low=0.9, high=1.1, case="r_minus_s", solver="uq", **other):
    return Run(
        case, solver, 500, seed, ratio * CASES[case].exact, 0.1 * CASES[case].exact,
        low * CASES[case].exact, high * CASES[case].exact, 480, 2.0, **other,
    )  # fmt: skip


def broken():
    nothing = [math.nan] * 4
    return Run("r_minus_s", "uq", 500, 9, *nothing, 20, 2.0, "failed: a reason")


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.mark.slow  # the peer is installed for benchmarks and `make test-all` only
@pytest.mark.parametrize("solver", PEERS)
@pytest.mark.parametrize("case", ["r_minus_s", "lognormal_product"])
def test_every_peer_solves_an_easy_case(solver, case):
    outcomes = [play((case, solver, 1000, seed)) for seed in range(12)]
    ratio = np.array([one.estimate for one in outcomes]) / CASES[case].exact
    error = np.array([one.standard_error for one in outcomes]) / CASES[case].exact
    # The error claimed by one run is itself noisy, and of subset simulation too small.
    assert abs(ratio.mean() - 1.0) < 4.0 * np.sqrt(np.mean(error**2) / len(error))
    assert 0.01 < np.sqrt(np.mean((ratio - 1.0) ** 2)) < 0.7
    for one in outcomes:
        assert 500 < one.n_evaluations <= 2000
        half = 1.959963984540054 * one.standard_error
        assert (one.low, one.high) == pytest.approx((one.estimate - half, one.estimate + half))


@pytest.mark.slow  # the peer is installed for benchmarks and `make test-all` only
@pytest.mark.parametrize("solver", PEERS)
def test_a_seed_decides_the_run_of_a_peer(solver):
    first, again, other = (SOLVERS[solver](CASES["r_minus_s"], 500, seed) for seed in (3, 3, 4))
    assert first == again
    assert first.estimate != other.estimate


@pytest.mark.slow  # the peer is installed for benchmarks and `make test-all` only
def test_form_finds_both_design_points():
    message = SOLVERS["ot_form_is"](CASES["rp75"], 2000, 1).message
    assert message.startswith("design points at 2.449, 2.449 in ")


@pytest.mark.slow  # the peer is installed for benchmarks and `make test-all` only
def test_a_peer_that_needs_too_many_evaluations_has_failed():
    outcome = SOLVERS["ot_form_is"](CASES["linear_5_d100"], 300, 0)  # one slope takes 200
    assert math.isnan(outcome.estimate) and math.isnan(outcome.low)
    assert outcome.message == "failed: StoppedRun: FORM found no design point"
    assert 0 < outcome.n_evaluations <= 150


def test_runs_are_counted_and_stopped_at_the_limit():
    runs = CountedRuns(CASES["r_minus_s"], limit=10)
    x = CASES["r_minus_s"].inputs.sample(8, 0)
    np.testing.assert_array_equal(runs(x), x[:, 0] - x[:, 1])
    with pytest.raises(StoppedRun, match="more than 10 evaluations"):
        runs(x)
    assert runs.count == 8
    runs = CountedRuns(CASES["r_minus_s"])
    with runs.at_most(5), pytest.raises(StoppedRun):
        runs(x)
    assert len(runs(x)) == 8 == runs.count


def test_a_run_that_takes_too_long_has_failed(monkeypatch):
    monkeypatch.setattr(peers, "TIME_LIMIT", -1.0)
    solver = with_normal_interval(lambda runs, budget, seed: runs(np.ones((2, 2))))
    assert solver(CASES["r_minus_s"], 100, 0).message == "failed: longer than -1 s"


def test_what_a_peer_raises_is_its_outcome():
    def method(runs, budget, seed):
        runs(np.ones((budget, 2)))
        raise ValueError("no luck\nat line 5")

    outcome = with_normal_interval(method)(CASES["r_minus_s"], 30, 0)
    assert outcome.n_evaluations == 30
    assert outcome.message == "failed: ValueError: no luck"
    assert np.isnan(outcome[:4]).all()


def fake_result(n_evaluations):
    interval = SimpleNamespace(low=0.07, high=0.09)
    return SimpleNamespace(
        estimate=0.08, standard_error=0.005, confidence_interval=lambda level: interval,
        n_evaluations=n_evaluations, message="fine", flags=(),
    )  # fmt: skip


def test_ours_is_called_with_the_case_and_counted(monkeypatch):
    seen = {}

    def failure_probability(limit_state, inputs, *, budget, rng, **options):
        seen.update(options, inputs=inputs, rng=rng)
        limit_state(inputs.sample(budget, rng))
        return fake_result(budget)

    monkeypatch.setattr(uq, "failure_probability", failure_probability, raising=False)
    one = play(("r_minus_s", "uq_no_surrogate", 50, 7))
    assert seen["surrogate"] is None and seen["rng"] == 7
    assert seen["inputs"] is CASES["r_minus_s"].inputs
    assert (one.estimate, one.low, one.high, one.n_evaluations) == (0.08, 0.07, 0.09, 50)
    assert one.message == "fine"
    assert play(("r_minus_s", "uq", 50, 7)).message == "fine" and "surrogate" in seen


def test_ours_with_a_wrong_count_is_told(monkeypatch):
    monkeypatch.setattr(
        uq, "failure_probability", lambda *given, **options: fake_result(50), raising=False
    )
    one = play(("r_minus_s", "uq", 50, 0))
    assert one.n_evaluations == 0
    assert one.message == "SAYS 50 EVALUATIONS. fine"


def test_how_far_an_interval_misses():
    assert run(low=0.9, high=1.1).miss == 1.0
    assert run(low=1.25, high=2.0).miss == pytest.approx(1.25)
    assert run(low=0.1, high=0.5).miss == pytest.approx(2.0)
    assert run(low=0.0, high=0.0).miss == math.inf


def test_table_by_hand():
    runs = [
        run(0, 1.2, 0.9, 1.3),
        run(1, 0.8, 0.7, 0.8),
        run(2, 1.1, 1.05, 1.3),
        run(3, 0.9, 0.8, 1.0001),
    ]
    line = cells(table(runs).splitlines()[-1])
    mean_square = (0.04 + 0.04 + 0.01 + 0.01) / 4
    spread = np.std([0.04, 0.04, 0.01, 0.01], ddof=1) / 2 / (2 * math.sqrt(mean_square))
    assert line == [
        "r_minus_s", "500", "uq", "4", "1.0000", "+0.0", f"{0.158:.2g} ({spread:.1g})", "", "0.1",
        "0.500", "1.25", "480", "2.00", "",
    ]  # fmt: skip


def test_bias_in_standard_errors_of_the_mean():
    runs = [run(seed, ratio) for seed, ratio in enumerate([1.1, 1.2, 1.3, 1.4])]
    z = 0.25 / (np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2)
    assert cells(table(runs).splitlines()[-1])[5] == f"{z:+.1f}"


def test_broken_runs_and_missing_intervals_are_counted_apart():
    runs = [run(0), run(1, low=math.nan, high=math.nan), broken()]
    line = cells(table(runs).splitlines()[-1])
    assert line[3] == "3" and line[9] == "1.000" and line[-1] == "1, 1"
    assert "- r_minus_s, 500, uq, 1 runs: failed: a reason" in breakdowns(runs)
    assert breakdowns([run()]) == ""
    assert cells(table([broken()]).splitlines()[-1])[4:7] == ["-"] * 3


def test_coverage_is_pooled_over_the_nine_and_over_all():
    runs = [run(0), run(1, low=1.5, high=2.0)]
    runs += [run(seed, case="rp22") for seed in range(3)]
    runs += [run(3, case="rp22", low=0.1, high=0.25)]
    nine, everything = map(cells, coverage_table(runs).splitlines()[-2:])
    assert nine == ["the nine: 1 of 9", "500", "uq", "4", "0.750", "0.750 rp22", "4", ""]
    assert everything[3:7] == ["6", "0.667", "0.500 r_minus_s", "4"]
    assert everything[0] == f"all: 2 of {len(CASES)}"


def test_bars_stand_beside_the_true_cv():
    assert cells(table([run(case="rp22")]).splitlines()[-1])[7] == "0.05"


def test_script_with_a_plain_solver(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(SOLVERS, "plain", monte_carlo)
    given = ["--cases", "r_minus_s,rp22", "--solvers", "plain", "--budgets", "2000,500"]
    main([*given, "--seeds", "0:40", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    lines = [cells(line) for line in printed.splitlines() if line.startswith("| r_minus_s")]
    assert [line[1] for line in lines] == ["2000", "500"]
    for line in lines:
        exact_cv = math.sqrt((1.0 - P) / P / int(line[1]))
        cv, error = (float(part.strip("()")) for part in line[6].split())
        assert abs(cv - exact_cv) < 4.0 * error
        assert float(line[8]) == pytest.approx(exact_cv, rel=0.05)
        assert 0.81 <= float(line[9]) <= 1.0  # .95 less 4 standard errors of 40 runs
        assert abs(float(line[5])) < 4.0
        assert line[11] == line[1]
    assert printed.startswith("# Failure probabilities")
    assert "Seeds 0 to 39." in printed
    (saved,) = tmp_path.glob("reliability-*.jsonl")
    main(["--read", str(saved)])
    assert capsys.readouterr().out == printed


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--cases", "rp22,rp1000"])
    assert "['rp1000'] not among four_branch, " in capsys.readouterr().err


def test_seeds_are_read_as_slices():
    assert list(reliability._seeds("3:6")) == [3, 4, 5]
    assert list(reliability._seeds("2")) == [0, 1]
