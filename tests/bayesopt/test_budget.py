"""The cost budget: what is spent and held, what it pays for, and how a search ends with it."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from threads import in_threads

import bayesopt as bo
from bayesopt import ask_tell
from bayesopt.budget import Account, BudgetSpent, CostBudget, KnownPrices
from bayesopt.cost import Cost
from bayesopt.data_exchange import DataExchange
from bayesopt.execution.objective import Calling
from bayesopt.execution.progress import Progress
from bayesopt.execution.workers import workers_for
from bayesopt.ledger import Ledger
from bayesopt.loop_of_study import LoopOfStudy
from bayesopt.models.log_cost import LearntCost
from bayesopt.optimize import Effort
from bayesopt.policy import Search
from bayesopt.region import Region
from bayesopt.search_loop import run_until_done
from bayesopt.settings import Settings
from bayesopt.space import Space
from bayesopt.spending import ExpectedCost, LearntPrices
from bayesopt.storage.database import Database
from bayesopt.storage.memory import Memory
from bayesopt.suggestion import Suggestion
from bayesopt.trial import Evaluation, Trial, TrialState

SPACE = Space(x=bo.Float(0.5, 10.0))
COMPLETE, FAILED, RUNNING = TrialState.COMPLETE, TrialState.FAILED, TrialState.RUNNING


def dear(x):
    return x


def trial(number, x, state=COMPLETE, cost=None):
    evaluation = Evaluation(0.0, cost=cost) if state is COMPLETE else None
    return Trial(number, {"x": x}, state, evaluation)


# ---- the account


def test_ended_trials_are_spent_and_running_ones_are_held():
    trials = [trial(0, 3.0, cost=99.0), trial(1, 2.0, FAILED), trial(2, 4.0, RUNNING)]
    account = Account.of(10.0, trials, KnownPrices(Cost.of(dear, SPACE)))
    assert (account.spent, account.held, account.left) == (5.0, 4.0, 1.0)
    assert account.log_left == pytest.approx(0.0, abs=1e-9)
    assert account.affords(1.0) and account.affords(0.5, 0.5)
    assert not account.affords(1.001) and not account.affords(0.5, 0.6)


def test_what_others_have_overspent_leaves_nothing():
    account = Account.of(4.0, [trial(0, 5.0)], KnownPrices(Cost.of(dear, SPACE)))
    assert account.left == 0.0 and account.log_left == -math.inf
    assert not account.affords(1e-9)


@pytest.mark.parametrize("cost, n", [(0.1, 3), (0.1, 10), (1 / 3, 3), (0.7, 1000), (1e-300, 7)])
def test_rounding_takes_no_evaluation_away(cost, n):
    budget = CostBudget(n * cost, Cost.of(cost, SPACE))
    trials = [trial(i, 1.0) for i in range(n - 1)]
    assert budget.admits(trials, {"x": 1.0})
    log_left = Account.of(budget.total, trials, budget.known).log_left
    assert math.exp(log_left) >= cost * (1 - 1e-9)
    assert not budget.admits([*trials, trial(n, 1.0)], {"x": 1.0})


def test_learnt_costs_are_those_told_else_what_is_expected():
    told = [trial(i, x, cost=7.0 * x) for i, x in enumerate(np.linspace(0.5, 10.0, 12))]
    silent = [trial(12, 5.0), trial(13, 5.0, FAILED), trial(14, 5.0, RUNNING)]
    cost = ExpectedCost.of(Cost.of("learn", SPACE), SPACE, told + silent)
    assert not cost.known and isinstance(cost.prices, LearntPrices)
    account = cost.account(1e4, told + silent)
    assert account.spent == pytest.approx(sum(7.0 * t.params["x"] for t in told) + 70.0, rel=0.05)
    assert 35.0 < account.held < 60.0
    again = ExpectedCost.of(Cost.of("learn", SPACE), SPACE, told)
    assert again.prices.upper({"x": 5.0}) == pytest.approx(account.held, rel=0.1)


def test_before_any_cost_was_told_each_evaluation_costs_one():
    prices = LearntPrices(LearntCost(None), SPACE)
    account = Account.of(10.0, [trial(0, 3.0), trial(1, 9.0, RUNNING)], prices)
    assert (account.spent, account.held) == (1.0, 1.0)


def test_costs_beyond_the_largest_number_are_infinite():
    trials = [trial(i, 1.0, cost=1.7e308) for i in range(3)]
    account = Account.of(1.7e308, trials, KnownPrices(Cost.of(1.7e308, SPACE)))
    assert account.spent == math.inf and account.left == 0.0 and not account.affords(1e-9)
    learnt = ExpectedCost.of(Cost.of("learn", SPACE), SPACE, trials)
    assert 1e300 < learnt.cheapest(Region(SPACE), np.random.default_rng(0))[1] < math.inf


def test_the_cheapest_point_of_a_region():
    rng = np.random.default_rng(0)
    space = Space(x=bo.Float(0.0, 1.0), n=bo.Int(1, 9))
    cost = ExpectedCost.of(Cost.of(lambda x, n: 2.0 + (x - 0.3) ** 2 + n, space), space, [])
    x, least = cost.cheapest(Region(space), rng)
    assert space.from_unit(x)["n"] == 1 and least == pytest.approx(3.0, abs=1e-4)
    same = ExpectedCost.of(Cost.of(4.0, space), space, [])
    assert same.known and same.cheapest(Region(space), rng)[1] == pytest.approx(4.0)


def test_which_points_can_be_paid():
    cost = ExpectedCost.of(Cost.of(dear, SPACE), SPACE, [])
    account = cost.account(10.0, [trial(0, 4.0), trial(1, 1.0, RUNNING)])
    X = SPACE.to_units([{"x": x} for x in (0.5, 4.999, 5.0, 5.001, 10.0)])
    assert cost.can_be_paid(X, account).tolist() == [True, True, True, False, False]
    for x, paid in zip(X, cost.can_be_paid(X, account), strict=True):
        assert account.affords(cost.prices.upper(SPACE.from_unit(x))) == paid


@pytest.mark.parametrize("total", [0, -3.0, math.nan, math.inf])
def test_a_budget_is_positive(total):
    with pytest.raises(ValueError, match="`cost_budget` must be"):
        CostBudget(total, Cost())
    with pytest.raises(TypeError, match="`cost_budget` must be a number"):
        CostBudget("100", Cost())


def test_the_end_is_told_with_its_numbers():
    account = Account(100, 97.5, 0.0)
    assert str(account.used_up(5)) == (
        "The cost budget of 100 is used up: 97.5 spent, the cheapest evaluation costs 5."
    )
    text = str(Account(100, 90.0, 7.5).used_up(5, cheapest=False, known=False))
    assert "7.5 held for running evaluations, the next evaluation costs up to (95 %) 5" in text


# ---- searches


def asking(budget, store=None, cost=dear, noise=False):
    settings = Settings(
        space=SPACE, noise=noise, n_initial=1, seed=0, cost=cost, cost_budget=budget
    )
    return DataExchange(settings, Region(SPACE), Ledger(store))


def searched(study, fun=lambda x: x, n_evals=None, given=(), n_parallel=1):
    workers = workers_for(fun, Calling.of(SPACE), n_parallel, None, None)
    loop = LoopOfStudy(study, n_evals, list(given), None)
    return run_until_done(loop, workers, Progress(n_evals, 0, False), None)


def paid(study):
    return [dear(**t.params) for t in study.trials]


@pytest.fixture
def drawn(monkeypatch):
    """Points are drawn, and cost what they are."""

    def suggest(settings, trials, numbers, region):
        rng = np.random.default_rng([settings.seed, len(trials), *numbers])
        return [Suggestion({"x": float(rng.uniform(0.5, 10.0))}, "random") for _ in numbers]

    monkeypatch.setattr(ask_tell, "suggest", suggest)


def test_a_search_without_a_number_ends_with_its_budget(drawn):
    study = asking(40.0)
    why = searched(study)
    spent = sum(paid(study))
    assert 30.0 < spent <= 40.0
    assert why.startswith(f"The cost budget of 40 is used up: {spent:.6g} spent, the next ")
    assert all(t.state is COMPLETE for t in study.trials)
    assert searched(study) == why and sum(paid(study)) == spent  # again: nothing is left
    more = asking(60.0, study._ledger.store)
    searched(more)
    assert spent < sum(paid(more)) <= 60.0


def test_a_search_with_both_ends_with_what_comes_first(drawn):
    assert searched(asking(1000.0), n_evals=3) == ""
    assert searched(asking(20.0), n_evals=300).startswith("The cost budget of 20 is used up")


def test_failed_and_added_trials_have_been_paid(drawn):
    study = asking(30.0)
    study.add([{"x": 8.0}], [1.0])
    searched(study, fun=lambda x: 1.0 / 0.0 if x > 3.0 else x)
    states = {t.state for t in study.trials}
    assert states == {COMPLETE, FAILED} and 20.0 < sum(paid(study)) <= 30.0


def test_points_of_ones_own_are_begun_only_where_they_can_be_paid(drawn):
    study = asking(12.0)
    searched(study, given=[{"x": 6.0}, {"x": 9.0}, {"x": 5.5}])
    assert [t.params["x"] for t in study.trials] == [6.0, 5.5]


def test_asking_by_hand_ends_with_the_budget_too(drawn):
    study = asking(18.0)
    study.ask(params={"x": 9.0})
    with pytest.raises(BudgetSpent, match="0 spent, 9 held .* the next evaluation costs 10"):
        study.ask(params={"x": 10.0})
    together = study.ask(50)
    assert 1 <= len(together) < 50 and sum(paid(study)) <= 18.0
    with pytest.raises(BudgetSpent, match="The cost budget of 18 is used up"):
        while True:
            study.ask()
    assert 9.0 < sum(paid(study)) <= 18.0
    with pytest.raises(BudgetSpent):
        study.ask(3)


@pytest.mark.parametrize("batch", ["joint", "greedy"])
def test_points_chosen_together_are_paid_together(monkeypatch, batch):
    def suggest(settings, trials, numbers, region):
        return [Suggestion({"x": 2.0 + 0.1 * number}, "random") for number in numbers]

    monkeypatch.setattr(ask_tell, "suggest", suggest)
    study = asking(7.0)
    study._settings = replace(study._settings, policy=bo.Policy(batch=batch))
    assert [t.params["x"] for t in study.ask(6)] == [2.0, 2.1, 2.2]


def test_learnt_costs_of_points_chosen_together_are_held(monkeypatch):
    monkeypatch.setattr(
        "bayesopt.composition.maximize_jointly",
        lambda model, data, q, *args, **kwargs: np.linspace(0.1, 0.9, q)[:, None],
    )
    search = Search(effort=Effort(n_global=16, n_local=8, n_starts=1, max_calls=2))
    policy = bo.Policy(batch="joint", acquisition="ei", search=search)
    study = bo.Study(SPACE, cost="learn", cost_budget=4.5, policy=policy, n_initial=2, seed=0)
    study.add([{"x": x} for x in (2.0, 5.0, 8.0)], [Evaluation(x, cost=1.0) for x in (3, 1, 2)])
    assert len(study.ask(3)) == 1


def test_a_cost_that_is_none_ends_the_search_with_its_point(drawn):
    study = asking(10.0, cost=lambda x: -x)
    with pytest.raises(ValueError, match=r"`cost` at \{'x': .*must be positive"):
        searched(study)
    assert study.trials == []


class Asked:
    """Counts how often a point was chosen; ends when told that the budget is short."""

    def __init__(self, short):
        self.n, self.short = 0, short

    def __call__(self, settings, trials, numbers, region):
        self.n += 1
        if self.short(trials):
            raise BudgetSpent("The cost budget is used up.")
        return [Suggestion({"x": 1.0 + 0.01 * number}, "random") for number in numbers]


def test_running_trials_are_waited_for_since_they_may_cost_less(monkeypatch):
    # While two of them run, what is held for them leaves nothing for another one.
    asked = Asked(lambda trials: sum(t.state is RUNNING for t in trials) >= 2 or len(trials) >= 5)
    monkeypatch.setattr(ask_tell, "suggest", asked)
    study = asking(10.0, cost="learn", noise="auto")

    def slow(x):
        time.sleep(0.3)
        return x

    why = searched(study, fun=slow, n_parallel=3)
    assert why == "The cost budget is used up." and len(study.trials) == 5
    assert all(t.state is COMPLETE for t in study.trials)


def test_a_short_budget_is_reckoned_again_only_when_something_has_changed(monkeypatch, tmp_path):
    asked = Asked(lambda trials: any(t.state is RUNNING for t in trials))
    monkeypatch.setattr(ask_tell, "suggest", asked)
    stores = [Database(tmp_path / "runs.db", "s", {}) for _ in range(2)]
    mine, other = (asking(10.0, store, "learn") for store in stores)
    loop = LoopOfStudy(mine, None, [], None)
    first, theirs = loop.next_trial(), other.ask(params={"x": 2.0})
    for n in (2, 3):  # both run, then one of them has ended, and the other one after that
        for _ in range(3):
            with pytest.raises(BudgetSpent):
                loop.next_trial()
        assert asked.n == n
        if n == 2:
            loop.record(first.number, Evaluation(1.0))
    other.tell(theirs, 1.0)
    assert loop.next_trial() is not None and asked.n == 4


def test_trials_of_others_are_waited_for(monkeypatch, tmp_path):
    asked = Asked(lambda trials: any(t.state is RUNNING for t in trials) or len(trials) >= 2)
    monkeypatch.setattr(ask_tell, "suggest", asked)
    stores = [Database(tmp_path / "runs.db", "s", {}) for _ in range(2)]
    mine, other = (asking(10.0, store, "learn") for store in stores)
    theirs = other.ask(params={"x": 2.0})

    def tell_later():
        time.sleep(0.6)
        other.tell(theirs, 0.0)

    in_threads(tell_later, lambda: searched(mine))
    assert [t.params["x"] for t in mine.trials] == [2.0, 1.01]


def test_what_ends_while_a_point_is_chosen_is_not_overlooked(monkeypatch, tmp_path):
    stores = [Database(tmp_path / "runs.db", "s", {}) for _ in range(2)]
    mine, other = (asking(10.0, store, "learn") for store in stores)
    theirs = other.ask(params={"x": 2.0})

    def short(trials):
        if any(t.state is RUNNING for t in trials):
            other.tell(theirs, 0.0)  # now nobody holds anything, but that was not seen
            return True
        return len(trials) >= 2

    monkeypatch.setattr(ask_tell, "suggest", Asked(short))
    searched(mine)
    assert [t.params["x"] for t in mine.trials] == [2.0, 1.01]


@pytest.mark.parametrize("shared", [False, True])
def test_several_processes_do_not_spend_more_together(drawn, tmp_path, shared):
    memory = Memory()
    stores = [Database(tmp_path / "runs.db", "s", {}) if shared else memory for _ in range(3)]
    studies = [asking(35.0, store) for store in stores]
    in_threads(*(lambda s=study: searched(s) for study in studies))
    assert 25.0 < sum(paid(studies[0])) <= 35.0


def test_a_point_that_others_have_taken_the_money_of_is_not_begun(tmp_path):
    budget = CostBudget(10.0, Cost.of(dear, SPACE))
    first, second = (Ledger(Database(tmp_path / "runs.db", "s", {})) for _ in range(2))
    claim = first.claim()
    begun = second.take({"x": 6.0})
    dear_one = Trial(claim.number, {"x": 5.0}, origin="random")
    assert first.commit(claim, dear_one, True, budget) is None
    again = first.claim()
    assert again.number == claim.number and [t.number for t in again.known] == [begun.number]
    cheap_one = Trial(again.number, {"x": 4.0}, origin="random")
    assert first.commit(again, cheap_one, True, budget).params == {"x": 4.0}


# ---- the one call

QUICK = bo.Policy(acquisition="random")


def square(x):
    return (x - 3.0) ** 2


def test_an_evaluation_costs_one_unless_somebody_says_otherwise():
    result = bo.minimize(square, SPACE, cost_budget=12, policy=QUICK, seed=0)
    assert result.nfev == 12 and result.success
    assert "The cost budget of 12 is used up: 12 spent" in result.message


@pytest.mark.parametrize("n_parallel", [1, 3])
def test_the_sum_of_known_costs_never_exceeds_the_budget(n_parallel):
    spent = []

    def watch(study, trial):
        spent.append(sum(paid(study)))  # what runs included

    with ThreadPoolExecutor(n_parallel) as pool:
        bo.minimize(
            square,
            SPACE,
            cost=dear,
            cost_budget=30.0,
            policy=QUICK,
            n_parallel=n_parallel,
            executor=pool,
            callback=watch,
            seed=1,
        )
    assert 20.0 < max(spent) <= 30.0


def test_a_budget_for_not_a_single_evaluation():
    with pytest.raises(BudgetSpent, match="budget of 4 is used up: 0 spent, the .* costs 5"):
        bo.minimize(square, SPACE, cost=5.0, cost_budget=4.0, seed=0)
