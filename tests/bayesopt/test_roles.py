"""Roles of parameters: what carries them, what is sought, and what a study does with them."""

import json

import numpy as np
import pytest
from scipy import stats

import bayesopt as bo
from bayesopt.differences import differences
from bayesopt.policy import Policy
from bayesopt.result import result_of
from bayesopt.settings import Settings
from bayesopt.space import Space
from bayesopt.trial import TrialState

FIDELITY = Space(x=bo.Float(0, 1), s=bo.Float(0, 1, role="fidelity", target=1.0))
EPOCHS = Space(x=bo.Float(0, 1), epochs=bo.Int(1, 100, role="fidelity", target=100))
SOURCE = Space(
    model=bo.Categorical(["fast", "exact"], role="source", target="exact"), x=bo.Int(0, 9)
)
TASKS = Space(x=bo.Float(0, 1), task=bo.Categorical(["2024", "2025"], role="task"))
TRANSFER = Space(
    x=bo.Float(0, 1), task=bo.Categorical(["2024", "2025"], role="task", target="2025")
)
FOLDS = Space(
    x=bo.Float(0, 1),
    fold=bo.Int(0, 4, role="environment"),
    wind=bo.Float(-5, 5, role="environment"),
    kind=bo.Categorical(["a", "b"], role="environment"),
)
LAWS = {"fold": dict.fromkeys(range(5), 1), "wind": stats.norm(0, 1), "kind": {"a": 0.5, "b": 0.5}}
WEIGHTS = {"w": {0.0: 1, 1.0: 1}}
WITH_W = Space(x=bo.Float(0, 1), w=bo.Float(0, 1, role="environment"))
SPACES = {
    "fidelity": FIDELITY,
    "epochs": EPOCHS,
    "source": SOURCE,
    "task": TASKS,
    "transfer": TRANSFER,
    "environment": FOLDS,
}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: bo.Float(0, 1, role="fidelity"), "Float with role='fidelity' needs a `target`"),
        (lambda: bo.Categorical([1, 2], role="source"), "role='source' needs a `target`"),
        (lambda: bo.Float(0, 1, role="source"), "A Float cannot be a source; only a Categorical"),
        (lambda: bo.Int(0, 1, role="task"), "An Int cannot be a task; only a Categorical can"),
        (lambda: bo.Categorical([1, 2], role="fidelity"), "only a Float or Int can"),
        (lambda: bo.Float(0, 1, role="fidelty"), "'fidelity', .*'environment'. Did you mean 'fid"),
        (lambda: bo.Float(0, 1, role=["task"]), r"Unknown role \['task'\]"),
        (lambda: bo.Float(0, 1, role="fidelity", target=2), r"`target` of a Float .* \[0.0, 1.0\]"),
        (lambda: bo.Int(0, 9, role="fidelity", target=0.5), "`target` of an Int.*whole number"),
        (lambda: bo.Categorical([1], role="source", target=2), "`target` .* 2 is not one of"),
        (lambda: bo.Float(0, 1, role="environment", target=1), "An environment has no `target`"),
        (lambda: bo.Float(0, 1, target=1), "A Float has a `target`, which belongs to a role, but"),
    ],
)
def test_a_role_that_does_not_fit_is_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_a_target_is_a_checked_value():
    assert type(bo.Float(0, 2, role="fidelity", target=1).target) is float
    assert type(bo.Int(0, 9, role="fidelity", target=np.float64(9)).target) is int
    with pytest.raises(TypeError, match="`target` of a Float"):
        bo.Float(0, 1, role="fidelity", target="1")
    with pytest.raises(TypeError, match="positional"):
        bo.Float(0, 1, True, "fidelity", 1.0)


def test_a_role_is_shown_where_there_is_one():
    assert repr(bo.Float(0, 1)) == "Float(low=0.0, high=1.0, log=False)"
    assert repr(bo.Int(1, 9, role="fidelity", target=9)) == (
        "Int(low=1, high=9, log=False, role='fidelity', target=9)"
    )
    assert (
        repr(bo.Categorical("ab".split(), role="task"))
        == "Categorical(choices=('ab',), role='task')"
    )
    assert bo.Float(0, 1) != bo.Float(0, 1, role="environment")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (
            {"s": FIDELITY["s"], "model": SOURCE["model"], "x": bo.Float(0, 1)},
            "one kind of role, but 's' is a fidelity, 'model' is a source",
        ),
        ({"x": bo.Int(0, 1), "s": FIDELITY["s"], "t": FIDELITY["s"]}, "one fidelity, but 's', 't'"),
        ({"s": FIDELITY["s"]}, r"needs a parameter without a role.*\['s'\]"),
        ({"v": WITH_W["w"], "w": WITH_W["w"]}, "needs a parameter without a role"),
    ],
)
def test_roles_that_do_not_go_together_are_refused(parameters, text):
    with pytest.raises(ValueError, match=text):
        Space(**parameters)


def test_a_space_knows_its_roles():
    assert {name: space.role for name, space in SPACES.items()} == {
        "fidelity": "fidelity",
        "epochs": "fidelity",
        "source": "source",
        "task": "task",
        "transfer": "task",
        "environment": "environment",
    }
    assert FOLDS.role_columns == (1, 2, 3) and FOLDS.design_names == ("x",)
    assert SOURCE.role_columns == (0,) and SOURCE.design_names == ("x",)
    plain = Space.of([(0, 1), (0, 2)])
    assert (plain.role, plain.role_columns, plain.design_names) == (None, (), ("x0", "x1"))
    assert plain.at_target() == plain and plain.at_target().takes_vector


def test_a_space_at_its_target_has_the_same_columns():
    at = {name: space.at_target() for name, space in SPACES.items()}
    assert {name: space.from_unit([0.5] * len(space)) for name, space in at.items()} == {
        "fidelity": {"x": 0.5, "s": 1.0},
        "epochs": {"x": 0.5, "epochs": 100},
        "source": {"model": "exact", "x": 4},
        "task": {"x": 0.5, "task": "2024"},
        "transfer": {"x": 0.5, "task": "2025"},
        "environment": {"x": 0.5, "fold": 0, "wind": -5.0, "kind": "a"},
    }
    for name, space in at.items():
        assert space.names == SPACES[name].names and space.role is None
        assert space.at_target() == space != SPACES[name]


def test_what_is_reported_is_at_the_target_or_for_all():
    params = {"x": 0.25, "s": 0.5, "task": "2024", "fold": 3, "wind": 1.0, "kind": "b"}
    assert FIDELITY.reported(params) == {"x": 0.25, "s": 1.0}
    assert SOURCE.reported({"x": 3, "model": "fast"}) == {"model": "exact", "x": 3}
    assert TASKS.reported(params) == FOLDS.reported(params) == {"x": 0.25}
    assert TRANSFER.reported(params) == {"x": 0.25, "task": "2025"}
    assert Space(x=bo.Float(0, 1)).reported({"x": 0.25}) == {"x": 0.25}


def test_an_evaluation_shows_what_is_sought_only_at_the_target():
    assert FIDELITY.is_at_target({"x": 0.5, "s": 1.0})
    assert not FIDELITY.is_at_target({"x": 0.5, "s": 0.5})
    assert not TASKS.is_at_target({"x": 0.5, "task": "2024"})
    assert Space(x=bo.Float(0, 1)).is_at_target({"x": 0.5})
    assert {name for name, space in SPACES.items() if not space.is_observable} == {
        "task",
        "environment",
    }


@pytest.mark.parametrize("name", SPACES)
def test_roles_come_back_from_json(name):
    space = SPACES[name]
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space
    with pytest.raises(TypeError, match="no part of a study"):
        space.at_target().to_json()


def test_a_space_without_roles_is_written_as_ever():
    space = Space(x=bo.Float(0, 1), n=bo.Int(1, 9, log=True), kind=bo.Categorical(["a", 1]))
    assert json.dumps(space.to_json()) == (
        '{"parameters": [{"name": "x", "kind": "float", "low": 0.0, "high": 1.0, "log": false}, '
        '{"name": "n", "kind": "int", "low": 1, "high": 9, "log": true}, '
        '{"name": "kind", "kind": "categorical", "choices": ["a", 1]}], "takes_vector": false}'
    )


# -- settings ------------------------------------------------------------------------------------


def of(space, **changes):
    return Settings(space=space, n_initial=3, seed=0, **changes)


def dear(x, s):
    return 0.1 + s


EVERYTHING = {
    "number": of(FIDELITY, cost=2, cost_budget=30),
    "dict": of(SOURCE, cost={"fast": 1, "exact": 10.5}),
    "learn": of(TASKS, cost="learn", cost_budget=1e3),
    "laws": of(FOLDS, environment=LAWS),
    "cvar": of(WITH_W, environment=bo.Environment(WEIGHTS, goal=bo.CVaR(0.9))),
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_settings_with_roles_come_back(name):
    settings = EVERYTHING[name]
    stored = json.loads(json.dumps(settings.to_json()))
    assert Settings.from_json(stored) == settings
    assert differences(stored, settings) == []


def test_a_function_for_the_cost_is_asked_for_by_name():
    settings = of(FIDELITY, cost=dear)
    stored = json.loads(json.dumps(settings.to_json()))
    assert differences(stored, settings) == []
    with pytest.raises(ValueError, match=r"pass `cost=` \(with test_roles.dear\) again"):
        Settings.from_json(stored)
    assert Settings.from_json(stored, cost=dear) == settings
    assert Settings.from_json(stored, cost=3).cost.of_params({}) == 3.0


def test_differences_of_roles_are_told_in_words():
    def lines(was, now):
        return differences(json.loads(json.dumps(was.to_json())), now)

    other = Space(x=bo.Float(0, 1), s=bo.Float(0, 1, role="fidelity", target=0.5))
    assert lines(of(FIDELITY), of(other)) == [
        "space: parameter 's' was Float(0.0, 1.0, role='fidelity', target=1.0), "
        "now Float(0.0, 1.0, role='fidelity', target=0.5)"
    ]
    assert lines(of(TASKS, cost=2), of(TRANSFER, cost={"2024": 1, "2025": 5}, cost_budget=9)) == [
        "space: parameter 'task' was Categorical(['2024', '2025'], role='task'), "
        "now Categorical(['2024', '2025'], role='task', target='2025')",
        "cost: was 2.0, now {'2024': 1.0, '2025': 5.0}",
        "cost_budget: was None, now 9.0",
    ]
    assert lines(of(FIDELITY, cost="learn"), of(FIDELITY, cost=dear)) == [
        "cost: was 'learn', now test_roles.dear"
    ]
    mean = of(WITH_W, environment=WEIGHTS)
    assert lines(mean, EVERYTHING["cvar"]) == [
        f"environment: was {mean.environment}, now {EVERYTHING['cvar'].environment}"
    ]


@pytest.mark.parametrize(
    ("space", "changes", "text"),
    [
        (FOLDS, {}, r"\['fold', 'wind', 'kind'\] are an environment: `environment` has to say"),
        (FIDELITY, {"environment": WEIGHTS}, "laws of .*'w'"),
        (FIDELITY, {"direction": ["minimize", "maximize"]}, "Several objectives .* a fidelity"),
        (SOURCE, {"policy": Policy(batch="joint")}, "batch='joint' does not support .* a source"),
        (TASKS, {"policy": Policy(acquisition="mes")}, "'kg', 'ei', 'random' or .*not 'mes'"),
        (FIDELITY, {"cost_budget": 0}, "`cost_budget` must be positive, but got 0"),
        (FIDELITY, {"cost_budget": -1.0}, "`cost_budget` must be positive"),
        (FIDELITY, {"cost_budget": np.nan}, "`cost_budget` must be finite"),
        (FIDELITY, {"cost": 0}, "`cost` must be positive"),
        (FIDELITY, {"cost": "leran"}, "'learn'.*but got 'leran'"),
        (FIDELITY, {"cost": {0: 1, 1: 2}}, "Float; give a function"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_evaluated(space, changes, text):
    with pytest.raises(ValueError, match=text):
        of(space, **changes)

    def never(**params):
        raise AssertionError

    with pytest.raises(ValueError, match=text):
        bo.minimize(never, space, 5, **changes)


@pytest.mark.parametrize("acquisition", ["auto", "kg", "ei", "random", lambda m, d, p: None])
def test_what_searches_roles_is_taken(acquisition):
    assert of(FIDELITY, policy=Policy(acquisition=acquisition)).policy.acquisition == acquisition


# -- studies -------------------------------------------------------------------------------------


def random(space, **given):
    return bo.Study(space, policy=Policy(acquisition="random"), n_initial=2, seed=0, **given)


def test_a_study_says_what_it_was_given():
    study = random(WITH_W, environment=WEIGHTS, cost=2.5, cost_budget=10)
    assert study.environment == bo.Environment(WEIGHTS) and study.cost_budget == 10.0
    assert study.cost.of_params({}) == 2.5
    plain = random(FIDELITY)
    assert (plain.environment, plain.cost_budget) == (None, None) and plain.cost.number == 1.0


def test_a_number_of_evaluations_or_a_budget_is_needed():
    with pytest.raises(TypeError, match="`n_evals` must be a whole number.*`cost_budget`"):
        random(FIDELITY).run(lambda x, s: x)
    with pytest.raises(TypeError, match="`n_evals` must be a whole number"):
        bo.minimize(lambda x, s: x, FIDELITY)
    with pytest.raises(ValueError, match="at least 1"):
        bo.minimize(lambda x, s: x, FIDELITY, 0, cost_budget=3)


def test_the_function_gets_all_parameters():
    seen = []

    def fun(x, s):
        seen.append(s)
        return (x - 0.3) ** 2 + 1 - s

    with pytest.raises(TypeError, match="keywords x, s"):
        bo.minimize(lambda x: x, FIDELITY, 3)
    result = bo.minimize(fun, FIDELITY, 4, policy=Policy(acquisition="random"), seed=0)
    assert len(seen) == 4 and all(0 <= s <= 1 for s in seen)
    assert result.params["s"] == 1.0 and list(result.x) == [result.params["x"], 1.0]
    assert [list(x) for x in result.x_iters] == [
        list(trial.params.values()) for trial in result.study.trials
    ]


@pytest.mark.parametrize(
    ("space", "given", "x", "names"),
    [
        (FIDELITY, {}, np.ndarray, ["x", "s"]),
        (SOURCE, {}, list, ["model", "x"]),
        (TASKS, {}, np.ndarray, ["x"]),
        (TRANSFER, {}, list, ["x", "task"]),
        (FOLDS, {"environment": LAWS}, np.ndarray, ["x"]),
    ],
)
def test_points_are_recommended_at_the_target(space, given, x, names):
    study = random(space, **given)
    rng = np.random.default_rng(0)
    points = [space.from_unit(row) for row in space.snap(rng.random((6, len(space))))]
    study.add(points, [point["x"] for point in points])
    best = study.recommend()
    result = result_of(study, "", True)
    assert list(best.params) == names == list(result.params)
    assert best.params == space.reported(best.params) == result.params
    assert type(result.x) is x and list(result.x) == list(best.params.values())


def test_a_study_with_roles_goes_on_in_its_storage(tmp_path):
    path = tmp_path / "study.db"
    given = {"environment": WEIGHTS, "cost": 2}
    study = random(WITH_W, storage=path, cost_budget=10, **given)
    study.add([{"x": 0.5, "w": 1.0}], [bo.Evaluation(1.0, cost=3)])
    again = random(WITH_W, storage=path, **given)
    assert again.trials == study.trials and again.trials[0].evaluation.cost == 3.0
    assert (again.cost_budget, again.cost, again.environment) == (
        10.0,
        study.cost,
        study.environment,
    )
    assert random(WITH_W, storage=path, cost_budget=20, **given).cost_budget == 20.0
    assert random(WITH_W, storage=path, environment=WEIGHTS).cost == study.cost
    loaded = bo.Study.load(storage=path)
    assert loaded.space == WITH_W and loaded.environment == study.environment
    assert bo.Study.load(storage=path, cost_budget=7).cost_budget == 7.0
    with pytest.raises(ValueError, match=r"another one: environment: was .*; cost: was 2.0, now 3"):
        bo.Study(WITH_W, storage=path, environment={"w": {0.0: 1, 1.0: 2}}, cost=3)


def test_a_cost_function_is_given_again(tmp_path):
    path = tmp_path / "study.db"
    random(FIDELITY, storage=path, cost=dear)
    with pytest.raises(ValueError, match="pass `cost=`"):
        bo.Study.load(storage=path)
    with pytest.raises(ValueError, match="pass `cost=`"):
        random(FIDELITY, storage=path)
    assert bo.Study.load(storage=path, cost=dear).cost.of_params({"x": 0.0, "s": 0.5}) == 0.6
    study = random(FIDELITY, storage=path, cost=dear)
    study.export(tmp_path / "copy.json")
    assert bo.Study.load(tmp_path / "copy.json", cost=dear).cost == study.cost


def test_progress_shows_the_best_value_at_the_target(capfd):
    study = random(FIDELITY)
    study.add([{"x": 0.5, "s": 1.0}, {"x": 0.5, "s": 0.5}], [7.0, 1.0])
    study.run(lambda x, s: 9.0, 3, progress=True)
    assert "3/3 best 7, " in capfd.readouterr().err
    averaged = random(WITH_W, environment=WEIGHTS)
    averaged.run(lambda x, w: 9.0, 1, progress=True)
    assert "1/1 function" in capfd.readouterr().err


def test_what_was_seen_at_the_target_is_told_with_the_point():
    study = random(TRANSFER, noise=False)
    points = [{"x": 0.5, "task": task} for task in ("2024", "2025")]
    study.add([*points, {"x": 0.75, "task": "2025"}], [1.0, 5.0, 6.0])
    result = result_of(study, "", True)
    assert result.params == points[1] and result.observed == result.fun == 5.0


def test_partial_derivatives_are_refused():
    study = random(FIDELITY)
    trial = study.ask()
    with pytest.raises(ValueError, match="not supported where a parameter is a fidelity"):
        study.tell(trial, bo.Evaluation(1.0, gradient={"x": 1.0}))
    study.tell(trial, bo.Evaluation(1.0, gradient={"x": np.nan}))


def test_a_trace_is_of_values_of_the_fidelity():
    study = random(EPOCHS)
    trial = study.ask()
    study.tell(trial, bo.Evaluation(1.0, trace={10: 3.0, 1: 9.0}))
    assert study.trials[0].evaluation.trace == ((1.0, 9.0), (10.0, 3.0))
    trial = study.ask()
    with pytest.raises(ValueError, match="`trace`: parameter 'epochs': .*whole number"):
        study.tell(trial, bo.Evaluation(1.0, trace={1.5: 3.0}))
    with pytest.raises(ValueError, match=r"`trace`: parameter 'epochs': 0.0 is outside"):
        study.tell(trial, bo.Evaluation(1.0, trace=[(0, 3.0)]))
    with pytest.raises(ValueError, match="no parameter of this study is one"):
        random(TASKS).add([{"x": 0.5, "task": "2024"}], [bo.Evaluation(1.0, trace={1: 2.0})])


# -- earlier studies -----------------------------------------------------------------------------


def earlier(**given):
    study = bo.Study(Space(x=bo.Float(0, 1)), seed=1, **given)
    study.add([{"x": 0.25}], [2.0], [0.1])
    study.fail(study.ask(), "too hot", traceback="here")
    study.ask()
    return study


def test_an_earlier_study_becomes_a_task():
    study, old = random(TRANSFER), earlier()
    study.add_study(old, task="2024")
    first, second = study.trials
    assert first.params == {"x": 0.25, "task": "2024"} and first.origin == "added"
    assert (first.value, first.evaluation.sd) == (2.0, 0.1)
    assert (second.state, second.reason) == (TrialState.FAILED, "too hot")
    assert second.params == dict(old.trials[1].params) | {"task": "2024"}
    study.add_study(old, task="2024")
    assert len(study.trials) == 2
    study.add_study(old, task="2025")
    assert len(study.trials) == 4


def test_what_an_earlier_study_has_itself_is_kept():
    one, other = random(TRANSFER), random(TRANSFER)
    one.add([{"x": 0.5, "task": "2024"}, {"x": 0.5, "task": "2025"}], [1.0, 2.0])
    other.add_study(one)
    assert [trial.params for trial in other.trials] == [trial.params for trial in one.trials]
    with pytest.raises(ValueError, match=r"has \['task'\] itself"):
        other.add_study(one, task="2024")


def test_slopes_of_an_earlier_study_are_left_out():
    old = bo.Study(Space(x=bo.Float(0, 1)))
    old.add([{"x": 0.25}], [bo.Evaluation(2.0, gradient={"x": 1.0}, cost=4)])
    study = random(TRANSFER)
    study.add_study(old, task="2024")
    assert study.trials[0].evaluation == bo.Evaluation(2.0, cost=4)
    same = bo.Study(Space(x=bo.Float(0, 1)))
    same.add_study(old)
    assert same.trials[0].evaluation == old.trials[0].evaluation


@pytest.mark.parametrize(
    ("old", "values", "error", "text"),
    [
        (earlier, {}, ValueError, r"has no \['task'\]: say its value, .*task=\.\.\."),
        (earlier, {"task": "2023"}, ValueError, "Trial 0 .*'task': '2023' is not one of"),
        (
            earlier,
            {"task": "2024", "year": 1},
            ValueError,
            r"has \['year'\], which is no parameter",
        ),
        (
            lambda: bo.Study(Space(x=bo.Float(0, 1), y=bo.Float(0, 1))),
            {"task": "2024"},
            ValueError,
            r"has \['y'\], which is no parameter of this study",
        ),
        (
            lambda: bo.Study(Space(task=bo.Categorical(["2024"]))),
            {"x": 0.5},
            ValueError,
            r"of a parameter with a role, here \['task'\], but got \['x'\]",
        ),
        (
            lambda: earlier(direction="maximize"),
            {"task": "2024"},
            ValueError,
            "direction='maximize'",
        ),
        (
            lambda: earlier(direction="minimize", noise=False).trials,
            {"task": "2024"},
            TypeError,
            "takes a bayesopt.Study",
        ),
    ],
)
def test_an_earlier_study_that_does_not_fit_is_refused(old, values, error, text):
    study = random(TRANSFER)
    with pytest.raises(error, match=text):
        study.add_study(old(), **values)
    assert study.trials == []


def test_a_point_outside_of_the_space_is_named():
    old = bo.Study(Space(x=bo.Float(0, 3)))
    old.add([{"x": 0.5}, {"x": 2.0}], [1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"Trial 1 of the earlier study: Parameter 'x': 2.0 is out"
    ):
        random(TRANSFER).add_study(old, task="2024")
