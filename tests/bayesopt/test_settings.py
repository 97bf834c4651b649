"""What a study is besides its trials: through JSON and back."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, NonlinearConstraint
from scipy.sparse import csr_matrix
from strategies import fixed, spaces

from bayesopt.constraints import Simplex, checked_constraints
from bayesopt.differences import differences
from bayesopt.models.gaussian_process import GaussianProcess, KernelName, MeanName, Priors
from bayesopt.models.prior import LogNormal, Normal, TruncatedNormal, Uniform
from bayesopt.optimize import Effort
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.parameter import Categorical, Float
from bayesopt.policy import AcquisitionName, BatchName, HyperparametersName, Policy, Search
from bayesopt.settings import FORMAT, Settings
from bayesopt.space import Space

SPACE = Space(C=Float(1e-3, 1e3, log=True), share=Float(0, 1), kind=Categorical(["a", "b"]))
PLAIN = Settings(space=SPACE, n_initial=7, seed=3)


def ratio(C, share, kind):
    return share / C


def slope(C, share, kind):
    return [0.0, 0.0, 0.0]


def own_acquisition(model, data, X_pending):
    raise AssertionError


def through_text(described):
    return json.loads(json.dumps(described, allow_nan=True))


def back(settings, **given):
    return Settings.from_json(through_text(settings.to_json()), **given)


PRIORS = [
    None,
    LogNormal(-0.1, 1 / 3),
    Normal(1e-3, 2.5),
    Uniform(0.05, 2.0),
    TruncatedNormal(1.0, 0.5, 0.1, 2.0),
]


BY_NAME = [
    *({"model": name} for name in ("auto", *get_args(KernelName))),
    *({"hyperparameters": name} for name in get_args(HyperparametersName)),
    *({"acquisition": name} for name in get_args(AcquisitionName)),
    *({"batch": name} for name in get_args(BatchName)),
    {"model": "rbf", "hyperparameters": "slice", "acquisition": "kg", "batch": "constant_liar"},
    {"model": "matern", "hyperparameters": "mle", "acquisition": "kgcp", "batch": "joint"},
]


@pytest.mark.parametrize("names", BY_NAME)
def test_every_policy_by_name_comes_back(names):
    policy = Policy(**names)
    several = ("minimize", "maximize") if policy.acquisition == "nehvi" else "minimize"
    settings = replace(PLAIN, direction=several, policy=policy)
    assert back(settings) == settings
    assert differences(through_text(settings.to_json()), settings) == []
    plain = replace(settings, policy=PLAIN.policy)
    other = policy != PLAIN.policy
    assert bool(differences(through_text(settings.to_json()), plain)) == other


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("mean", get_args(MeanName))
@pytest.mark.parametrize("kernel", get_args(KernelName))
def test_every_process_comes_back(kernel, mean, prior):
    learnt = prior if kernel in ("matern", "power_exponential") else None
    priors = Priors(lengthscale=prior, signal=prior, noise=prior, shape=learnt)
    settings = replace(PLAIN, policy=Policy(GaussianProcess(kernel, mean=mean, priors=priors)))
    read = back(settings)
    assert read == settings and read.policy.process == settings.policy.process
    for name in ("lengthscale", "signal", "noise", "shape"):
        assert type(getattr(read.policy.process.priors, name)) is type(getattr(priors, name))


@pytest.mark.parametrize("nu", [None, 0.1, 1 / 3, 50.0])
def test_a_shape_comes_back_exactly(nu):
    settings = replace(PLAIN, policy=Policy(GaussianProcess("matern", nu=nu)))
    assert back(settings).policy.process.nu == nu


@pytest.mark.parametrize(
    "search",
    [
        Search(None, None),
        Search(1 / 3, 1, Effort(8, 4, 2, 1)),
        Search(np.float64(0.1), np.int64(2), Effort(16)),
    ],
)
def test_a_search_comes_back_as_plain_numbers(search):
    read = back(replace(PLAIN, policy=Policy(search=search))).policy.search
    assert read == search
    assert {type(number) for number in vars(read).values()} <= {type(None), float, int, Effort}


positive = st.floats(1e-3, 1e3)
laws = st.one_of(
    st.none(),
    st.builds(LogNormal, st.floats(-9, 9), positive),
    st.builds(Normal, st.floats(0, 9), positive),
    st.builds(lambda low, width: Uniform(low, low + width), st.floats(0.01, 1), positive),
)
policies = st.builds(
    Policy,
    model=st.builds(
        GaussianProcess,
        kernel=st.sampled_from(["rbf", "matern"]),
        priors=st.builds(Priors, lengthscale=laws, signal=laws, noise=laws),
    ),
    acquisition=st.sampled_from(["auto", "random"]),  # of one objective and of several
    batch=st.sampled_from(["greedy", "constant_liar"]),
    search=st.builds(
        Search,
        truncate=st.none() | positive,
        exploit_every=st.none() | st.integers(1, 9),
        effort=st.builds(Effort, *[st.integers(1, 4096)] * 4),
    ),
)
everything = st.builds(
    Settings,
    space=spaces,
    direction=st.sampled_from(["minimize", "maximize", ("minimize", "maximize")]),
    outcome_constraints=st.dictionaries(
        st.sampled_from(["a", "kind", "callable"]),
        st.sampled_from([(None, 5.0), (1 / 3, None), (0.0, 5e-324)]),
        max_size=2,
    ).map(OutcomeConstraints.of),
    noise=st.sampled_from(["auto", False, 0, 0.0]) | st.floats(5e-324, 1e308),
    policy=policies,
    n_initial=st.integers(1, 10**6),
    seed=st.integers(0, 2**63 - 1),
)


@settings_of_hypothesis(fixed, max_examples=60)
@given(everything, everything)
def test_settings_come_back_and_differ_only_from_others(settings, others):
    assert back(settings) == settings
    stored = through_text(settings.to_json())
    assert through_text(back(settings).to_json()) == stored
    assert differences(stored, settings) == []
    for name, value in vars(others).items():
        if name in ("space", "reference_point"):  # tests of their own
            continue
        one_changed = replace(settings, **{name: value})
        lines = differences(stored, one_changed)
        assert bool(lines) == (value != getattr(settings, name))
        assert all(line.startswith((f"{name}:", f"{name}.")) for line in lines)


CONSTRAINTS = {
    "none": (),
    "simplex": (Simplex("C", "share"), Simplex("C", "share", total=1 / 3)),
    "linear": (LinearConstraint([1, 1 / 3, 0], -np.inf, 5),),
    "sparse": (LinearConstraint(csr_matrix([[1, 2, 0], [0, 1, 0]]), [0, -1], [np.inf, 0.1]),),
    "both": (LinearConstraint(np.eye(3)[:2], 0, [1, 2]), Simplex("C", "share")),
}


@pytest.mark.parametrize("what", CONSTRAINTS)
def test_plain_constraints_come_back_as_the_same_region(what):
    space = Space(C=Float(0, 3), share=Float(0, 3), kind=Categorical(["a", "b"]))
    settings = replace(PLAIN, space=space, constraints=CONSTRAINTS[what])
    read = back(settings)
    assert isinstance(read.constraints, tuple) and read.to_json() == settings.to_json()
    pairs = zip(
        checked_constraints(space, read.constraints),
        checked_constraints(space, settings.constraints),
        strict=True,
    )
    for one, other in pairs:
        assert (one.label, one.parts) == (other.label, other.parts)
        for name in ("A", "lower", "upper", "size"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_one_constraint_counts_as_a_list_of_one():
    settings = replace(PLAIN, constraints=Simplex("C", "share"))
    assert len(settings.constraints) == 1 and len(back(settings).constraints) == 1


NONLINEAR = NonlinearConstraint(ratio, [0.3], 0.7, jac=slope)
OWN = replace(PLAIN, constraints=(Simplex("C", "share"), NONLINEAR))


def test_a_function_is_asked_for_by_name():
    described = through_text(OWN.to_json())
    assert described["constraints"][1]["fun"] == {"callable": f"{__name__}.ratio"}
    assert described["constraints"][1]["jac"] == {"callable": f"{__name__}.slope"}
    text = r"cannot be stored; pass `constraints=` \(with .*ratio, .*slope\) again"
    with pytest.raises(ValueError, match=text):
        Settings.from_json(described)
    read = Settings.from_json(described, constraints=OWN.constraints)
    assert read == OWN and read.constraints[1].fun is ratio


class Acquisition:
    def __call__(self, model, data, X_pending):
        raise AssertionError

    def method(self, model, data, X_pending):
        raise AssertionError


@pytest.mark.parametrize(
    ("acquisition", "name"),
    [
        (own_acquisition, "own_acquisition"),
        (Acquisition(), "Acquisition"),
        (Acquisition().method, "Acquisition.method"),
        (lambda model, data, X_pending: None, "<lambda>"),
        (partial(own_acquisition), "own_acquisition"),
    ],
)
def test_an_acquisition_is_asked_for_by_name(acquisition, name):
    settings = replace(PLAIN, policy=Policy(acquisition=acquisition))
    described = through_text(settings.to_json())
    assert described["policy"]["acquisition"]["callable"].endswith(f".{name}")
    with pytest.raises(ValueError, match=r"pass `policy=` \(with"):
        Settings.from_json(described)
    assert Settings.from_json(described, policy=settings.policy) == settings
    assert differences(described, settings) == []


def test_both_are_asked_for_at_once():
    settings = replace(OWN, policy=Policy(acquisition=own_acquisition))
    with pytest.raises(ValueError, match=r"pass `constraints=` .* and `policy=` .* again"):
        back(settings)
    with pytest.raises(ValueError, match=r"pass `policy=` \(with [^)]*\) again"):
        back(settings, constraints=OWN.constraints)
    assert back(settings, constraints=OWN.constraints, policy=settings.policy) == settings


def test_given_arguments_win():
    read = back(PLAIN, constraints=[Simplex("C", "share")], policy=Policy("rbf"))
    assert len(read.constraints) == 1 and read.policy == Policy("rbf")
    with pytest.raises(TypeError, match="`policy` must be"):
        back(PLAIN, policy="rbf")


def test_names_of_functions_are_never_loaded(tmp_path):
    """Reading settings with names of any kind imports and runs nothing."""
    (tmp_path / "trap.py").write_text("raise SystemExit('the trap was imported')")
    described = through_text(OWN.to_json())
    code = f"""
import json, sys
from bayesopt.differences import differences
from bayesopt.settings import Settings
described = json.loads({json.dumps(described)!r})
before = set(sys.modules)
def traps(name):
    for part in ({{"callable": name}}, {{"kind": name}}, {{"kind": name, "callable": name}}):
        yield described | {{"constraints": [part]}}
        yield described | {{"constraints": [], "policy": part}}
        yield described | {{"constraints": [], "policy": described["policy"] | {{"search": part}}}}
        yield described | {{"constraints": [], "space": {{"parameters": [part | {{"name": "x"}}]}}}}
for name in ("trap.run", "trap", "os.system", "builtins.eval", "__import__", "Settings"):
    for trap in traps(name):
        try:
            Settings.from_json(trap)
        except ValueError:
            continue
        raise SystemExit(f"{{trap}} was read")
assert set(sys.modules) == before, set(sys.modules) - before
print("nothing")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{':'.join(filter(None, sys.path))}"},
    )
    assert done.stdout.strip() == "nothing", done.stderr


def test_a_pickle_is_no_description():
    with pytest.raises(ValueError, match="are a dict"):
        Settings.from_json(pickle.dumps(PLAIN.to_json()))


def changed(**entries):
    return through_text(PLAIN.to_json()) | entries


POLICY = PLAIN.to_json()["policy"]


@pytest.mark.parametrize(
    ("described", "text"),
    [
        (changed(format=FORMAT + 1), "by a newer version of bayesopt: its format is 4"),
        (changed(colour="red"), r"newer version of bayesopt: the settings have \['colour'\]"),
        (changed(policy=POLICY | {"trust": 1}), r"newer version.*Policy have \['trust'\]"),
        (changed(policy={"kind": "Portfolio"}), "newer version.*hold 'Portfolio'"),
        (changed(constraints=[{"kind": "Ball"}]), "newer version.*hold 'Ball'"),
        (changed(format="1"), "no settings of a study: their format is '1'"),
        (changed(format=True), "no settings of a study"),
        ({}, "no settings of a study: their format is None"),
        ({"format": 1}, "damaged: the settings lack"),
        ([], "are a dict"),
        (changed(policy={"kind": "Search"}), "damaged: the settings of Search lack"),
        (changed(policy=POLICY["search"]), "damaged.*`policy` must be"),
        (changed(policy={"kind": ["Policy"]}), "damaged"),
        (changed(constraints=[{"kind": "Simplex"}]), "damaged.*KeyError"),
        (changed(constraints=[{"kind": "LinearConstraint", "B": 1}]), "damaged.*TypeError"),
        (changed(space={}), "damaged.*KeyError"),
        (changed(direction="up"), "damaged.*'minimize' or 'maximize', but got 'up'"),
        (changed(noise=True), "damaged.*`noise`"),
        (changed(n_initial=0), "damaged.*`n_initial`"),
        (changed(seed=-1), "damaged.*`seed`"),
    ],
)
def test_what_cannot_be_read_is_refused(described, text):
    with pytest.raises(ValueError, match=text):
        Settings.from_json(described)


class OwnPolicy(Policy):
    pass


class OwnSearch(Search):
    pass


@pytest.mark.parametrize("policy", [OwnPolicy(), Policy(search=OwnSearch())])
def test_what_cannot_be_stored_is_refused(policy):
    with pytest.raises(TypeError, match="cannot be stored with a study"):
        replace(PLAIN, policy=policy).to_json()


TWO = {"direction": ["minimize", "maximize"]}


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"space": [(0, 1)]}, TypeError, "`space` must be"),
        ({"direction": "down"}, ValueError, "`direction` is"),
        ({"direction": ["minimize"]}, ValueError, "two or more.*Write direction='minimize'"),
        ({"direction": []}, ValueError, "two or more objectives, but got"),
        ({"direction": ["minimize", "up"]}, ValueError, "Each `direction` is .* got 'up' in"),
        ({"outcome_constraints": [1]}, TypeError, "`outcome_constraints` must be a dict"),
        ({"outcome_constraints": {"a": (2, 1)}}, ValueError, "the wrong way round"),
        ({"reference_point": [1.0]}, ValueError, "is for several objectives, but there is one"),
        ({**TWO, "reference_point": [1.0]}, ValueError, "each of the 2 objectives, but 1 came"),
        ({**TWO, "reference_point": 1.0}, TypeError, "must be 2 numbers"),
        ({**TWO, "reference_point": {1.0, 2.0}}, TypeError, "must be 2 numbers"),
        ({**TWO, "reference_point": (1, np.inf)}, ValueError, r"`reference_point\[1\]` must be f"),
        ({**TWO, "reference_point": (1, "a")}, TypeError, r"`reference_point\[1\]` must be a num"),
        ({"noise": -1.0}, ValueError, "`noise` must be"),
        ({"policy": None}, TypeError, "`policy` must be"),
        ({"n_initial": 1.5}, TypeError, "`n_initial` must be"),
        ({"seed": 2**63}, ValueError, "`seed` must be below"),
    ],
)
def test_wrong_settings_are_refused(changes, error, text):
    with pytest.raises(error, match=text):
        replace(PLAIN, **changes)


Colour = Enum("Colour", {"RED": "red"}, type=str)


def test_members_of_an_enum_are_what_they_stand_for():
    settings = replace(PLAIN, space=Space(colour=Categorical([Colour.RED, "blue"])))
    assert back(settings).space == settings.space
    assert differences(through_text(settings.to_json()), settings) == []


def test_several_objectives_and_outcome_constraints_come_back():
    given = {"latency": (None, 5), "power": (1, 2)}
    settings = replace(PLAIN, **TWO, outcome_constraints=given, reference_point=np.array([1, 2]))
    assert settings.direction == settings.directions == ("minimize", "maximize")
    assert settings.n_values == 2 and settings.reference_point == (1.0, 2.0)
    assert PLAIN.n_values == 1 and PLAIN.directions == ("minimize",)
    read = back(settings)
    assert read == settings and hash(read.outcome_constraints) == hash(settings.outcome_constraints)
