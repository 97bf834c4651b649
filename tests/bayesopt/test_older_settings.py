"""Settings that earlier formats held."""

from dataclasses import replace

import pytest
from test_settings import PLAIN, through_text

from bayesopt.cost import Cost
from bayesopt.differences import differences
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.policy import Policy, Search
from bayesopt.settings import Settings


def of_format_1(settings):
    """As version 0.1 wrote it."""
    described = through_text(settings.to_json()) | {"format": 1}
    del described["outcome_constraints"], described["reference_point"]
    return without_format_3(described)


def without_format_3(described):
    return {k: v for k, v in described.items() if k not in ("environment", "cost", "cost_budget")}


@pytest.mark.parametrize("policy", [Policy(), Policy("rbf", "kg"), Policy(GaussianProcess("rbf"))])
def test_what_format_1_held_is_read(policy):
    settings = replace(PLAIN, direction="maximize", noise=0.1, policy=policy)
    stored = of_format_1(settings)
    assert Settings.from_json(stored) == settings
    assert differences(stored, settings) == []
    constrained = replace(settings, outcome_constraints={"a": (0, 1)})
    assert differences(stored, constrained) == ["outcome_constraints: 'a' is new"]


@pytest.mark.parametrize("policy", [Policy(), Policy("rbf", "kg")])
def test_what_format_2_held_is_read(policy):
    given = {"latency": (None, 5)}
    settings = replace(PLAIN, noise=0.1, policy=policy, outcome_constraints=given)
    stored = without_format_3(through_text(settings.to_json()) | {"format": 2})
    read = Settings.from_json(stored)
    assert read == settings and differences(stored, settings) == []
    assert (read.environment, read.cost, read.cost_budget) == (None, Cost(), None)
    costly = replace(settings, cost=5, cost_budget=100)
    lines = ["cost: was 1.0, now 5.0", "cost_budget: was None, now 100.0"]
    assert differences(stored, costly) == lines


def test_a_field_that_format_1_had_not_takes_its_default():
    stored = of_format_1(replace(PLAIN, policy=Policy(search=Search(None, 5))))
    del stored["policy"]["hyperparameters"], stored["policy"]["search"]["effort"]["n_starts"]
    read = Settings.from_json(stored)
    assert read.policy == Policy(search=Search(None, 5)) and differences(stored, read) == []
    with pytest.raises(ValueError, match="damaged: the settings of Effort lack"):
        Settings.from_json(through_text(PLAIN.to_json()) | {"policy": stored["policy"]})
