"""Rules of stopping: the arithmetic of the published criterion, errors, and the budget."""

import numpy as np
import pytest

from uq.stopping import (
    STOPPING_RULES,
    Progress,
    RelativeErrorRule,
    predicted_variance_rises,
    variance_rule,
)


@pytest.mark.parametrize(
    ("old", "new", "stops"),
    [
        (9.0, 8.0, True),  # 9/90 = 8/80: it did not decrease
        (9.0, 7.999, False),
        (9.0, 8.001, True),
        (0.0, 0.0, True),
    ],
)
def test_criterion_7(old, new, stops):
    assert predicted_variance_rises(old, 10, new, 20, budget=100) is stops
    assert variance_rule(Progress(100, 20, (10, 20), (old, new))) is stops
    assert variance_rule(Progress(100, 20, (5, 10, 20), (0.0, old, new))) is stops


def test_a_stage_that_leaves_nothing_never_pays():
    assert predicted_variance_rises(1e9, 50, 1e-9, 100, budget=100)


def test_one_stage_is_no_reason_to_stop():
    assert not variance_rule(Progress(100, 10, (10,), (1.0,)))


def test_relative_error_is_asked_of_every_estimate():
    rule = RelativeErrorRule(0.1)
    estimate = np.array([10.0, -1.0])
    reached = Progress(100, 50, estimate=estimate, standard_error=np.array([1.0, 0.1]))
    missed = Progress(100, 50, estimate=estimate, standard_error=np.array([1.0, 0.11]))
    zero = Progress(100, 50, estimate=np.zeros(1), standard_error=np.zeros(1))
    assert rule(reached) and not rule(missed) and not rule(zero) and not rule(Progress(100, 50))
    assert rule(Progress(100, 100))


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_a_target_is_positive(target):
    with pytest.raises(ValueError, match="target"):
        RelativeErrorRule(target)


def test_rules_by_name():
    assert STOPPING_RULES["budget"](Progress(100, 100))
    assert not STOPPING_RULES["budget"](Progress(100, 99))
    assert STOPPING_RULES["predicted_variance"] is variance_rule
