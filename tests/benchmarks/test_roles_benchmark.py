"""The benchmark of roles: costs until a regret is reached, tables, runs that are not done twice."""

from dataclasses import replace
from math import inf

import pytest

from benchmarks import role_peers, role_tables, role_traces, roles
from benchmarks.cost_to_reach import cost_of_median, cost_to_reach, median_at, regret_at
from benchmarks.many_runs import read_all
from benchmarks.role_studies import N_HISTORY
from benchmarks.role_traces import ROLES, RoleRun, Task, play

WITH_ROLES = [
    ("rosenbrock-miso", ROLES, 4, 2500.0),
    ("rosenbrock-miso-noisy", ROLES, 4, 60.0),
    ("hartmann6-fidelity", ROLES, 4, 2.0),
    ("branin-product", ROLES, 4, None),
    ("branin-shifted", "related", 2, None),
]
STEPS = [(2.0, 5.0), (3.0, 1.0), (6.0, 2.0)]


def searched(solver, seed, regrets, cost=1.0, **changes) -> RoleRun:
    """A run whose evaluations all cost the same, with what is recommended after each."""
    fields = {
        "problem": "hartmann6-fidelity",
        "version": "1",
        "optimum": 10.0,
        "costs": [cost] * len(regrets),
        "at_target": [True] * len(regrets),
        "recommended": {str(n): 10.0 + r for n, r in enumerate(regrets, 1) if r is not None},
        "seconds": [0.5] * len(regrets),
    }
    return RoleRun(solver=solver, seed=seed, **fields | changes)


def cells(table, solver):
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in table.splitlines()
        if f"| {solver} " in line
    ]


@pytest.mark.parametrize("cost, regret", [(1.9, inf), (2.0, 5.0), (5.9, 1.0), (6.0, 2.0), (9, 2.0)])
def test_what_was_recommended_last_stands(cost, regret):
    assert regret_at(STEPS, cost) == regret


@pytest.mark.parametrize("regret, cost", [(5.0, 2.0), (2.0, 3.0), (1.0, 3.0), (0.5, inf)])
def test_a_regret_is_reached_once(regret, cost):
    assert cost_to_reach(STEPS, regret) == cost


def test_the_median_reaches_a_regret_when_half_of_the_runs_are_there_at_once():
    runs = [STEPS, [(1.0, 8.0), (7.0, 1.0)], [(4.0, 0.0)]]
    assert median_at(runs, 3.0) == 8.0
    assert median_at(runs, 4.0) == 1.0
    assert cost_of_median(runs, 1.0) == 4.0
    assert cost_of_median(runs, 0.5) == inf


def test_steps_are_at_the_evaluations_after_which_a_point_was_recommended():
    run = searched("roles", 0, [None, None, 3.0, 1.0], cost=0.5)
    assert run.steps == [(1.5, 3.0), (2.0, 1.0)]


def test_levels_are_the_medians_of_the_search_without():
    plain = [searched("truth", seed, [8.0, 4.0, 2.0 + seed], cost=10.0) for seed in range(3)]
    ours = [searched(ROLES, seed, [6.0, 3.0], cost=3.0) for seed in range(3)]
    table = role_tables.of_regrets([*plain, *ours], "truth", (2, 3), {ROLES: 0.2})
    two, three = cells(table, ROLES)
    assert two[:6] == ["hartmann6-fidelity", ROLES, "3", "after 2", "4", "20"]
    assert two[6:10] == ["6", "0.30", "0.2", "6 [6, 6]"]
    assert two[10:] == ["0/3", "6 [6, 6]"]
    assert three[4:6] == ["3", "30"]
    assert three[10] == "3/3"


def test_given_levels_cost_what_the_median_without_spends():
    plain = [searched("truth", seed, [1.0, 0.2, 0.01 * seed]) for seed in range(3)]
    ours = [searched(ROLES, seed, [0.29, 0.25], cost=0.1) for seed in range(3)]
    first, second = cells(
        role_tables.of_levels([*plain, *ours], "truth", (0.3, 0.05), {ROLES: 1 / 3}), ROLES
    )
    assert first[4:8] == ["0.3", "2", "0.1", "0.05"]
    assert second[4:8] == ["0.05", "3", "-", "-"]
    assert second[9] == "- [-, -]"


def test_a_level_that_the_search_without_does_not_reach_has_no_share():
    plain = [searched("truth", 0, [1.0])]
    row = cells(
        role_tables.of_levels([*plain, searched(ROLES, 0, [0.1])], "truth", (0.5,), {ROLES: 0.5}),
        ROLES,
    )[0]
    assert row[5:8] == ["-", "1", "-"]
    assert row[10:] == ["-", "-"]


def test_shares_near_the_minimum_are_counted():
    low = role_tables.MINIMUM
    runs = [
        searched("roles", seed, [None] * 59 + [excess * low], problem="branin-product")
        for seed, excess in enumerate((0.005, 0.05, 0.2))
    ]
    row = cells(role_tables.shares_within(runs), "roles")[-1]
    assert row[2] == "60"
    assert row[-2:] == ["2/3", "1/3"]


@pytest.mark.parametrize(
    "problem, method, n, cost",
    [
        ("rosenbrock-miso", "truth", 4, 1000.0),
        ("rosenbrock-miso-noisy", "truth", 6, 50.0),
        ("hartmann6-fidelity", "truth", 4, 1.0),
        ("branin-product", "integration", 4, 12.0),
        ("branin-shifted", "new", 4, 1.0),
    ],
)
def test_searches_without_roles_are_those_of_the_traces(problem, method, n, cost):
    run = play(Task(problem, method, 5, n))
    assert run.error == ""
    assert run.costs == [cost] * n
    assert all(run.at_target)
    assert set(run.recommended) == {str(k) for k in range(1, n + 1)}
    kept = next(r for r in read_all(RoleRun, [roles.TRACES]) if r.key == run.key)
    for k in range(1, n + 1):
        assert run.recommended[str(k)] == pytest.approx(kept.recommended[str(k)], rel=1e-6)


@pytest.mark.parametrize("problem, method, n, budget", WITH_ROLES)
def test_searches_with_roles_are_written_down(problem, method, n, budget):
    run = play(Task(problem, method, 0, n, budget))
    assert run.error == ""
    assert run.n_history == (N_HISTORY if method == "related" else 0)
    assert 1 <= len(run.costs) <= n
    assert budget is None or sum(run.costs) <= budget
    recommended = {
        str(k)
        for k, truth in enumerate(run.at_target, 1)
        if truth or k % 3 == 0 or k == len(run.costs)
    }
    assert set(run.recommended) == recommended
    assert all(regret > -1e-9 for _, regret in run.steps)


def test_traces_of_the_searches_without_are_whole():
    runs = read_all(RoleRun, [roles.TRACES])
    plain = role_traces.PLAIN
    wanted = {
        task.key: task.n_evals
        for part in roles.PARTS.values()
        for task in part.tasks(roles.N_SEEDS, plain)
    }
    assert {run.key for run in runs} == set(wanted)
    for run in runs:
        assert run.error == ""
        assert len(run.costs) == len(run.recommended) == wanted[run.key]


def test_a_search_that_breaks_down_says_why(monkeypatch):
    def no_study(*_):
        raise RuntimeError("no more")

    monkeypatch.setattr(role_traces, "plain_study", no_study)
    run = play(Task("rosenbrock-miso", "truth", 0, 2))
    assert run.error == "RuntimeError: no more"
    assert run.steps == []


def test_a_run_that_is_there_is_not_done_again(tmp_path, monkeypatch):
    played = []

    def one(task):
        played.append(task.key)
        return searched(task.method, task.seed, [1.0])

    monkeypatch.setattr(roles, "play", one)
    tasks = [Task("hartmann6-fidelity", ROLES, seed, 1) for seed in (0, 1)]
    path = tmp_path / "runs.jsonl"
    first = roles.play_missing(tasks[:1], path)
    both = roles.play_missing(tasks, path)
    assert played == [task.key for task in tasks]
    assert both == first + read_all(RoleRun, [path])[1:]
    assert roles.play_missing(tasks, path) == both
    assert len(played) == 2


@pytest.mark.parametrize("name", roles.PARTS)
def test_every_part_makes_its_tables(name, tmp_path, monkeypatch):
    part = roles.PARTS[name]
    n_evals = {task.key: task.n_evals for task in part.tasks(2, ())}

    def one(task):
        n = n_evals[task.key]
        run = searched(task.method, task.seed, [1.0 / (k + 1) for k in range(n)])
        return replace(run, problem=task.problem, error="gone" if task.seed else "")

    monkeypatch.setattr(roles, "play", one)
    report = tmp_path / "table.md"
    roles.main(["--part", name, "--seeds", "2", "--output", str(tmp_path), "--report", str(report)])
    text = report.read_text()
    assert f"## {part.title}" in text
    assert "gone (seeds 1)" in text
    saved = tmp_path / f"roles-{name}.jsonl"
    assert saved.exists()
    roles.main(["--part", name, "--seeds", "2", "--read", str(saved), "--report", str(report)])
    assert report.read_text().splitlines()[4:] == text.splitlines()[4:]


def test_the_peer_starts_with_few_truths_and_recommends_at_the_truth():
    problem = role_traces.PROBLEMS["rosenbrock-miso"]
    points = role_peers.start(problem, 0)
    assert [point["source"] for point in points] == ["truth"] * 2 + ["cheap"] * 6
    assert [problem.design_of(p) for p in points[:2]] == [problem.design_of(p) for p in points[2:4]]
    run = role_peers.trace(problem, 0, 0, 3000.0)
    assert run.costs == [1000.0] * 2 + [1.0] * 6
    assert set(run.recommended) == {"8"}
    assert "num_fantasies=64" in run.version
