"""What differs between two studies, in words."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, NonlinearConstraint
from test_settings import (
    OWN,
    PLAIN,
    SPACE,
    TWO,
    changed,
    own_acquisition,
    ratio,
    slope,
    through_text,
)

from bayesopt.constraints import Simplex
from bayesopt.differences import differences
from bayesopt.models.gaussian_process import GaussianProcess, Priors
from bayesopt.models.prior import LogNormal
from bayesopt.optimize import Effort
from bayesopt.parameter import Categorical, Float, Int
from bayesopt.policy import Policy, Search
from bayesopt.space import Space


def of_space(**parameters):
    return replace(PLAIN, space=Space(**(dict(SPACE.parameters) | parameters)))


def from_bounds():
    return replace(PLAIN, space=Space.of([(0.0, 1.0)]))


ONE = Space(x0=Float(0, 1))


@pytest.mark.parametrize(
    ("was", "now", "lines"),
    [
        (
            PLAIN,
            of_space(C=Float(1e-3, 1e3)),
            ["space: parameter 'C' was Float(0.001, 1000.0, log=True), now Float(0.001, 1000.0)"],
        ),
        (
            PLAIN,
            of_space(C=Float(1e-3, np.nextafter(1e3, 0), log=True)),
            [
                "space: parameter 'C' was Float(0.001, 1000.0, log=True), "
                "now Float(0.001, 999.9999999999999, log=True)"
            ],
        ),
        (
            PLAIN,
            of_space(share=Int(0, 1), kind=Categorical(["b", "a"])),
            [
                "space: parameter 'share' was Float(0.0, 1.0), now Int(0, 1)",
                "space: parameter 'kind' was Categorical(['a', 'b']), now Categorical(['b', 'a'])",
            ],
        ),
        (
            of_space(kind=Categorical([1, 2])),
            of_space(kind=Categorical([True, 2])),
            ["space: parameter 'kind' was Categorical([1, 2]), now Categorical([True, 2])"],
        ),
        (
            replace(PLAIN, space=ONE),
            replace(PLAIN, space=Space(x1=Float(0, 1))),
            ["space: parameter 'x0' is gone", "space: parameter 'x1' is new"],
        ),
        (
            PLAIN,
            replace(PLAIN, space=Space(**dict(reversed(SPACE.parameters.items())))),
            ["space: the order was ['C', 'share', 'kind'], now ['kind', 'share', 'C']"],
        ),
        (
            replace(PLAIN, space=ONE),
            from_bounds(),
            [
                "space: functions took keywords, from a Space, now one vector, from plain bounds",
            ],
        ),
        (
            PLAIN,
            replace(PLAIN, direction="maximize", noise=0.1, n_initial=8, seed=4),
            [
                "direction: was 'minimize', now 'maximize'",
                "noise: was 'auto', now 0.1",
                "n_initial: was 7, now 8",
                "seed: was 3, now 4",
            ],
        ),
        (
            replace(PLAIN, **TWO, outcome_constraints={"a": (0, 1), "b": (None, 2)}),
            replace(
                PLAIN,
                direction=["maximize"] * 2,
                outcome_constraints={"a": (0, None), "kind": (0, 1)},
                reference_point=(1, 2),
            ),
            [
                "direction: was ['minimize', 'maximize'], now ['maximize', 'maximize']",
                "outcome_constraints: 'b' is gone",
                "outcome_constraints: 'kind' is new",
                "outcome_constraints: 'a' was (0.0, 1.0), now (0.0, None)",
                "reference_point: was None, now [1.0, 2.0]",
            ],
        ),
        (
            replace(PLAIN, noise=0.1),
            replace(PLAIN, noise=np.nextafter(0.1, 1)),
            ["noise: was 0.1, now 0.10000000000000002"],
        ),
        (PLAIN, replace(PLAIN, policy=Policy(search=Search(truncate=2))), []),
        (
            PLAIN,
            replace(PLAIN, policy=Policy("rbf", search=Search(effort=Effort(n_starts=5)))),
            ["policy.model: was 'auto', now 'rbf'", "policy.search.effort.n_starts: was 4, now 5"],
        ),
        (
            replace(PLAIN, policy=Policy(GaussianProcess())),
            replace(
                PLAIN, policy=Policy(GaussianProcess(priors=Priors(signal=LogNormal(0.0, 1.0))))
            ),
            ["policy.model.priors.signal: was None, now LogNormal(mean=0.0, sd=1.0)"],
        ),
        (
            PLAIN,
            replace(PLAIN, policy=Policy(acquisition=own_acquisition)),
            [f"policy.acquisition: was 'auto', now {ratio.__module__}.own_acquisition"],
        ),
        (
            PLAIN,
            replace(PLAIN, constraints=(Simplex("C", "share"),)),
            [
                "constraints: was [], now [Simplex(names=['C', 'share'], total=1.0)]",
            ],
        ),
        (
            replace(PLAIN, constraints=(Simplex("C", "share"), LinearConstraint([1, 1, 0], 0, 1))),
            replace(
                PLAIN,
                constraints=(Simplex("C", "share", total=2), LinearConstraint([1, 1, 0], 0, 2)),
            ),
            [
                "constraints[0].total: was 1.0, now 2.0",
                "constraints[1].ub: was [1.0], now [2.0]",
            ],
        ),
        (
            OWN,
            replace(OWN, constraints=(Simplex("C", "share"), NonlinearConstraint(slope, 0.3, 1))),
            [
                f"constraints[1].fun: was {ratio.__module__}.ratio, now {ratio.__module__}.slope",
                f"constraints[1].jac: was {ratio.__module__}.slope, now None",
                "constraints[1].ub: was [0.7], now [1.0]",
            ],
        ),
    ],
)
def test_differences_are_told_in_words(was, now, lines):
    assert differences(through_text(was.to_json()), now) == lines
    assert differences(through_text(now.to_json()), now) == []


@pytest.mark.parametrize("main", ["__main__", "__mp_main__"])
def test_a_function_of_a_script_is_known_by_both_of_its_names(main):
    stored = through_text(OWN.to_json())
    stored["constraints"][1]["fun"]["callable"] = f"{main}.ratio"
    assert differences(stored, OWN) == []
    stored["constraints"][1]["fun"]["callable"] = f"{main}.io"
    now = f"{ratio.__module__}.ratio"
    assert differences(stored, OWN) == [f"constraints[1].fun: was {main}.io, now {now}"]


@pytest.mark.parametrize("what", ["format", "colour", "space"])
def test_what_cannot_be_read_has_no_differences(what):
    with pytest.raises(ValueError, match=r"newer version|cannot be read"):
        differences(changed(**{what: 9}), PLAIN)


def test_long_differences_are_cut():
    wide = Space(**{f"x{j}": Float(0, 1) for j in range(300)})
    was = replace(PLAIN, space=wide, constraints=LinearConstraint(np.ones(300), 0, 1))
    now = replace(was, constraints=LinearConstraint(np.zeros(300), 0, 1))
    (line,) = differences(through_text(was.to_json()), now)
    assert line.startswith("constraints[0].A: was [[1.0, 1.0,") and len(line) < 300
