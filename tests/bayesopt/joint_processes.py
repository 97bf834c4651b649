"""Small processes over design and role columns, of every structure, with given hyperparameters."""

from dataclasses import dataclass, replace

import torch
from processes import points

from bayesopt.models.joint.covariance import Columns, Covariance
from bayesopt.models.joint.of_space import _integrals
from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.models.joint.regression import JointHyperparameters
from bayesopt.models.joint.structure import Structure
from bayesopt.models.joint.structures import (
    Accuracy,
    Decay,
    Environment,
    Increments,
    Sources,
    Tasks,
)
from bayesopt.models.joint.warp import Warp
from bayesopt.models.kernels import Features, kernel_named
from bayesopt.target import Target
from bayesopt.unit_law import UnitNormal, UnitUniform


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """A structure, (column, number of values) of role columns on a lattice, and what is sought."""

    structure: Structure
    lattice: tuple[tuple[int, int], ...]
    sought: Target
    warped: bool = False

    @property
    def columns(self):
        """The design lies on both sides of the role columns."""
        c = self.sought.nodes.shape[1]
        return Columns([0, c + 1], list(range(1, c + 1)), Features(2))

    @property
    def d(self):
        return 2 + self.sought.nodes.shape[1]


def one(value):
    return Target(tensor([value]), tensor(1.0))


def several(*nodes, weights, level=None):
    return Target(tensor(*nodes), tensor(*weights), level)


MIXED = Environment(Features(2, ((1, 3),)))
MIXED_NODES = several([0.2, 0.0], [0.9, 0.5], [0.4, 1.0], [0.6, 0.5], weights=(0.1, 0.4, 0.3, 0.2))
ONE = Environment(Features(1))
UNIFORM = Target(tensor([0.5]), tensor(1.0), None, (UnitUniform(0.1, 0.8),))

CASES = {
    "sources": Case(Sources(3, 0), ((1, 3),), one(0.0)),
    "groups": Case(Sources(4, 1, ((0, 2),)), ((1, 4),), one(1 / 3)),
    "increments": Case(Increments((1.0, 0.5, 0.0)), ((1, 3),), one(1.0)),
    "decay": Case(Decay(1.0), (), one(1.0)),
    "decay inside": Case(Decay(0.3), (), one(0.3)),
    "accuracy": Case(Accuracy(1.0), (), one(1.0)),
    "tasks": Case(Tasks(3, (1.0, 2.0, 0.5)), ((1, 3),), one(0.5)),
    "all tasks": Case(
        Tasks(3, (1.0, 2.0, 0.5)),
        ((1, 3),),
        several([0.0], [0.5], [1.0], weights=(1 / 3, 1 / 3, 1 / 3)),
    ),
    "environment": Case(MIXED, ((2, 3),), MIXED_NODES),
    "uniform": Case(ONE, (), UNIFORM),
    "normal": Case(ONE, (), replace(UNIFORM, laws=(UnitNormal(0.4, 0.2),))),
    "tail": Case(MIXED, ((2, 3),), replace(MIXED_NODES, level=0.7)),
    "warped": Case(MIXED, ((2, 3),), MIXED_NODES, warped=True),
}
LINEAR = [name for name in CASES if name not in ("tail", "warped")]


def hyperparameters_of(case, kernel="matern52", warp=None, seed=0):
    """Values that differ from one another, of everything that there is."""
    structure, T = case.structure, case.structure.n_terms
    drawn = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    role = (
        torch.stack([p.centre + 0.4 * p.sd * drawn[j] for j, p in enumerate(structure.learnt)])
        if structure.learnt
        else tensor()
    )
    signal = 1.0 / torch.arange(1, T + 1, dtype=torch.float64)
    covariance = Covariance(
        kernel_named(kernel),
        structure,
        (2.0 + 3.0 * drawn[: 2 * T]).reshape(T, 1, 2),
        signal[:, None, None],
        role[None, None, :],
        _integrals(case.sought),
    )
    k = structure.offsets(tensor([0.0] * case.sought.nodes.shape[1])).shape[-1]
    noise = 0.01 * torch.arange(1, structure.n_noises + 1, dtype=torch.float64)
    return JointHyperparameters(covariance, 0.2, 0.3 + drawn[:k], noise, warp)


def observations(case, n=9, noise="inferred", seed=1):
    """X (n, d), Y (n, 1) and Yvar (n, 1)."""
    X = points(n, case.d, categories=case.lattice, seed=seed)
    Y = torch.sin(4.0 * X.sum(-1, keepdim=True)) + X[:, :1]
    Yvar = torch.full_like(Y, torch.nan)
    if noise == "known":
        Yvar = torch.linspace(0.01, 0.05, n, dtype=torch.float64).unsqueeze(-1)
    return X, Y, Yvar


def joint_process(name, kernel="matern52", noise="inferred", n=9):
    case = CASES[name]
    X, Y, Yvar = observations(case, n, noise)
    warp = None
    if case.warped:
        warp = Warp.of(Y.squeeze(-1), tensor(-0.5))
        Y = warp.latent(Y.squeeze(-1)).unsqueeze(-1)
    h = hyperparameters_of(case, kernel, warp)
    return JointGaussianProcess(X, Y, Yvar, h, case.columns, case.sought)


def candidates(name, *shape, seed=5):
    case = CASES[name]
    return points(*shape, case.d, categories=case.lattice, seed=seed)
