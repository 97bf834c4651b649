"""What roles do not go with is refused by name, before anything is evaluated."""

import numpy as np
import pytest
from role_spaces import DESIGN, LAWS, ROLES, function_of, space_of
from scipy import stats

import bayesopt as bo
from bayesopt.policy import Policy

JOINT_NORMAL = stats.multivariate_normal([0.0, 0.0])


def refused(space, error, text, **given):
    """By a study, and by the one call, whose function is never called."""

    def never(**params):
        raise AssertionError

    with pytest.raises(error, match=text):
        bo.minimize(never, space, 5, **given)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: bo.Int(1, 9, role="fidelity"), "An Int with role='fidelity' needs a `target`"),
        (lambda: bo.Categorical(["a", "b"], role="source"), "role='source' needs a `target`"),
        (lambda: bo.Categorical(["a"], role="fidelity", target="a"), "only a Float or Int can"),
        (lambda: bo.Float(0, 1, role="task"), "A Float cannot be a task; only a Categorical"),
        (lambda: bo.Int(0, 9, role="source", target=1), "An Int cannot be a source"),
        (
            lambda: bo.Space(x=bo.Float(0, 1), **ROLES["fidelity"], **ROLES["source"]),
            "one kind of role, but 's' is a fidelity, 'm' is a source",
        ),
        (lambda: bo.Space(**ROLES["fidelity"]), "needs a parameter without a role"),
        (
            lambda: bo.Space(**DESIGN, **ROLES["levels"], u=ROLES["levels"]["s"]),
            "has one fidelity, but 's', 'u' are",
        ),
    ],
)
def test_a_parameter_or_a_space(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    ("role", "cost", "text"),
    [
        ("source", 0, "`cost` must be positive and finite, but is 0"),
        ("source", -1.0, "`cost` must be positive"),
        ("source", np.nan, "`cost` must be finite"),
        ("source", {"fast": 0, "fair": 1, "exact": 2}, "`cost` of m='fast' must be positive"),
        ("source", {"fast": -1, "fair": 1, "exact": 2}, "`cost` of m='fast' must be positive"),
        ("source", {"fast": np.nan, "fair": 1, "exact": 2}, "`cost` of m='fast' must be finite"),
        ("source", {"fast": 1, "exact": 2}, r"needs every value of 'm', but lacks \['fair'\]"),
        ("source", {"slow": 1}, "'slow', which is no value of 'm'"),
        ("levels", {1: 1, 2: 2}, r"every value of 's', but lacks \[3\]"),
        ("fidelity", {0: 1, 1: 2}, "'s' is a Float; give a function"),
        ("two laws", {"calm": 1, "storm": 2}, "2 have: .* give a function"),
        ("source", "learnt", "'learn'"),
    ],
)
def test_a_cost(role, cost, text):
    refused(space_of(role), ValueError, text, cost=cost, environment=LAWS.get(role))


def test_a_cost_function_that_gives_no_cost_ends_before_the_evaluation_is_made():
    called = []
    with pytest.raises(ValueError, match="`cost` at .* must be positive and finite, but is 0.0"):
        bo.minimize(
            lambda **p: called.append(p), space_of("source"), cost=lambda x, y, m: 0, cost_budget=5
        )
    assert called == []
    refused(space_of("source"), TypeError, "`cost`: .*keywords x, y, m", cost=lambda x: 1.0)


@pytest.mark.parametrize(
    ("role", "environment", "error", "text"),
    [
        ("uniform", None, ValueError, r"\['w'\] are an environment: `environment` has to say"),
        ("uniform", {"w": JOINT_NORMAL}, ValueError, "of 'w' .* is of the wrong dimension: multi"),
        ("uniform", {"v": {"calm": 1}}, ValueError, r"no law of \['w'\]"),
        ("two laws", {"w": stats.norm(0.5, 0.1)}, ValueError, r"no law of \['v'\]"),
        ("two laws", {("w", "v"): {(0.1, "calm", 2): 1}}, ValueError, "wrong dimension: .* 2"),
        ("joint law", {("w", "v"): stats.norm(0, 1)}, ValueError, "wrong dimension: .* of one"),
        ("binomial", {"w": stats.norm(2, 0.1)}, TypeError, "'w' is Int.*give a discrete law"),
        ("uniform", {"w": stats.norm(0, 1)}, ValueError, "65.9 % of its mass outside"),
        ("weights", {"v": {"calm": 1, "rain": 1}}, ValueError, "'rain' is not one of"),
        ("weights", {"v": {"calm": 0}}, ValueError, "at least one weight must be pos"),
        ("fidelity", {"s": stats.norm(0.5, 0.1)}, ValueError, "laws of .*'s'"),
    ],
)
def test_an_environment(role, environment, error, text):
    refused(space_of(role), error, text, environment=environment)


@pytest.mark.parametrize("role", ["fidelity", "source", "tasks", "transfer", "uniform"])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"direction": ["minimize", "maximize"]}, "Several objectives are not supported where a"),
        ({"policy": Policy(acquisition="mes")}, "'kg', 'ei', 'random' or .*, not 'mes'"),
        ({"policy": Policy(acquisition="lookahead")}, "not 'lookahead'"),
        ({"policy": Policy(acquisition="nei")}, "not 'nei'"),
        ({"policy": Policy(batch="joint")}, "batch='joint' does not support a parameter that is"),
        ({"policy": Policy(hyperparameters="slice")}, "'slice' does not support a parameter that"),
        ({"policy": Policy("matern")}, "The kernel 'matern' needs a given 'nu' where a param"),
        ({"policy": Policy("power_exponential")}, "'power_exponential' needs a given 'power'"),
        ({"policy": Policy(bo.GaussianProcess(mean="linear"))}, "mean='linear' is not supported"),
        (
            {"policy": Policy(bo.GaussianProcess(priors=bo.Priors(noise=bo.Uniform(0.1, 1))))},
            "A prior of the noise is not supported where",
        ),
        (
            {"policy": Policy(bo.GaussianProcess(priors=bo.Priors(signal=bo.LogNormal(0, 1))))},
            "A prior of the signal is not supported where",
        ),
        (
            {
                "policy": Policy(
                    bo.GaussianProcess(priors=bo.Priors(lengthscale=bo.Uniform(0.1, 2)))
                )
            },
            "length-scales must be a LogNormal where",
        ),
        ({"noise": "heteroscedastic"}, "noise='heteroscedastic' is not supported where a param"),
    ],
)
def test_what_no_role_goes_with(role, given, text):
    refused(space_of(role), ValueError, text, environment=LAWS.get(role), **given)


@pytest.mark.parametrize(
    ("role", "process", "text"),
    [
        ("fidelity", {"fidelity": "increments"}, "from level to level of an Int, but 's' is Float"),
        ("source", {"fidelity": "decay"}, "fidelity='decay' .* role='fidelity', but none has it"),
        ("fidelity", {"bias_groups": [("a", "b")]}, "role='source', but none has it"),
        ("source", {"bias_groups": [("fast", "fear")]}, r"has \['fear'\], but the sources are"),
        ("source", {"bias_groups": [("fast", "exact")]}, "has the target 'exact' in"),
    ],
)
def test_what_a_process_says_of_a_role(role, process, text):
    policy = Policy(bo.GaussianProcess(**process))
    refused(space_of(role), ValueError, text, policy=policy)
    if "none has it" in text:
        refused(bo.Space(**DESIGN), ValueError, text, policy=policy)


@pytest.mark.parametrize(
    ("role", "process"),
    [
        ("levels", bo.GaussianProcess(fidelity="increments")),
        ("fidelity", bo.GaussianProcess("matern", nu=1.0, fidelity="noise")),
        ("source", bo.GaussianProcess("rbf", bias_groups=[("fast", "fair")])),
        ("tasks", bo.GaussianProcess("power_exponential", power=1.5)),
        ("transfer", bo.GaussianProcess("matern12")),
    ],
)
def test_what_goes_with_a_role_is_fitted(role, process):
    study = bo.Study(space_of(role), policy=Policy(process), noise=False, n_initial=8, seed=0)
    study.run(function_of(role), 8)
    mean, _ = study.predict([trial.params for trial in study.trials])
    np.testing.assert_allclose(mean, [trial.value for trial in study.trials], atol=0.05)


def test_a_prior_of_the_length_scales_counts():
    found = []
    for sd in (1.0, 0.01):
        process = bo.GaussianProcess(priors=bo.Priors(lengthscale=bo.LogNormal(0.0, sd)))
        study = bo.Study(space_of("source"), policy=Policy(process), n_initial=8, seed=0)
        study.run(function_of("source"), 8)
        found.append(study.explain().lengthscales["x"])
    assert found[1] == pytest.approx(1.0, abs=0.05) and abs(found[0] - 1.0) > 0.1


def test_a_gradient_is_refused_where_it_is_told():
    study = bo.Study(space_of("source"), seed=0)
    with pytest.raises(ValueError, match="not supported where a parameter is a source"):
        study.add([{"x": 0.5, "y": 0.5, "m": "fast"}], [bo.Evaluation(1.0, gradient={"x": 1.0})])
    assert study.trials == []


@pytest.mark.parametrize("role", ["fidelity", "uniform"])
def test_a_number_of_evaluations_or_a_budget_is_needed(role):
    def never(**params):
        raise AssertionError

    with pytest.raises(TypeError, match="`n_evals` must be a whole number.*`cost_budget`"):
        bo.minimize(never, space_of(role), environment=LAWS.get(role))


@pytest.mark.parametrize("budget", [0, -1.0, np.nan, np.inf])
def test_a_budget_is_positive(budget):
    refused(space_of("fidelity"), ValueError, "`cost_budget` must be", cost_budget=budget)
