"""What is refused with a clear text, before a run is spent where that can be."""

import re

import numpy as np
import pytest
from scipy import stats
from test_failure_probability import Counted, crude, two_planes

REFUSED = {
    "budget": (dict(budget=159), ValueError, "`budget`.*160.*159"),
    "budget of half runs": (dict(budget=200.5), (TypeError, ValueError), "`budget`.*200.5"),
    "order": (dict(thresholds=[1.0, 0.0]), ValueError, r"increase.*\[1.0, 0.0\].*np.unique"),
    "twice the same": (dict(thresholds=[0.0, 0.0]), ValueError, "`thresholds` must increase"),
    "nan": (dict(thresholds=[0.0, np.nan]), ValueError, "`thresholds`.*finite.*nan"),
    "none": (dict(thresholds=[]), ValueError, r"`thresholds`.*\[\]"),
    "table": (dict(thresholds=[[0.0, 1.0]]), ValueError, "`thresholds`.*row"),
    "words": (dict(thresholds=["a"]), (TypeError, ValueError), "thresholds"),
    "both": (dict(threshold=1.0, thresholds=[0.0, 1.0]), TypeError, "either `threshold`"),
    "threshold": (dict(threshold=np.inf), ValueError, "`threshold`.*inf"),
    "target 0": (dict(target_cv=0.0), ValueError, "`target_cv` must be positive.*0.0"),
    "target -1": (dict(target_cv=-1.0), ValueError, "`target_cv` must be positive.*-1.0"),
    "target nan": (dict(target_cv=np.nan), ValueError, "`target_cv`.*nan"),
    "surrogate": (dict(surrogate="kriging"), ValueError, "'kriging'.*gaussian_process"),
    "surrogate 3": (dict(surrogate=3), (TypeError, ValueError), "surrogate.*3"),
    "gradient": (dict(gradient=1.0), TypeError, "`gradient` must be callable.*1.0"),
    "executor": (dict(executor=3), TypeError, "`executor`.*submit.*3"),
    "batches": (dict(batch_size=0), ValueError, "batch_size.*0"),
    "laws": (dict(inputs=[stats.norm()]), TypeError, "`inputs` must be a uq.Inputs"),
    "no inputs": (dict(inputs=None), TypeError, "`inputs` must be a uq.Inputs.*None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_a_run_is_spent(name):
    settings, error, says = REFUSED[name]
    g = Counted()
    with pytest.raises(error) as raised:
        crude(g, **settings)
    assert re.search(says, str(raised.value), re.DOTALL), str(raised.value)
    assert g.n == 0


def test_a_limit_state_that_is_none():
    with pytest.raises(TypeError, match="callable.*None"):
        crude(None)


@pytest.mark.parametrize(
    "limit_state, error",
    [
        (lambda x: np.ones(len(x) + 1), ValueError),
        (lambda x: np.ones((len(x), 2, 2)), ValueError),
        (lambda x: np.ones((len(x), 0)), ValueError),
        (lambda x: 1.0, ValueError),
        (lambda x: None, TypeError),
        (lambda x: ["safe"] * len(x), (TypeError, ValueError)),
    ],
)
def test_limit_states_of_other_shapes(limit_state, error):
    g = Counted(limit_state)
    with pytest.raises(error, match="returned"):
        crude(g)
    assert len(g.sizes) == 1


def test_a_limit_state_that_gives_nothing():
    g = Counted(lambda x: np.full(len(x), np.nan))
    with pytest.raises(ValueError, match="NaN|nan|failed"):
        crude(g)
    assert g.n < 200


@pytest.mark.parametrize(
    "surrogate, says",
    [
        (lambda x: np.ones(len(x) + 1), "`surrogate` must return"),
        (lambda x: np.ones((len(x), 2, 2)), "`surrogate` must return"),
        (lambda x: np.full(len(x), np.nan), "with NaN"),
    ],
)
def test_surrogates_of_other_shapes(surrogate, says):
    with pytest.raises(ValueError, match=says):
        crude(surrogate=surrogate)


@pytest.mark.parametrize("n_columns", [1, 3])
def test_a_surrogate_of_another_number_of_limit_states(n_columns):
    with pytest.raises(ValueError, match=f"`surrogate` must return.*{n_columns}"):
        crude(two_planes, surrogate=lambda x: np.ones((len(x), n_columns)))


def test_an_error_of_the_limit_state_is_passed_on():
    def broken(x):
        raise ArithmeticError("no mesh")

    with pytest.raises(ArithmeticError, match="no mesh"):
        crude(broken)
