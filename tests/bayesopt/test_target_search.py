"""Where to evaluate next where parameters have roles: turns, two steps, costs, running points."""

import numpy as np
import pytest
import torch
from role_spaces import QUICK
from scipy.optimize import LinearConstraint
from test_target_knowledge_gradient import wave

import bayesopt as bo
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.two_steps import LearntOfTarget
from bayesopt.budget import BudgetSpent
from bayesopt.fitted import fitted, fitted_with_roles
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.space import Space
from bayesopt.trial import Evaluation, Trial, TrialState

TRUE, CHEAP = 0.0, 1.0
SOURCE = {"s": bo.Categorical(["true", "cheap"], role="source", target="true")}
FIDELITY = {"s": bo.Float(0, 1, role="fidelity", target=1.0)}
TASKS = {"s": bo.Categorical(["true", "cheap"], role="task")}
COSTS = {"true": 50.0, "cheap": 1.0}


def of_role(x, s):
    return wave(x, "cheap" if s == "cheap" or (not isinstance(s, str) and s < 0.9) else "true")


def search_of(role=SOURCE, n=8, running=(), value=of_role, constraints=(), **given):
    """The search after n exact evaluations, beside some that run."""
    space = Space.of(bo.Space(x=bo.Float(0, 1), **role))
    settings = Settings(
        **{"space": space, "noise": False, "n_initial": 4, "seed": 0, "constraints": constraints}
        | given
    )
    rng = np.random.default_rng(0)
    params = [space.from_unit(u) for u in space.snap(rng.random((n, len(space))))]
    ended = [
        Trial(i, p, TrialState.COMPLETE, _evaluation(value(**p))) for i, p in enumerate(params)
    ]
    trials = [*ended, *(Trial(n + i, p) for i, p in enumerate(running))]
    region = Region(space, constraints)
    return fitted_with_roles(settings, trials, region, None, np.random.default_rng(0))[0]


def _evaluation(value):
    return value if isinstance(value, Evaluation) else Evaluation(value)


def ei(**options):
    return bo.Policy(acquisition="ei", **options)


def chosen(search, running=None):
    X = search.candidates(running, search.target.seen.X.numpy(), np.random.default_rng(0))
    assert X.ndim == 2 and search.everywhere.holds(X).all()
    return X


# -- what is fitted --------------------------------------------------------------------------------


def test_the_composition_is_of_designs_at_the_target():
    search = search_of()
    assert (search.target.seen.X[:, 1] == TRUE).all()
    assert search.target.region is search.everywhere.at_target
    at = search.seen.X[:, 1] == TRUE
    assert 0 < at.sum() < len(at)
    model, target = search.models.objectives[0], search.target.models.objectives[0]
    for a, b in zip(
        target.marginals(search.seen.X[at]), model.marginals(search.seen.X[at]), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_of_a_space_with_roles_what_is_sought_is_fitted():
    space = Space.of(bo.Space(x=bo.Float(0, 1), **SOURCE))
    settings = Settings(space=space, noise=False, n_initial=2, seed=0)
    values = enumerate([(0.1, "true"), (0.7, "cheap"), (0.5, "true")])
    trials = [
        Trial(i, {"x": x, "s": s}, TrialState.COMPLETE, Evaluation(wave(x, s)))
        for i, (x, s) in values
    ]
    rng = np.random.default_rng(0)
    composition, theta = fitted(settings, trials, Region(space), None, rng)
    search, same_theta = fitted_with_roles(settings, trials, Region(space), None, rng)
    assert theta == same_theta
    X = composition.seen.X
    torch.testing.assert_close(
        composition.models.objectives[0].marginals(X)[0],
        search.target.models.objectives[0].marginals(X)[0],
    )


# -- the target's turn -----------------------------------------------------------------------------


def ended_at(*sources):
    """Trials of these values of s, in this order."""
    values = enumerate(sources)
    return [Trial(i, {"x": 0.5, "s": s}, TrialState.COMPLETE, Evaluation(0.0)) for i, s in values]


def test_the_target_has_its_turn_when_others_have_cost_as_much_or_are_ten():
    x = np.array([0.4, TRUE])
    dear = search_of(cost=COSTS)
    assert not dear.is_turn_of_target([], x)
    assert not dear.is_turn_of_target(ended_at(*["cheap"] * 9), x)
    assert dear.is_turn_of_target(ended_at(*["cheap"] * 10), x)
    half = search_of(cost={"true": 50.0, "cheap": 25.0})
    assert not half.is_turn_of_target(ended_at("cheap"), x)
    assert half.is_turn_of_target(ended_at("cheap", "cheap"), x)
    assert search_of().is_turn_of_target(ended_at("cheap"), x)  # without costs each is one


def test_its_turn_is_reckoned_from_the_last_trial_at_the_target():
    x = np.array([0.4, TRUE])
    search = search_of(cost={"true": 50.0, "cheap": 25.0})
    trials = ended_at("cheap", "cheap", "true", "cheap")
    assert not search.is_turn_of_target(trials, x)
    trials = ended_at("cheap", "true", "cheap", "cheap")
    assert search.is_turn_of_target(trials, x)
    assert search.is_turn_of_target(trials[::-1], x)  # by their numbers, not as they come


def test_it_has_none_where_the_budget_does_not_pay_it_nor_among_tasks():
    x = np.array([0.4, TRUE])
    poor = search_of(cost=COSTS, cost_budget=8 * 50.0)
    left = poor.spending.account.left
    assert left > 50.0 and poor.is_turn_of_target(ended_at(*["cheap"] * 10), x)
    poor = search_of(cost=COSTS, cost_budget=8 * 50.0 - left + 49.0)
    assert not poor.is_turn_of_target(ended_at(*["cheap"] * 9), x)
    with pytest.raises(BudgetSpent, match="the next evaluation costs 50"):
        # What is learnt elsewhere could not be checked.
        poor.is_turn_of_target(ended_at(*["cheap"] * 10), x)
    assert not search_of(TASKS).is_turn_of_target(ended_at(*["cheap"] * 10), x)
    one_task = {"s": bo.Categorical(["true", "cheap"], role="task", target="true")}
    assert not search_of(one_task).is_turn_of_target(ended_at(*["cheap"] * 10), x)


# -- two steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [None, COSTS, {"true": 1.0, "cheap": 1e6}])
def test_two_steps_take_the_best_design_and_then_the_role_that_tells_most(cost):
    search = search_of(policy=ei(), **({} if cost is None else {"cost": cost}))
    x = chosen(search)[0]
    target = search.target.models.objectives[0]
    best = float(target.marginals(search.target.seen.X)[0].max())
    grid = torch.linspace(0, 1, 1001, dtype=torch.float64)
    designs = torch.stack((grid, torch.zeros_like(grid)), dim=-1)
    value = ExpectedImprovement(target, best)(designs.unsqueeze(1))
    assert float(grid[value.argmax()]) == pytest.approx(x[0], abs=2e-3)
    both = torch.tensor([[x[0], TRUE], [x[0], CHEAP]], dtype=torch.float64)
    told = LearntOfTarget(search.models.objectives)(both.unsqueeze(1)).numpy()
    price = np.log([1.0, 1.0] if cost is None else list(cost.values()))
    assert x[1] == float(np.argmax(told - price))


def test_two_steps_compare_all_values_of_a_fidelity_and_all_nodes_of_a_law():
    search = search_of(FIDELITY, policy=ei())
    X = chosen(search)
    assert len(np.unique(X[:33, 1])) == 33 and len(np.unique(X[:33, 0])) == 1
    law = {"s": {0.1: 1, 0.6: 2, 0.9: 1}}
    conditions = {"s": bo.Float(0, 1, role="environment")}
    X = chosen(search_of(conditions, policy=ei(), environment=law))
    np.testing.assert_allclose(np.unique(X[:3, 1]), [0.1, 0.6, 0.9])


def test_roles_outside_of_the_region_are_not_asked():
    low = LinearConstraint([[1.0, -1.0]], -0.2, np.inf)  # x - s at least -0.2
    search = search_of(FIDELITY, policy=ei(), constraints=[low])
    X = chosen(search)
    assert len(X) > 0 and (X[:, 0] - X[:, 1] >= -0.2 - 1e-9).all()


def test_while_nothing_is_feasible_it_is_the_likeliest_design():
    def value(x, s):
        return Evaluation(x, constraints={"g": x + (0.05 if s == "cheap" else 0.0)})

    search = search_of(value=value, outcome_constraints=OutcomeConstraints.of({"g": (None, -0.1)}))
    assert not (search.target.inside() & search.target.feasible()).any()
    assert chosen(search)[0, 0] == pytest.approx(0.0, abs=0.05)  # where g is smallest


# -- costs and running evaluations -----------------------------------------------------------------


@pytest.mark.parametrize("acquisition", ["kg", "ei"])
def test_only_what_the_rest_of_a_budget_pays_is_asked(acquisition):
    policy = bo.Policy(acquisition=acquisition)
    rich = search_of(cost=COSTS, cost_budget=1e4, policy=policy)
    spent = rich.spending.account.spent
    poor = search_of(cost=COSTS, cost_budget=spent + 49.0, policy=policy)
    X = chosen(poor)
    assert len(X) > 0 and (X[:, 1] == CHEAP).all()
    assert (chosen(rich)[:, 1] == TRUE).any()


@pytest.mark.parametrize("acquisition", ["kg", "ei"])
def test_a_cheap_source_is_asked_more_than_one_as_dear_as_the_target(acquisition):
    policy = bo.Policy(acquisition=acquisition)
    assert chosen(search_of(cost={"true": 1e4, "cheap": 1.0}, policy=policy))[0, 1] == CHEAP
    assert chosen(search_of(cost={"true": 1.0, "cheap": 1e4}, policy=policy))[0, 1] == TRUE


@pytest.mark.parametrize("acquisition", ["kg", "ei"])
def test_beside_a_running_point_another_one_is_asked(acquisition):
    search = search_of(policy=bo.Policy(acquisition=acquisition), cost=COSTS)
    alone = chosen(search)[0]
    beside = chosen(search, torch.from_numpy(alone[None]))[0]
    assert abs(beside[0] - alone[0]) > 1e-2 or beside[1] != alone[1]


def test_running_evaluations_leave_the_means_and_take_the_variance_away():
    search = search_of()
    running = torch.tensor([[0.25, CHEAP], [0.95, TRUE]], dtype=torch.float64)
    beside = search._beside(running)
    at = torch.tensor([[0.25, TRUE], [0.95, TRUE], [0.5, TRUE]], dtype=torch.float64)
    before, after = (s.target.models.objectives[0].marginals(at) for s in (search, beside))
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=1e-7)
    assert (after[1][:2] < before[1][:2]).all() and after[1][1] < 1e-4
    assert search._beside(None) is search


def test_a_study_never_asks_a_running_point_again():
    study = bo.Study(bo.Space(x=bo.Float(0, 1), **SOURCE), noise=False, seed=0, n_initial=4)
    study.run(lambda x, s: wave(x, s), 5, progress=False)
    asked = [study.ask().params for _ in range(3)]
    for i, one in enumerate(asked):
        for other in asked[:i]:
            assert one["s"] != other["s"] or abs(one["x"] - other["x"]) > 1e-6


def test_a_callable_of_ones_own_gets_the_process_over_all_columns():
    seen = []

    def own(model, data, X_pending):
        seen.append((model, data, X_pending))
        return ExpectedImprovement(model, float(data.Y.max()))

    search = search_of(policy=bo.Policy(acquisition=own))
    X = chosen(search)
    assert len(X) > 0
    ((model, data, X_pending),) = seen
    assert model is search.models.objectives[0] and X_pending is None
    assert torch.equal(data.X, search.seen.X)


@pytest.mark.parametrize("budget", [10.0, 15.0])
def test_what_one_evaluation_at_the_target_costs_is_kept_back(budget):
    space = bo.Space(
        x=bo.Float(0, 1), m=bo.Categorical(["exact", "fast"], role="source", target="exact")
    )
    study = bo.Study(space, noise=False, seed=0, cost={"exact": 10, "fast": 1}, cost_budget=budget)
    study.run(lambda x, m: (x - 0.3) ** 2 + 0.1 * (m == "fast"), progress=False)
    assert sum(t.params["m"] == "exact" for t in study.trials) == 1


@pytest.mark.parametrize("role", [SOURCE, FIDELITY])
def test_cheap_ones_are_asked_though_their_cost_is_only_learnt(role):
    """The first evaluation, at the dear target, says of no other cost."""
    study = bo.Study(
        bo.Space(x=bo.Float(0, 1), **role),
        noise=False,
        cost="learn",
        cost_budget=400.0,
        policy=bo.Policy(acquisition="ei", search=QUICK),
        seed=0,
    )

    def paid(x, s):
        return Evaluation(of_role(x, s), cost=40.0 if s in ("true", 1.0) else 1.0)

    study.run(paid, 9, progress=False)
    cheap = [t.params["s"] not in ("true", 1.0) for t in study.trials]
    assert sum(cheap) > 4 and not all(cheap)


def test_no_two_running_trials_are_nearly_equal_in_design_and_source():
    """Three workers; trials end in the order in which they began."""
    space = Space.of(bo.Space(x=bo.Float(0, 1), y=bo.Float(0, 1), **SOURCE))
    policy = bo.Policy(search=QUICK)
    study = bo.Study(space, noise=False, policy=policy, seed=0, n_initial=4, cost=COSTS)
    running = []
    for _ in range(10):
        trial = study.ask()
        for other in running:
            apart = space.to_unit(trial.params) - space.to_unit(other.params)
            assert np.abs(apart).max() > 1e-3, (trial.params, other.params)
        running.append(trial)
        if len(running) == 3:
            ended = running.pop(0)
            bowl = of_role(ended.params["x"], ended.params["s"]) + (ended.params["y"] - 0.3) ** 2
            study.tell(ended, bowl)
