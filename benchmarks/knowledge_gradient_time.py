"""CPU seconds that our knowledge gradient and BoTorch's take for a suggestion, on one thread.

Both get the same 50 noisy values of Hartmann's function in six dimensions, and a model with the
same hyperparameters: those of our fit. BoTorch's search is its tutorial's: 64 fantasies, 10
restarts, 512 raw samples, and the maximum of the posterior mean as the current value. The table is
without the fit; below it is a whole suggestion of ours, with it.

The points of both are also put to a judge, our acquisition over a report set around all of them:
what is fast should not be poor.
"""

from collections.abc import Callable
from time import process_time

import numpy as np
import torch
from botorch.acquisition import PosteriorMean, qKnowledgeGradient
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.means import ConstantMean
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.joint_search import maximize_jointly
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient, build
from bayesopt.acquisition.pending import noise_of_next
from bayesopt.acquisition.report_set import coefficients, extended
from bayesopt.data import Dataset, dataset
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import fit
from benchmarks import problems
from benchmarks.recommendation_traces import NamedPolicy
from benchmarks.report import markdown
from benchmarks.space import from_unit

PROBLEM = "hartmann6+noise0.25"
N = 50
N_FANTASIES = 64
_REPEATS = 3
_JUDGE_SAMPLES = 4096


def measure(repeats: int = _REPEATS) -> str:
    """The table, for one point and for four points at once."""
    study = _study(0).study
    data = dataset(study.space, study.trials, "minimize", "auto")
    model, _ = fit(data)
    twin = botorch_twin(model)
    rows = []
    for q in (1, 4):
        ours, mine = _timed(lambda q=q: _by_us(model, data, q), repeats)
        botorch, theirs = _timed(lambda q=q: _by_botorch(twin, q), 1)
        worth = _judged(model, data, [mine, theirs])
        ratio = f"{botorch / ours:.0f}"
        worths = [f"{w:.3g}" for w in worth]
        rows.append([str(q), f"{ours:.3f}", f"{botorch:.1f}", ratio, *worths])
    titles = ["points", "ours, s", "qKnowledgeGradient, s", "ratio"]
    table = markdown([*titles, "worth of ours", "worth of BoTorch's"], rows)
    asked = np.median([_ask_seconds(seed) for seed in range(repeats)])
    return f"{table}\n\nA whole `Study.ask`, fit included: {asked:.3f} s."


def botorch_twin(model: ExactGaussianProcess) -> SingleTaskGP:
    """BoTorch's model with our data and hyperparameters, the noise among them."""
    h = model.hyperparameters
    kernel = MaternKernel(2.5, ard_num_dims=model.X.shape[-1]).double()
    kernel.lengthscale = h.lengthscale
    scaled = ScaleKernel(kernel).double()
    scaled.outputscale = h.signal
    mean = ConstantMean().double()
    twin = SingleTaskGP(
        model.X, model.Y, covar_module=scaled, mean_module=mean, outcome_transform=None
    )
    twin.mean_module.constant = torch.tensor(float(h.mean), dtype=torch.float64)
    twin.likelihood.noise = torch.tensor(float(h.noise), dtype=torch.float64)
    return twin.eval().requires_grad_(False)


def _study(seed: int) -> NamedPolicy:
    problem = problems.get(PROBLEM)
    cube = np.random.default_rng(seed).random((N, len(problem.space)))
    points = [from_unit(problem.space, u) for u in cube.tolist()]
    values = [problem.observe(problem.value(p), seed, i) for i, p in enumerate(points)]
    study = NamedPolicy(problem, seed, "kg")
    study.add(points, values)
    return study


def _ask_seconds(seed: int) -> float:
    study = _study(seed)  # 50 trials: not the turn of the maximiser of the mean, every third
    start = process_time()
    study.ask()
    return process_time() - start


def _by_us(model: ExactGaussianProcess, data: Dataset, q: int) -> Tensor:
    best = model.X[model.marginals(model.X)[0].topk(5).indices].numpy()
    rng = np.random.default_rng(0)
    if q > 1:
        return torch.from_numpy(maximize_jointly(model, data, q, best, rng))
    X, _ = optimize.maximize(build(model, data), cube_of(data), best, rng)
    return torch.from_numpy(X[:1])


def _by_botorch(twin: SingleTaskGP, q: int) -> Tensor:
    torch.manual_seed(0)
    cube = torch.tensor([[0.0, 1.0]] * twin.train_inputs[0].shape[-1], dtype=torch.float64).T
    search = {"num_restarts": 10, "raw_samples": 512}
    _, best_mean = optimize_acqf(PosteriorMean(twin), cube, q=1, **search)
    acquisition = qKnowledgeGradient(twin, num_fantasies=N_FANTASIES, current_value=best_mean)
    X: Tensor = optimize_acqf(acquisition, cube, q=q, **search)[0]
    return X


def _timed(suggest: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    seconds = []
    for _ in range(repeats):
        start = process_time()
        X = suggest()
        seconds.append(process_time() - start)
    return float(np.median(seconds)), X


def _judged(model: ExactGaussianProcess, data: Dataset, suggested: list[Tensor]) -> list[float]:
    """Knowledge gradient of each, over report points that were looked for around all of them."""
    noise, region = noise_of_next(model, data), cube_of(data)
    A = build(model, data).A
    for X in suggested:
        A = extended(model, X, coefficients(model, noise, X, 256), region, A)
    judge = KnowledgeGradient(model, A, noise, log=False, n_samples=_JUDGE_SAMPLES)
    with torch.no_grad():
        return [float(judge(X.unsqueeze(0))) for X in suggested]
