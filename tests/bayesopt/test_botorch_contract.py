"""The exact Gaussian process under botorch's acquisitions: they work, and agree with SingleTaskGP.

Gradients are held against finite differences and not against SingleTaskGP, whose conditioned
models drop a part of the gradient in X.
"""

import warnings
from contextlib import contextmanager

import botorch.acquisition as ba
import pytest
import torch
from botorch.acquisition.analytic import LogProbabilityOfImprovement
from botorch.acquisition.joint_entropy_search import qJointEntropySearch
from botorch.exceptions.warnings import NumericsWarning
from botorch.generation import MaxPosteriorSampling
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.model import Model, ModelList
from botorch.optim import optimize_acqf, optimize_acqf_mixed
from botorch.sampling import SobolQMCNormalSampler
from botorch_twin import twin_of
from processes import KERNELS, MIXED, NOISES, points, process

BEST = 0.7
UNIT = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)


def sampler(n=32):
    return SobolQMCNormalSampler(torch.Size([n]), seed=1)


def one_shot_knowledge_gradient(model):
    return ba.qKnowledgeGradient(model, num_fantasies=None, sampler=sampler(4))


def two_steps_ahead(model):
    return ba.qMultiStepLookahead(model, batch_sizes=[1], samplers=[sampler(2)])


def joint_entropy_search(model):
    optima = points(6, 2, seed=20)
    return qJointEntropySearch(model, optima, torch.linspace(1, 2, 6).double().unsqueeze(-1))


# name: (points asked jointly, acquisition on a model)
ACQUISITIONS = {
    "EI": (1, lambda m: ba.ExpectedImprovement(m, BEST)),
    "LogEI": (1, lambda m: ba.LogExpectedImprovement(m, BEST)),
    "PI": (1, lambda m: ba.ProbabilityOfImprovement(m, BEST)),
    "LogPI": (1, lambda m: LogProbabilityOfImprovement(m, BEST)),
    "UCB": (1, lambda m: ba.UpperConfidenceBound(m, 2.0)),
    "mean": (1, lambda m: ba.PosteriorMean(m)),
    "sd": (1, lambda m: ba.PosteriorStandardDeviation(m)),
    "qEI": (3, lambda m: ba.qExpectedImprovement(m, BEST, sampler())),
    "qLogEI": (3, lambda m: ba.qLogExpectedImprovement(m, BEST, sampler())),
    "qLogEI pending": (
        2,
        lambda m: ba.qLogExpectedImprovement(m, BEST, sampler(), X_pending=points(3, 2, seed=21)),
    ),
    "qNEI": (
        2,
        lambda m: ba.qNoisyExpectedImprovement(
            m, points(4, 2, seed=22), sampler(), cache_root=False, prune_baseline=True
        ),
    ),
    "qLogNEI": (
        2,
        lambda m: ba.qLogNoisyExpectedImprovement(
            m, points(4, 2, seed=22), sampler(), cache_root=False
        ),
    ),
    "qPI": (2, lambda m: ba.qProbabilityOfImprovement(m, BEST, sampler(), tau=0.1)),
    "qUCB": (3, lambda m: ba.qUpperConfidenceBound(m, 2.0, sampler())),
    "qSR": (3, lambda m: ba.qSimpleRegret(m, sampler())),
    "qKG": (6, one_shot_knowledge_gradient),
    "two steps": (3, two_steps_ahead),
    "MES": (1, lambda m: ba.qMaxValueEntropy(m, points(50, 2, seed=23), num_fantasies=4)),
    "GIBBON": (1, lambda m: ba.qLowerBoundMaxValueEntropy(m, points(50, 2, seed=23))),
    "JES": (2, joint_entropy_search),
    "qNIPV": (2, lambda m: ba.qNegIntegratedPosteriorVariance(m, points(20, 2, seed=24))),
}


@contextmanager
def botorch_may_advise():
    """botorch recommends the logarithm whenever somebody builds a plain EI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericsWarning)
        yield


def built(name, model):
    torch.manual_seed(0)
    with botorch_may_advise():
        return ACQUISITIONS[name][1](model)


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize(
    ("correlation", "signal", "noise"), [("rbf", 1.0, "inferred"), ("matern52", 1.7, "known")]
)
def test_values_agree_with_single_task_gp(name, correlation, signal, noise):
    if name == "JES":
        noise = "known"  # SingleTaskGP with an inferred noise ignores that optima are noise-free
    model = process(correlation, noise, signal)
    X = points(5, ACQUISITIONS[name][0], 2, seed=25)
    with torch.no_grad():
        ours, theirs = built(name, model)(X), built(name, twin_of(model))(X)
    assert ours.shape == (5,)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("correlation", KERNELS)
def test_gradients_agree_with_finite_differences(name, correlation):
    acquisition = built(name, process(correlation, "inferred", 1.3))
    X = points(4, ACQUISITIONS[name][0], 2, seed=26).requires_grad_()
    (gradient,) = torch.autograd.grad(acquisition(X).sum(), X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(4):
            direction = torch.randn(*X.shape, dtype=torch.float64, generator=generator)
            ahead, behind = acquisition(X + 1e-6 * direction), acquisition(X - 1e-6 * direction)
            expected = (gradient * direction).sum((-2, -1))
            torch.testing.assert_close((ahead - behind) / 2e-6, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("noise", NOISES)
def test_every_noise_and_categories_work(name, noise):
    """Finite values and gradients, far from the data, next to it and on it; no warning."""
    model = process(noise=noise, categories=((1, 3),), d=2)
    X = points(4, ACQUISITIONS[name][0], 2, categories=((1, 3),), seed=27)
    if not (name == "JES" and noise == "exact"):  # the entropy of a known value is minus infinity
        X[0], X[1], X[2] = model.X[0], model.X[1] + 1e-7, 0.5
    X.requires_grad_()
    value = built(name, model)(X)
    (gradient,) = torch.autograd.grad(value.sum(), X)
    assert value.isfinite().all()
    assert gradient.isfinite().all()


def test_noisy_improvement_works_with_its_defaults():
    model = process()
    torch.manual_seed(0)
    plain = ba.qLogNoisyExpectedImprovement(model, model.X, prune_baseline=True)
    torch.manual_seed(0)
    slow = ba.qLogNoisyExpectedImprovement(model, model.X, prune_baseline=True, cache_root=False)
    X = points(4, 2, 2, seed=32)
    assert plain(X).isfinite().all()
    torch.testing.assert_close(plain(X), slow(X), rtol=0.2, atol=0.2)


def test_knowledge_gradient_solves_its_inner_problem():
    """`evaluate` searches for the best fantasised mean; the one-shot value can only be lower."""
    torch.manual_seed(0)
    knowledge_gradient = one_shot_knowledge_gradient(process())
    X = points(2, 5, 2, seed=28)
    solved = knowledge_gradient.evaluate(X[:, :1], bounds=UNIT, num_restarts=4, raw_samples=32)
    assert (knowledge_gradient(X) <= solved + 1e-8).all()


@pytest.mark.parametrize("name", ["LogEI", "qLogNEI", "qKG"])
def test_optimize_acqf_finds_what_it_finds_on_single_task_gp(name):
    model = process("rbf", "known")
    q = 1 if name == "qKG" else ACQUISITIONS[name][0]
    found = []
    for gp in (model, twin_of(model)):
        acquisition = built(name, gp)
        torch.manual_seed(1)
        found.append(optimize_acqf(acquisition, UNIT, q, num_restarts=3, raw_samples=32))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-6, atol=1e-8)


def test_optimize_acqf_mixed_works_with_categories():
    model = process(categories=MIXED)
    fixed = [{1: a, 3: b} for a in (0.0, 0.5, 1.0) for b in (0.0, 1.0)]
    bounds = UNIT[:, :1].expand(2, 4)
    X, value = optimize_acqf_mixed(
        ba.UpperConfidenceBound(model, 2.0), bounds, 1, 2, fixed, raw_samples=16
    )
    acquisition = ba.UpperConfidenceBound(model, 2.0)
    many = points(2000, 1, 4, categories=MIXED, seed=29)
    assert float(value) >= float(acquisition(many).max()) - 1e-6
    assert X[0, 1] * 2 in (0, 1, 2) and X[0, 3] in (0, 1)


def test_thompson_sampling_works():
    torch.manual_seed(0)
    model = process(noise="exact")
    X = torch.cat((model.X, points(40, 2, seed=30)))
    chosen = MaxPosteriorSampling(model, replacement=False)(X, num_samples=5)
    assert chosen.shape == (5, 2)
    best_known = model.X[model.Y.argmax()]
    assert all(bool((row == X).all(-1).any()) for row in chosen)
    assert (chosen - best_known).norm(dim=-1).median() < 0.7


def test_it_stands_in_a_model_list():
    one, other = process("rbf"), process("matern52")
    X = points(3, 2, 2, seed=31)
    ours = ModelList(one, other).posterior(X)
    theirs = ModelListGP(twin_of(one), twin_of(other)).posterior(X)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=0, atol=1e-8)
    torch.testing.assert_close(ours.variance, theirs.variance, rtol=0, atol=1e-8)


def test_it_is_a_botorch_model():
    model = process()
    assert isinstance(model, Model) and not isinstance(model, SingleTaskGP)
    assert (model.num_outputs, model.batch_shape) == (1, torch.Size())
    assert not model.training
