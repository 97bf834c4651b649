"""Searches in spaces with roles, with everything else that a search may have."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from role_spaces import DESIGN, MIXED, QUICK, ROLES, function_of, history, space_of, study_of
from scipy.optimize import LinearConstraint

import bayesopt as bo
from bayesopt.acquisition import many_functions, report_set
from bayesopt.acquisition.pending import believe
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.policy import Policy
from bayesopt.suggestion import default_n_initial
from bayesopt.trial import TrialState

BELOW = LinearConstraint([[1.0, 1.0]], -np.inf, 1.2)
WITH_Z = {**DESIGN, "z": bo.Float(0, 1)}
LIGHT = QUICK.effort
COSTS = {"fast": 0.5, "fair": 1.0, "exact": 4.0}


@pytest.fixture(autouse=True)
def _light_report_sets(monkeypatch):
    """What knowledge gradients look for beforehand takes most of their time."""
    for name in ("EFFORT_FOR_THE_MEAN", "EFFORT_FOR_ROUGH", "EFFORT_FOR_CANDIDATES"):
        monkeypatch.setattr(report_set, name, LIGHT)
    monkeypatch.setattr(report_set, "N_ROUNDS", 1)
    monkeypatch.setattr(report_set, "_EFFORT_FOR_POOL", LIGHT)
    monkeypatch.setattr(many_functions, "_MAX_CALLS", 4)


def evaluated(f, limited):
    def fun(**params):
        value = f(**params)
        return bo.Evaluation(value, constraints={"c": params["x"]}) if limited else value

    return fun


SEARCHES = [
    ("fidelity", {"noise": False, "constraints": LinearConstraint([[1, 1, 0]], -np.inf, 1.2)}),
    ("fidelity", {"noise": "auto", "acquisition": "ei", "cost": lambda x, y, s: 0.1 + s}),
    ("fidelity inside", {"noise": 0.05, "direction": "maximize", "limited": True}),
    ("levels", {"noise": "auto", "design": MIXED, "acquisition": "ei", "cost": {1: 1, 2: 2, 3: 9}}),
    ("epochs", {"noise": False, "limited": True}),
    ("source", {"noise": False, "fails": (2,), "n_alone": 1, "cost": COSTS}),
    ("source", {"noise": "auto", "limited": True, "acquisition": "ei", "direction": "maximize"}),
    ("tasks", {"noise": False, "design": MIXED}),
    ("tasks", {"noise": 0.05, "fails": (2,), "n_alone": 1, "limited": True, "acquisition": "ei"}),
    ("transfer", {"noise": False, "fails": (1, 2), "limited": True}),
    ("transfer", {"noise": "auto", "direction": "maximize"}),
    ("uniform", {"noise": "auto", "limited": True, "acquisition": "ei"}),
    ("normal", {"noise": False, "fails": (4,), "n_alone": 1}),
    ("beta", {"noise": 0.05, "design": MIXED, "acquisition": "ei"}),
    ("binomial", {"noise": False, "direction": "maximize", "acquisition": "ei"}),
    ("weights", {"noise": "auto", "constraints": LinearConstraint([[1, 1, 0]], -np.inf, 1.2)}),
    ("joint law", {"noise": False, "limited": True, "fails": (3,), "n_alone": 1}),
    ("two laws", {"noise": "auto", "cost": "learn", "acquisition": "ei"}),
    ("cvar", {"noise": False, "limited": True}),
    ("cvar", {"noise": "auto", "design": MIXED, "acquisition": "ei", "direction": "maximize"}),
]


def searched(role, design=DESIGN, limited=False, fails=(), storage=None, n_alone=0, **given):
    """The design, then points one by one, and two that run at once."""
    if limited:
        given["outcome_constraints"] = {"c": (0.2, None)}
    study = study_of(role, design, storage=storage, **given)
    f = evaluated(function_of(role), limited)
    if role == "transfer":
        history(study, f)
    n_before = len(study.trials)
    run(lambda: study, f, 4 + n_alone, fails)
    return study, n_before


def run(opened, f, n, fails):
    """Evaluate n points one by one, then two that run at once, on the study that is opened."""
    for number in range(n):
        study = opened()
        trial = study.ask()
        if number in fails:
            study.fail(trial, "it broke")
        else:
            study.tell(trial, f(**trial.params))
    study = opened()
    for trial in reversed(study.ask(2)):
        study.tell(trial, f(**trial.params))
    return study


@pytest.mark.parametrize(("role", "options"), SEARCHES)
def test_it_goes_with_everything_else(role, options):
    study, n_before = searched(role, **options)
    asked = study.trials[n_before:]
    points = [tuple(trial.params.values()) for trial in asked]
    assert points[-1] != points[-2]
    if study.noise is False:
        assert len(set(points)) == len(points)
    if role == "transfer":
        assert {trial.params["t"] for trial in asked} == {"new"}
    assert all(study.region.check(trial.params) == trial.params for trial in asked)
    assert {trial.origin for trial in asked[-2:]} == {"acquisition"}
    assert study.replay(asked[-1]) == asked[-1].params

    best = study.recommend()
    assert best.params == study.space.reported(best.params)
    assert best.rule == ("best_mean" if role != "transfer" else best.rule)
    assert 0.0 <= best.feasibility <= 1.0 and np.isfinite([best.mean, best.sd]).all()
    said = str(study.explain())
    assert ("per unit cost" in said) == ("cost" in options)
    assert ("probability of success" in said) == bool(options.get("fails"))
    assert ("probability of feasibility" in said) == bool(options.get("limited"))
    if role != "transfer":
        assert ("knowledge gradient of the" in said) == (options.get("acquisition") is None)


def test_every_role_is_searched():
    assert {role for role, _ in SEARCHES} == set(ROLES)


@pytest.mark.parametrize("role", ["source", "transfer", "joint law"])
def test_every_rule_reports_a_point(role):
    study, _ = searched(role, noise=False, n_alone=0, acquisition="random")
    for rule in ("best_mean", "best_evaluated_mean"):
        best = study.recommend(rule)
        assert best.rule == rule and best.params == study.space.reported(best.params)
        (mean,), (sd,) = study.predict([best.params])
        if not (role == "transfer" and best.sd == 0.0):
            # The search counts poor values of f only as poor.
            assert mean == pytest.approx(best.mean, abs=0.1)
    if role == "transfer":
        observed = study.recommend("best_observed")
        assert observed.params["t"] == "new" and observed.sd == 0.0
    else:
        with pytest.raises(ValueError, match="'best_observed' is for observations of what is sou"):
            study.recommend("best_observed")


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("acquisition", ["auto", "ei"])
def test_a_source_that_always_fails_is_left_alone(acquisition):
    f = function_of("source")

    def fun(**params):
        if params["m"] == "fast":
            raise RuntimeError("no licence")
        return f(**params)

    study = study_of("source", acquisition=acquisition, n_initial=6, noise=False, cost=COSTS)
    study.run(fun, 12)
    chosen = [t.params["m"] for t in study.trials if t.origin == "acquisition"]
    assert len(chosen) >= 3 and "fast" not in chosen
    assert study.recommend().params["m"] == "exact"
    design = {"x": 0.5, "y": 0.5}
    fast, exact, sought = study.feasibility(
        [design | {"m": "fast"}, design | {"m": "exact"}, design]
    )
    assert fast < 0.6 < exact == sought


def test_failures_of_a_region_are_of_all_conditions():
    """What fails in a half of the conditions fails half of the time, whichever half that is."""
    study = study_of("weights", acquisition="random", noise=False)
    rng = np.random.default_rng(0)
    for x, y in rng.random((14, 2)):
        for v in ("calm", "storm"):
            trial = study.ask(params={"x": x, "y": y, "v": v})
            if v == "storm" and x > 0.5:
                study.fail(trial, "it broke")
            else:
                study.tell(trial, x)
    bad, good = study.feasibility([{"x": 0.8, "y": 0.5}, {"x": 0.2, "y": 0.5}])
    calm, storm = study.feasibility([{"x": 0.8, "y": 0.5, "v": v} for v in ("calm", "storm")])
    assert bad == pytest.approx(0.75 * calm + 0.25 * storm, abs=1e-12)
    assert storm < 0.3 < 0.7 < bad < 0.9 < good


def test_an_environment_of_one_value_is_asked_there():
    space = bo.Space(x=bo.Float(0, 1), w=bo.Float(0, 1, role="environment"))
    study = bo.Study(space, environment={"w": {0.5: 1}}, noise=False, n_initial=3, seed=0)
    study.run(lambda x, w: (x - w) ** 2, 6)
    assert [trial.params["w"] for trial in study.trials] == pytest.approx([0.5] * 6, abs=0.1)
    assert study.recommend().params["x"] == pytest.approx(0.5, abs=0.05)
    elsewhere = bo.Study(space, environment={"w": {0.5: 1}}, noise=False, seed=0)
    elsewhere.add([{"x": x, "w": 0.0} for x in (0.1, 0.5, 0.9)], [0.1, 0.5, 0.9])
    assert elsewhere.recommend("best_evaluated_mean").sd > 0.0


def test_one_source_alone_is_a_plain_search():
    space = bo.Space(x=bo.Float(0, 1), m=bo.Categorical(["a"], role="source", target="a"))
    study = bo.Study(space, noise=False, policy=Policy(search=QUICK), n_initial=3, seed=0)
    study.run(lambda x, m: (x - 0.3) ** 2, 6)
    assert study.recommend().params["x"] == pytest.approx(0.3, abs=0.05)


def test_the_worst_are_the_smallest_where_they_are_maximised():
    design, nodes = {"x": 0.4, "y": 0.6}, [0.1, 0.5, 0.9]
    for direction, worst in (("minimize", [0, 0, 1]), ("maximize", [0.5, 0.5, 0])):
        study = study_of("cvar", direction=direction, noise=False, acquisition="random")
        study.run(function_of("cvar"), 30)
        at_nodes, _ = study.predict([design | {"w": w} for w in nodes])
        (mean,), _ = study.predict([design])
        assert mean == pytest.approx(np.dot(worst, at_nodes), abs=1e-3)


# -- predictions ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_studies():
    return {
        role: searched(role, noise=False, n_alone=8, acquisition="random")[0]
        for role in ("fidelity", "source", "tasks", "transfer", "joint law", "weights", "cvar")
    }


@pytest.mark.parametrize("role", ["fidelity", "source", "tasks", "transfer", "joint law", "cvar"])
def test_points_with_all_parameters_are_of_f(role, random_studies):
    study = random_studies[role]
    mean, sd = study.predict([trial.params for trial in study.trials])
    np.testing.assert_allclose(mean, [trial.value for trial in study.trials], atol=5e-3)
    assert (sd < 0.02).all()


@pytest.mark.parametrize(
    ("role", "target"),
    [("fidelity", {"s": 1.0}), ("source", {"m": "exact"}), ("transfer", {"t": "new"})],
)
def test_points_without_the_role_are_at_the_target(role, target, random_studies):
    study = random_studies[role]
    designs = [{"x": 0.2, "y": 0.7}, {"x": 0.9, "y": 0.1}]
    there = [design | target for design in designs]
    for noisy in (False, True):
        of_target = study.predict(designs, observation_noise=noisy)
        np.testing.assert_array_equal(of_target, study.predict(there, observation_noise=noisy))
    of_vectors = study.predict(np.array([list(design.values()) for design in designs]))
    np.testing.assert_array_equal(of_vectors, study.predict(designs))


@pytest.mark.parametrize(
    ("role", "nodes", "weights"),
    [
        ("tasks", [{"t": "old"}, {"t": "new"}], [0.5, 0.5]),
        ("weights", [{"v": "calm"}, {"v": "storm"}], [0.75, 0.25]),
        (
            "joint law",
            [{"w": 0.1, "v": "calm"}, {"w": 0.9, "v": "storm"}, {"w": 0.5, "v": "calm"}],
            [0.5, 0.25, 0.25],
        ),
    ],
)
def test_points_without_conditions_are_of_their_mean(role, nodes, weights, random_studies):
    study, design = random_studies[role], {"x": 0.4, "y": 0.6}
    parts, _ = study.predict([design | node for node in nodes])
    (mean,), (sd,) = study.predict([design])
    assert mean == pytest.approx(weights @ parts, rel=1e-9) and sd > 0.0
    both, _ = study.predict([design | nodes[0], design])
    np.testing.assert_allclose(both, [parts[0], mean], rtol=1e-12)


def test_what_cannot_be_asked(random_studies):
    study = random_studies["joint law"]
    with pytest.raises(ValueError, match=r"missing \['v'\]"):
        study.predict([{"x": 0.4, "y": 0.6, "w": 0.5}])
    with pytest.raises(ValueError, match=r"must give \['x', 'y'\]; missing \['y'\]"):
        study.predict([{"x": 0.4}])
    with pytest.raises(ValueError, match="needs 4 values, but got 3"):
        study.feasibility([[0.4, 0.5, 0.6]])
    with pytest.raises(ValueError, match="made of many values"):
        study.predict([{"x": 0.4, "y": 0.6}], observation_noise=True)
    full = [{"x": 0.4, "y": 0.6, "w": 0.5, "v": "calm"}]
    assert study.predict(full, observation_noise=True)[1] >= study.predict(full)[1]
    assert [len(part) for part in study.predict([])] == [0, 0]


def test_outcome_constraints_are_predicted_likewise():
    study = study_of("weights", acquisition="random", outcome_constraints={"c": (None, 0.5)})
    for trial in study.ask(10):
        at_storm = trial.params["v"] == "storm"
        study.tell(trial, bo.Evaluation(0.0, constraints={"c": trial.params["x"] + at_storm}))
    design = {"x": 0.1, "y": 0.5}
    mean, sd = study.predict_constraints([design, *(design | {"v": v} for v in ("calm", "storm"))])[
        "c"
    ]
    assert mean[1] == pytest.approx(0.1, abs=0.1) and mean[2] == pytest.approx(1.1, abs=0.1)
    assert mean[0] == pytest.approx(0.75 * mean[1] + 0.25 * mean[2], rel=1e-9)
    sought, calm, storm = study.feasibility(
        [design, *(design | {"v": v} for v in ("calm", "storm"))]
    )
    assert calm > 0.95 and storm < 0.05 and 0.05 < sought


def test_values_that_span_decades_come_back_in_their_units():
    study = study_of("beta", noise=False, acquisition="ei", n_initial=12)
    study.run(lambda x, y, w: float(np.exp(12 * x * w)), 12)
    running = study.ask(2)
    assert running[0].params != running[1].params
    for trial in running:
        study.tell(trial, float(np.exp(12 * trial.params["x"] * trial.params["w"])))
    assert type(study._insight._everywhere().models.objectives[0]).__name__ == "PointProcess"
    mean, sd = study.predict([trial.params for trial in study.trials])
    np.testing.assert_allclose(mean, [trial.value for trial in study.trials], rtol=0.02, atol=0.02)


def test_what_runs_is_believed_in_units_of_scores():
    study = study_of("beta", noise=False, acquisition="random", n_initial=12)
    study.run(lambda x, y, w: float(np.exp(12 * x * w)), 12)
    seen, models = study._insight._observed(None)
    model = models.objectives[0]
    assert model.hyperparameters.warp is not None
    after = believe(model, seen.objectives[0], model.X[:1] * 0.5 + 0.2)
    before = model.marginals(after.X)[0]
    np.testing.assert_allclose(after.marginals(after.X)[0], before, atol=1e-3)
    assert after.marginals(after.X[-1:])[1] < 1e-3 < model.marginals(after.X[-1:])[1]


# -- history, costs, storage ---------------------------------------------------------------------


def test_history_of_other_tasks_counts_as_a_start():
    f = function_of("transfer")
    study = study_of("transfer", n_initial=6, noise=False)
    history(study, f)
    first = study.ask()
    assert (first.origin, first.params["t"]) == ("initial", "new")
    study.tell(first, f(**first.params))
    assert study.ask().origin == "acquisition"


def test_rows_of_other_fidelities_are_learnt_from():
    study = study_of("fidelity", noise=False)
    rows = [{"x": x, "y": 0.5, "s": s} for x in (0.1, 0.4, 0.8) for s in (0.0, 1.0)]
    study.add(rows, [function_of("fidelity")(**row) for row in rows])
    assert study.ask().origin == "acquisition"
    assert study.recommend().params["s"] == 1.0


@pytest.mark.parametrize("role", ["fidelity", "source", "weights", "two laws"])
def test_all_columns_count_for_the_size_of_a_start(role):
    space = space_of(role)
    assert default_n_initial(space) == 2 * (len(space) + 1)


@pytest.mark.parametrize(
    ("role", "cost"),
    [
        ("source", COSTS),
        ("epochs", lambda x, y, s: 0.5 + s / 50),
        ("uniform", 0.7),
    ],
)
def test_a_budget_holds_beside_running_evaluations(role, cost):
    study = study_of(role, noise=False, cost=cost, cost_budget=9, acquisition="ei")
    with ThreadPoolExecutor(2) as executor:
        why = study.run(function_of(role), n_parallel=2, executor=executor)
    spent = sum(study.cost.of_params(trial.params) for trial in study.trials)
    assert "cost budget of 9" in why and 9.0 - 4.0 < spent <= 9.0 + 1e-9  # sums are rounded
    assert len({tuple(trial.params.values()) for trial in study.trials}) == len(study.trials)


def test_learnt_costs_end_a_search():
    f = function_of("levels")

    def fun(**params):
        return bo.Evaluation(f(**params), cost=float(params["s"]))

    study = study_of("levels", noise=False, cost="learn", cost_budget=16, acquisition="ei")
    why = study.run(fun)
    assert "cost budget of 16" in why
    assert sum(trial.evaluation.cost for trial in study.trials) < 16 + 3
    assert "per unit cost" in study.description


def test_costs_of_a_plain_problem_are_told_too():
    result = bo.minimize(
        lambda x: (x - 0.3) ** 2,
        bo.Space(x=bo.Float(0, 1)),
        5,
        noise=False,
        cost=lambda x: 1 + x,
        policy=Policy(search=QUICK),
        n_initial=3,
        seed=0,
    )
    assert "log expected improvement, per unit cost; best observed." in result.message


@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("source", {"noise": False, "fails": (1, 5), "cost": COSTS, "n_alone": 2}),
        ("transfer", {"noise": "auto", "n_alone": 1}),
        ("cvar", {"noise": False, "limited": True, "acquisition": "ei", "n_alone": 1}),
    ],
)
def test_it_is_gone_on_with_from_a_file(role, options, tmp_path):
    whole, _ = searched(role, **options)
    options = dict(options)
    limited, fails = options.pop("limited", False), options.pop("fails", ())
    n_alone = options.pop("n_alone")
    if limited:
        options["outcome_constraints"] = {"c": (0.2, None)}
    f = evaluated(function_of(role), limited)

    def opened():
        return study_of(role, storage=tmp_path / "s.db", **options)

    if role == "transfer":
        history(opened(), f)
    assert run(opened, f, 4 + n_alone, fails).trials == whole.trials


@pytest.mark.parametrize("role", ["levels", "joint law"])
def test_copies_go_on_alike(role, tmp_path):
    study, _ = searched(role, noise=False, acquisition="ei")
    study.export(tmp_path / "study.json")
    copies = [
        pickle.loads(pickle.dumps(study)),
        copy.deepcopy(study),
        bo.Study.load(tmp_path / "study.json"),
    ]
    following = study.ask().params
    assert [one.ask().params for one in copies] == [following] * 3
    table = study.to_dataframe()
    assert list(table[list(ROLES[role])[0]]) == [
        trial.params[list(ROLES[role])[0]] for trial in study.trials
    ]
    assert table["state"].iloc[-1] == TrialState.RUNNING.value


def test_a_task_that_is_learnt_alone_is_explained_alone():
    """What has nothing to do with it is set aside, but is still there to be asked about."""
    study = study_of("transfer", n_initial=4)
    rng = np.random.default_rng(0)
    f = function_of("transfer")
    rows = [{"x": x, "y": y, "t": t} for t in ("old", "new") for x, y in rng.random((12, 2))]
    values = [0.3 * rng.normal() if row["t"] == "old" else f(**row) for row in rows]
    study.add(rows, values)
    assert isinstance(study._insight._fitted(None).models.objectives[0], ExactGaussianProcess)
    explained = study.explain()
    assert list(explained.lengthscales) == ["x", "y"] and explained.n_complete == 24
    assert explained.calibration.explained > 0.5 and "x" in str(explained)
    old, new = study.predict([rows[0], rows[12]])[1]
    assert new < 0.02 < old
    (at_new,), _ = study.predict([rows[12]])
    assert at_new == pytest.approx(values[12], abs=0.02)


# -- the one call --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("source", "log knowledge gradient of the target source, per unit cost; best mean."),
        ("cvar", "log knowledge gradient of the CVaR(0.5) over the environment; best mean."),
        ("beta", "log knowledge gradient of the mean over the environment; best mean."),
        ("tasks", "log knowledge gradient of the mean of all tasks; best mean."),
        ("levels", "log knowledge gradient of the target fidelity; best mean."),
    ],
)
def test_the_result_says_what_was_maximised(role, words):
    space = space_of(role)
    f = function_of(role)
    start = space.from_unit(space.snap(np.full(len(space), 0.75)))
    result = bo.minimize(
        f,
        space,
        5,
        environment=study_of(role).environment,
        cost=COSTS if role == "source" else None,
        noise=False,
        policy=Policy(search=QUICK),
        n_initial=4,
        x0=start,
        y0=[f(**start)],
        seed=1,
    )
    assert result.message.endswith(words)
    assert result.nfev == 5 and result.success and result.func_vals[0] == f(**start)
    assert result.params == space.reported(result.params)
    assert list(result.x) == list(result.params.values()) and np.isfinite(result.fun)
    assert np.isfinite(result.observed) == (
        any(trial.params == result.params for trial in result.study.trials)
    )
    assert result.sd == pytest.approx(result.study.recommend().sd) and result.sd >= 0.0


def test_parameters_that_add_up_beside_a_role():
    study = bo.Study(
        bo.Space(**WITH_Z, **ROLES["source"]),
        constraints=bo.Simplex("x", "y", "z"),
        noise=False,
        policy=Policy(search=QUICK),
        n_initial=4,
        seed=0,
    )
    study.run(lambda x, y, z, m: (x - 0.2) ** 2 + (y - 0.5) ** 2 + 0.1 * (m == "fast"), 5)
    best = study.recommend().params
    for params in [best, *(trial.params for trial in study.trials)]:
        assert params["x"] + params["y"] + params["z"] == pytest.approx(1.0, abs=1e-10)
    assert best["m"] == "exact"
