"""Partial derivatives: what an evaluation may bring, what is refused, and what a model gets."""

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bayesopt as bo
from bayesopt.csv_results import read_csv
from bayesopt.data import dataset
from bayesopt.execution.objective import AllEvaluationsFailed
from bayesopt.gradient import by_name, in_unit_cube
from bayesopt.optimize import Effort
from bayesopt.policy import Search
from bayesopt.trial import Trial, TrialState
from bayesopt.trial_table import to_dataframe

MIXED = bo.Space(
    x=bo.Float(-1.0, 3.0),
    scale=bo.Float(0.1, 10.0, log=True),
    n=bo.Int(1, 4),
    kind=bo.Categorical(["a", "b"]),
)
PLAIN = bo.Space(x=bo.Float(-1.0, 3.0), scale=bo.Float(0.1, 10.0, log=True))
AT = {"x": 0.5, "scale": 2.0, "n": 2, "kind": "a"}


def named(gradient, space=MIXED, **changes):
    return by_name(bo.Evaluation(1.0, gradient=gradient, **changes), space)


def trials_of(points, evaluations):
    pairs = zip(points, evaluations, strict=True)
    return [Trial(i, p, TrialState.COMPLETE, e) for i, (p, e) in enumerate(pairs)]


# -- what may be brought ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gradient", "kept"),
    [
        ({"x": 1, "scale": np.float32(0.5)}, {"x": 1.0, "scale": 0.5}),
        ({"scale": 2.0}, {"scale": 2.0}),
        ({"scale": 2.0, "x": math.nan, "n": None}, {"scale": 2.0}),
        ({"x": math.inf, "scale": -math.inf}, None),
        ({}, None),
        ([1.0, 2.0, math.nan, None], {"x": 1.0, "scale": 2.0}),
        (np.array([1.0, np.nan, np.nan, np.nan]), {"x": 1.0}),
        (torch.tensor([1.0, 2.0, math.nan, math.nan], requires_grad=True), {"x": 1.0, "scale": 2}),
        (None, None),
    ],
)
def test_some_partial_derivatives_by_name_or_in_the_order_of_the_space(gradient, kept):
    assert named(gradient).gradient == kept


@pytest.mark.parametrize(
    ("sd", "kept"),
    [
        (None, None),
        (0.1, {"x": 0.1, "scale": 0.1}),
        (np.float64(0.0), {"x": 0.0, "scale": 0.0}),
        ({"x": 0.2}, {"x": 0.2}),
        ({"x": math.nan, "scale": None}, None),
        ([0.2, 0.3, math.nan, math.nan], {"x": 0.2, "scale": 0.3}),
    ],
)
def test_their_standard_errors(sd, kept):
    assert named({"x": 1.0, "scale": 2.0}, gradient_sd=sd).gradient_sd == kept


@pytest.mark.parametrize(
    ("gradient", "text"),
    [
        (
            [1.0, 2.0],
            r"`gradient` needs a number for each of the 4 parameters \['x', .* but 2 came",
        ),
        (
            {"y": 1.0},
            r"`gradient` names \['y'\], but the parameters are \['x', 'scale', 'n', 'kind'\]",
        ),
        ({"y": math.nan}, r"`gradient` names \['y'\]"),
        (
            {"n": 1.0, "kind": 2.0},
            r"numbers for 'n' \(Int\), 'kind' \(Categorical\), but only a F",
        ),
        ([1.0, 2.0, 3.0, math.nan], r"numbers for 'n' \(Int\)"),
    ],
)
def test_what_does_not_fit_the_space_is_refused(gradient, text):
    with pytest.raises(ValueError, match=text):
        named(gradient)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"gradient": [[1.0, 2.0]]}, ValueError, r"flat array .* of shape \(1, 2\) came"),
        ({"gradient": 1.0}, ValueError, r"of shape \(\) came"),
        ({"gradient": {"x": "steep"}}, TypeError, "'x' of `gradient` must be a number, but str"),
        ({"gradient": {1: 2.0}}, TypeError, "names that are no strings"),
        ({"gradient": "steep"}, TypeError, "`gradient` must be real numbers"),
        ({"gradient_sd": 0.1}, ValueError, "a `gradient_sd`, but no `gradient`"),
        ({"gradient": [1.0], "gradient_sd": -0.1}, ValueError, "finite and >= 0"),
        ({"gradient": [1.0], "gradient_sd": math.inf}, ValueError, "finite and >= 0"),
        ({"gradient": [1.0], "gradient_sd": {"x": -1.0}}, ValueError, "finite and >= 0"),
        ({"gradient": [1.0], "gradient_sd": [[1.0]]}, ValueError, "flat array"),
    ],
)
def test_what_no_space_could_take_is_refused_at_once(changes, error, text):
    with pytest.raises(error, match=text):
        bo.Evaluation(1.0, **changes)


# -- what a study does with them -------------------------------------------------------------------


def test_telling_a_wrong_gradient_leaves_the_trial_running():
    study = bo.Study(PLAIN, seed=0)
    trial = study.ask()
    with pytest.raises(ValueError, match="needs a number for each of the 2 parameters"):
        study.tell(trial, bo.Evaluation(1.0, gradient=[1.0]))
    study.tell(trial, bo.Evaluation(1.0, gradient=[1.0, 2.0]))
    assert study.trials[0].evaluation.gradient == {"x": 1.0, "scale": 2.0}


def test_a_function_that_returns_a_wrong_gradient_fails_and_says_why():
    with pytest.raises(AllEvaluationsFailed, match=r"`gradient` names \['y'\]"):
        bo.minimize(lambda x, scale: bo.Evaluation(x, gradient={"y": 1.0}), PLAIN, n_evals=8)


def test_a_rough_model_refuses_them():
    study = bo.Study(PLAIN, policy=bo.Policy(model="matern32"))
    with pytest.raises(ValueError, match=r"kernel 'matern52' or 'rbf' .* Change the model"):
        study.tell(study.ask(), bo.Evaluation(1.0, gradient=[1.0, 2.0]))


def test_a_rough_model_that_is_given_later_refuses_them_too(tmp_path):
    study = bo.Study(PLAIN, storage=tmp_path / "runs.db", n_initial=1)
    study.tell(study.ask(), bo.Evaluation(1.0, gradient=[1.0, 2.0]))
    policy = bo.Policy(model="matern32")
    study.export(tmp_path / "study.json")
    with pytest.raises(ValueError, match="Change the model"):
        bo.Study.load(tmp_path / "study.json", policy=policy).ask()


def test_what_a_user_does_to_a_gradient_does_not_reach_the_study():
    study = bo.Study(PLAIN, seed=0)
    study.tell(study.ask(), bo.Evaluation(1.0, gradient=[1.0, 2.0]))
    study.trials[0].evaluation.gradient["x"] = 5.0
    assert study.trials[0].evaluation.gradient["x"] == 1.0


@pytest.mark.parametrize(
    "gradient", [[[1.0, 2.0], [3.0, math.nan]], [{"x": 1.0, "scale": 2.0}, {"x": 3.0}]]
)
def test_adding_results_that_have_gradients(gradient):
    study = bo.Study(PLAIN)
    study.add([[0.0, 1.0], [1.0, 2.0]], [1.0, 2.0], gradient=gradient, gradient_sd=0.1)
    first, second = (trial.evaluation for trial in study.trials)
    assert first.gradient == {"x": 1.0, "scale": 2.0} and second.gradient == {"x": 3.0}
    assert first.gradient_sd == {"x": 0.1, "scale": 0.1} and second.gradient_sd == {"x": 0.1}


@pytest.mark.parametrize("gradient", [[[1.0, 2.0]], {"x": 1.0}, 3.0, [1.0, 2.0]])
def test_adding_as_many_gradients_as_points(gradient):
    study = bo.Study(PLAIN)
    with pytest.raises(ValueError, match="gradient"):
        study.add([[0.0, 1.0], [1.0, 2.0]], [1.0, 2.0], gradient=gradient)
    assert study.trials == []


@given(
    st.none() | st.dictionaries(st.sampled_from(["x", "scale"]), st.floats(allow_nan=False)),
    st.none() | st.floats(0.0, 1e300),
)
def test_round_trips(gradient, sd):
    evaluation = named(gradient, gradient_sd=None if gradient is None else sd)
    (trial,) = trials_of([AT], [evaluation])
    assert Trial.from_json(json.loads(json.dumps(trial.to_json()))) == trial
    assert pickle.loads(pickle.dumps(trial)) == trial
    assert hash(evaluation) == hash(pickle.loads(pickle.dumps(evaluation)))


def test_an_evaluation_without_gradient_is_stored_as_before():
    (trial,) = trials_of([AT], [bo.Evaluation(1.0, 0.5)])
    assert trial.to_json()["evaluation"] == [1.0, 0.5]


def test_a_stored_study_keeps_them(tmp_path):
    study = bo.Study(PLAIN, storage=tmp_path / "runs.db", seed=0)
    study.tell(study.ask(), bo.Evaluation(1.0, gradient=[1.0, math.nan], gradient_sd=0.5))
    study.export(tmp_path / "study.json")
    told = study.trials
    again = bo.Study(PLAIN, storage=tmp_path / "runs.db", seed=0)
    assert again.trials == told == bo.Study.load(tmp_path / "study.json").trials
    assert told[0].evaluation == bo.Evaluation(1.0, None, {"x": 1.0}, {"x": 0.5})


def test_a_data_frame_and_a_csv_file_hold_them(tmp_path):
    evaluations = [named({"x": 1.0, "scale": 2.0}, gradient_sd={"x": 0.1}), bo.Evaluation(2.0)]
    frame = to_dataframe(trials_of([AT, AT], evaluations), MIXED)
    assert [c for c in frame.columns if "gradient" in c] == [
        "gradient.x",
        "gradient.scale",
        "gradient_sd.x",
    ]
    frame.to_csv(tmp_path / "runs.csv")
    assert [result for _, result in read_csv(tmp_path / "runs.csv", MIXED)] == evaluations


# -- what a model gets -----------------------------------------------------------------------------


def test_slopes_in_the_unit_cube_are_finite_differences():
    def value(params):
        return math.sin(params["x"]) * params["scale"] ** 2

    here = {"x": 0.5, "scale": 2.0}
    slopes = {"x": math.cos(0.5) * 4.0, "scale": math.sin(0.5) * 4.0}
    partials, sd = in_unit_cube(PLAIN, trials_of([here], [named(slopes, PLAIN, gradient_sd=1.0)]))
    u, h = PLAIN.to_unit(here), 1e-6
    for j in range(2):
        step = h * np.eye(2)[j]
        difference = value(PLAIN.from_unit(u + step)) - value(PLAIN.from_unit(u - step))
        assert partials[0, j] == pytest.approx(difference / (2 * h), rel=1e-8)
    assert sd[0] == pytest.approx([4.0, 2.0 * math.log(100.0)])


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("noise", ["auto", False, 0.1])
def test_slopes_of_scores(direction, noise):
    points = [{"x": x, "scale": 1.0} for x in (0.0, 1.0, 2.0)]
    evaluations = [
        named({"x": 3.0}, PLAIN, gradient_sd=0.5),
        named([2.0, 5.0], PLAIN),
        bo.Evaluation(7.0),
    ]
    data = dataset(PLAIN, trials_of(points, evaluations), direction, noise)
    sign, scaling = (-1.0 if direction == "minimize" else 1.0), data.scaling
    size = scaling.unit * scaling.scale
    wanted = sign / size * np.array([[12.0, np.nan], [8.0, 5.0 * math.log(100.0)], [np.nan] * 2])
    np.testing.assert_allclose(data.dY, wanted)
    assert float(data.dYvar[0, 0]) == pytest.approx((0.5 * 4.0 / size) ** 2)
    assert data.dYvar[1].isnan().all() if noise else (data.dYvar[1] == 0.0).all()
    assert data.dYvar[2].isnan().all()


def test_a_poor_value_counts_as_it_is_with_its_slope_unless_it_is_very_poor():
    points = [{"x": x, "scale": 1.0} for x in (0.0, 1.0, 2.0, 3.0, 4.0)]
    values, slopes = [1.0, 2.0, 3.0, 1e2, 1e6], [1.0, 1.0, 1.0, 1.0, 1.0]
    evaluations = [bo.Evaluation(v, gradient={"x": s}) for v, s in zip(values, slopes, strict=True)]
    data = dataset(PLAIN, trials_of(points, evaluations), "minimize", False, truncate=2.0)
    assert data.dY[:, 0].isnan().tolist() == [False, False, False, False, True]
    seen = data.scaling.value(data.Y[:, 0].numpy())
    assert seen == pytest.approx([1.0, 2.0, 3.0, 1e2, 3.0 + 1000.0 * 2.0])
    plain = [bo.Evaluation(v) for v in values]
    data = dataset(PLAIN, trials_of(points, plain), "minimize", False, truncate=2.0)
    assert data.scaling.value(data.Y[:, 0].numpy()) == pytest.approx([1.0, 2.0, 3.0, 7.0, 7.0])
    assert dataset(PLAIN, trials_of(points, evaluations), "minimize", False).dY[4, 0] < 0


def test_no_slope_at_all_is_none():
    data = dataset(
        PLAIN, trials_of([{"x": 0.0, "scale": 1.0}], [bo.Evaluation(1.0)]), "minimize", 0.1
    )
    assert data.dY is None and data.dYvar is None and data.at(torch.tensor([0])).dY is None


def test_some_rows_of_the_data():
    points = [{"x": x, "scale": 1.0} for x in (0.0, 1.0, 2.0)]
    evaluations = [named({"x": float(k)}, PLAIN) for k in range(3)]
    data = dataset(PLAIN, trials_of(points, evaluations), "maximize", "auto")
    some = data.at(torch.tensor([True, False, True]))
    torch.testing.assert_close(some.X, data.X[[0, 2]])
    torch.testing.assert_close(some.dY, data.dY[[0, 2]], equal_nan=True)


@pytest.mark.parametrize("wrong", [{"dY": None}, {"dYvar": None}])
def test_slopes_without_their_noise_and_noise_without_slopes_are_refused(wrong):
    (trial,) = trials_of([{"x": 0.0, "scale": 1.0}], [named({"x": 1.0}, PLAIN)])
    data = dataset(PLAIN, [trial, replace(trial, number=1)], "minimize", False)
    with pytest.raises(ValueError, match="both None or both of the shape"):
        replace(data, **wrong)


# -- a whole search --------------------------------------------------------------------------------


def sphere(x, scale, n, kind):
    """Its gradient in the scale is absent where the kind is b."""
    value = (x - 1.0) ** 2 + math.log10(scale) ** 2 + 0.1 * n + 0.2 * (kind == "b")
    of_scale = 2.0 * math.log10(scale) / (scale * math.log(10.0))
    gradient = {"x": 2.0 * (x - 1.0), "scale": math.nan if kind == "b" else of_scale}
    return bo.Evaluation(value, gradient=gradient)


@pytest.mark.parametrize("acquisition", ["auto", "noisy_ei", "kg", "random"])
def test_a_search_learns_from_gradients_by_itself(acquisition):
    search = Search(effort=Effort(n_global=64, n_local=64, n_starts=2, max_calls=10))
    policy = bo.Policy(acquisition=acquisition, search=search)
    study = bo.Study(MIXED, noise=False, seed=0, policy=policy)
    study.run(lambda **params: sphere(**params), 13, progress=False)
    again = study.replay(study.trials[-1])
    assert again == study.trials[-1].params
    assert study.recommend().mean == min(trial.value for trial in study.trials)
    if acquisition != "random":
        assert study.recommend().mean < 0.15
        told = str(study.explain())
        assert " partial derivatives" in told
        assert ("counts on the next gradient" in told) == (acquisition == "kg")


def test_noise_of_gradients_is_inferred_where_it_is_not_known():
    rng = np.random.default_rng(0)

    def fun(x):
        noisy = 2.0 * (x[0] - 0.3) + 0.2 * rng.standard_normal()
        return bo.Evaluation((x[0] - 0.3) ** 2 + 0.01 * rng.standard_normal(), gradient=[noisy])

    study = bo.Study([(0.0, 1.0)], seed=0)
    study.run(fun, 25, progress=False)
    assert study.recommend("best_mean").params["x0"] == pytest.approx(0.3, abs=0.05)


# -- what hostile hands bring ----------------------------------------------------------------------


def test_a_list_of_tensors_with_graphs_is_an_array():
    one, two = torch.ones(2, requires_grad=True).unbind()
    assert bo.Evaluation(1.0, gradient=[one, two]).gradient == (1.0, 1.0)


def test_a_standard_error_that_is_not_known_may_be_nan():
    assert named({"x": 1.0}, gradient_sd=math.nan).gradient_sd is None
    study = bo.Study(PLAIN, seed=0)
    study.add([[0.0, 1.0]] * 2, [1.0, 2.0], gradient=[{"x": 1.0}] * 2, gradient_sd=[0.1, math.nan])
    assert [trial.evaluation.gradient_sd for trial in study.trials] == [{"x": 0.1}, None]


@pytest.mark.parametrize("one", [np.array(0.1), torch.tensor(0.1, dtype=torch.float64), 0.1])
def test_one_standard_error_for_all_that_are_added(one):
    study = bo.Study(PLAIN, seed=0)
    study.add([[0.0, 1.0]] * 2, [1.0, 2.0], gradient=[{"x": 1.0}] * 2, gradient_sd=one)
    assert [trial.evaluation.gradient_sd for trial in study.trials] == [{"x": 0.1}] * 2


@pytest.mark.parametrize("sd", [math.inf, [0.1, math.inf], {"x": math.inf}])
def test_infinite_standard_errors_are_refused_everywhere(sd):
    with pytest.raises(ValueError, match="must be finite"):
        bo.Evaluation(1.0, gradient=[1.0, 2.0], gradient_sd=sd)


def test_standard_errors_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no `gradient`"):
        bo.Study(PLAIN, seed=0).add([[0.0, 1.0]], [1.0], gradient_sd=0.1)


def test_a_number_beyond_a_float_is_refused():
    with pytest.raises(ValueError, match="beyond the range"):
        bo.Evaluation(1.0, gradient=[10**400, 1.0])


def test_an_infinite_slope_of_a_csv_file_is_absent(tmp_path):
    path = tmp_path / "slopes.csv"
    path.write_text("x,scale,value,gradient.x,gradient.scale\n0,1,2,inf,3\n")
    ((_, evaluation),) = read_csv(path, PLAIN)
    assert evaluation.gradient == {"scale": 3.0}


def test_a_wrong_standard_error_of_a_csv_file_is_named_by_its_column(tmp_path):
    path = tmp_path / "slopes.csv"
    path.write_text("x,scale,value,sd,gradient.x,gradient_sd.x\n0,1,2,1,3,-1\n")
    with pytest.raises(ValueError, match="line 2, column 'gradient_sd.x'"):
        read_csv(path, PLAIN)


def test_a_slope_that_no_function_could_have_is_absent():
    points = [{"x": x, "scale": 1.0} for x in (0.0, 1.0, 2.0)]
    evaluations = [
        bo.Evaluation(float(i), gradient={"x": slope}) for i, slope in enumerate((1.0, 1e299, 1e9))
    ]
    data = dataset(PLAIN, trials_of(points, evaluations), "minimize", False)
    assert data.dY.isnan().tolist() == [[False, True], [True, True], [False, True]]
