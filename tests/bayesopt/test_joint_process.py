"""A process over design and role columns, and its target: golden values, limits, closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from joint_processes import (
    CASES,
    LINEAR,
    candidates,
    hyperparameters_of,
    joint_process,
    one,
    tensor,
)

from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient
from bayesopt.acquisition.pending import believe
from bayesopt.acquisition.target_knowledge_gradient import TargetKnowledgeGradient
from bayesopt.data import Dataset, Scaling
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.joint.covariance import Columns, Covariance
from bayesopt.models.joint.of_space import _integrals
from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.models.joint.regression import JointHyperparameters
from bayesopt.models.joint.structures import Environment, Sources, Tasks
from bayesopt.models.kernels import Features, kernel_named
from bayesopt.target import Target
from bayesopt.unit_law import UnitUniform

SIDE = torch.linspace(0, 1, 201, dtype=torch.float64)
GRID = torch.stack((SIDE, torch.zeros_like(SIDE)), dim=-1)
LINE = Columns([0], [1], Features(1))


def same(a, b, **tolerances):
    torch.testing.assert_close(a, b, **({"rtol": 0, "atol": 1e-9} | tolerances))


def line_process(structure, sought, X, Y, Yvar, *, scales, signals, role=(), laws=False):
    """An RBF process of one design column and one role column."""
    covariance = Covariance(
        kernel_named("rbf"),
        structure,
        1.0 / tensor(*scales)[:, None, None],
        tensor(*signals)[:, None, None],
        tensor(*role)[None, None],
        _integrals(sought) if laws else None,
    )
    k = structure.offsets(X[:1, 1:]).shape[-1]
    h = JointHyperparameters(
        covariance, 0.0, tensor(*[0.0] * k), tensor(*[0.0] * structure.n_noises)
    )
    return JointGaussianProcess(X, tensor(*Y)[:, None], tensor(*Yvar)[:, None], h, LINE, sought)


def gain(model, *at, A=GRID):
    return TargetKnowledgeGradient(model, A, log=False)(tensor(*at).unsqueeze(-2)).numpy()


# -- golden values ---------------------------------------------------------------------------------

TRUTH = tensor([0.1, 0.0], [0.4, 0.0], [0.75, 0.0])
CHEAP = tensor([0.3, 1.0], [0.6, 1.0])
Y_SOURCES = (0.2, 0.9, 0.5, 0.8, 1.1)


def two_sources(bias=0.2, noises=(0.01, 0.001)):
    return line_process(
        Sources(2, 0),
        one(0.0),
        torch.cat((TRUTH, CHEAP)),
        Y_SOURCES,
        [noises[0]] * 3 + [noises[1]] * 2,
        scales=(0.25, 0.2),
        signals=(1.0, bias),
    )


def test_golden_values_of_two_sources():
    value = gain(two_sources(), [0.55, 0.0], [0.55, 1.0])
    np.testing.assert_allclose(value, [0.03679566, 0.00301326], atol=6e-9)
    np.testing.assert_allclose(value / [50, 1], [0.00073591, 0.00301326], atol=6e-9)


X_RANDOM = tensor([0.1, 0.2], [0.4, 0.8], [0.75, 0.5], [0.5, 0.1])
Y_RANDOM = (0.2, 0.9, 0.5, 0.7)
MIDPOINTS = (torch.arange(400, dtype=torch.float64)[:, None] + 0.5) / 400


def under_conditions(sought, lengthscale=0.3, laws=False):
    return line_process(
        Environment(Features(1)),
        sought,
        X_RANDOM,
        Y_RANDOM,
        [0.01] * 4,
        scales=(0.25,),
        signals=(1.0,),
        role=(float(np.log(lengthscale)),),
        laws=laws,
    )


@pytest.mark.parametrize("laws", [False, True], ids=["400 nodes", "closed form"])
def test_golden_values_of_random_conditions(laws):
    sought = Target(MIDPOINTS, torch.full((400,), 1 / 400, dtype=torch.float64))
    if laws:
        sought = replace(one(0.5), laws=(UnitUniform(0.0, 1.0),))
    model = under_conditions(sought, laws=laws)
    value = gain(model, [0.55, 0.5], [0.55, 0.95], [0.9, 0.5])
    np.testing.assert_allclose(value, [0.03229864, 0.04851780, 0.05546068], atol=1e-7)
    mean = model.target.marginals(GRID)[0]
    assert float(GRID[mean.argmax(), 0]) == pytest.approx(0.465)
    assert float(mean.max()) == pytest.approx(0.78191845, abs=6e-9 if laws else 1e-6)


# -- limits ----------------------------------------------------------------------------------------


def plain_process(X, Y, Yvar, lengthscale):
    h = Hyperparameters(tensor(*lengthscale), 0.0, 0.0, kernel="rbf")
    return ExactGaussianProcess(X, tensor(*Y)[:, None], tensor(*Yvar)[:, None], h)


def test_one_source_is_a_plain_process_with_a_plain_knowledge_gradient():
    model = line_process(
        Sources(1, 0), one(0.0), TRUTH, Y_SOURCES[:3], [0.01] * 3, scales=[0.25], signals=[1.0]
    )
    plain = plain_process(TRUTH[:, :1], Y_SOURCES[:3], [0.01] * 3, [0.25])
    at = SIDE[::7, None]
    for ours in (model, model.target):
        for a, b in zip(ours.marginals(GRID[::7]), plain.marginals(at), strict=True):
            same(a, b)
    expected = KnowledgeGradient(plain, GRID[:, :1], 0.01, with_candidate=False, log=False)
    np.testing.assert_allclose(
        gain(model, *GRID[::7].tolist()), expected(at.unsqueeze(1)), atol=1e-10
    )


def test_a_law_of_one_point_is_a_plain_process_over_all_columns():
    model = under_conditions(one(0.4))
    plain = plain_process(X_RANDOM, Y_RANDOM, [0.01] * 4, [0.25, 0.3])
    A = torch.stack((SIDE, torch.full_like(SIDE, 0.4)), dim=-1)
    for a, b in zip(model.target.marginals(GRID), plain.marginals(A), strict=True):
        same(a, b)
    X = tensor([0.55, 0.5], [0.2, 0.95])
    expected = KnowledgeGradient(plain, A, 0.01, with_candidate=False, log=False)(X.unsqueeze(1))
    np.testing.assert_allclose(gain(model, *X.tolist()), expected, atol=1e-10)


@pytest.mark.parametrize("laws", [False, True], ids=["nodes", "closed form"])
def test_conditions_that_do_nothing_leave_a_plain_process_of_the_design(laws):
    sought = Target(MIDPOINTS[::20], torch.full((20,), 1 / 20, dtype=torch.float64))
    if laws:
        sought = replace(one(0.5), laws=(UnitUniform(0.0, 1.0),))
    model = under_conditions(sought, 1e7, laws)
    plain = plain_process(X_RANDOM[:, :1], Y_RANDOM, [0.01] * 4, [0.25])
    for a, b in zip(model.target.marginals(GRID), plain.marginals(SIDE[:, None]), strict=True):
        same(a, b)
    expected = KnowledgeGradient(plain, SIDE[:, None], 0.01, with_candidate=False, log=False)
    value = gain(model, [0.55, 0.1], [0.55, 0.9])
    np.testing.assert_allclose(value, float(expected(tensor([[0.55]]))), atol=1e-9)


def test_sources_without_bias_are_equal_and_those_with_any_bias_are_worthless():
    equal = gain(two_sources(bias=1e-16, noises=(0.01, 0.01)), [0.55, 0.0], [0.55, 1.0])
    assert equal[0] == pytest.approx(equal[1], rel=1e-9, abs=0.0) and equal[0] > 1e-5
    far = [gain(two_sources(bias=bias), [0.55, 1.0])[0] for bias in (1e2, 1e4, 1e6)]
    assert far[0] > far[1] > far[2] >= 0.0 and far[2] < 1e-6
    worthless, alone = (
        two_sources(bias=1e9),
        plain_process(TRUTH[:, :1], Y_SOURCES[:3], [0.01] * 3, [0.25]),
    )
    same(worthless.target.marginals(GRID)[0], alone.marginals(GRID[:, :1])[0], atol=1e-6)


# -- structures ------------------------------------------------------------------------------------


def written_out(name, h, r1, r2):
    """The factors G_t of two points' role columns, as the notation has them."""
    structure, (a, b) = CASES[name].structure, (float(r1[0]), float(r2[0]))
    h = h.tolist()
    if name == "sources":
        return [1.0, a == b == 0.5, a == b == 1.0]
    if name == "groups":
        s, t = round(3 * a), round(3 * b)
        return [1.0, s == t == 0, s == t == 2, s == t == 3, {s, t} <= {0, 2}]
    if name == "increments":
        return [1.0, max(a, b) <= 0.5, max(a, b) == 0.0]
    if name.startswith("decay"):
        far = max(structure.target, 1 - structure.target)
        u1, u2 = abs(a - structure.target) / far, abs(b - structure.target) / far
        return [1.0, (u1 * u2) ** np.exp(h[0]) * np.exp(-((a - b) ** 2) / 2 / np.exp(h[1]) ** 2)]
    if name == "accuracy":
        return [1.0]
    if name.endswith("tasks"):
        L = np.array([[1, 0, 0], [h[3], 1, 0], [h[4], h[5], 1]])
        L /= np.linalg.norm(L, axis=1)[:, None]
        sd = np.exp(h[:3])
        i, j = round(2 * a), round(2 * b)
        return [sd[i] * sd[j] * L[i] @ L[j]]
    k = np.exp(-((a - b) ** 2) / 2 / np.exp(h[0]) ** 2)
    if len(h) == 1:
        return [k]
    return [k * (1.0 if r1[1] == r2[1] else np.exp(-0.5 / np.exp(h[1]) ** 2))]


@pytest.mark.parametrize("name", CASES)
def test_factors_are_those_of_the_notation(name):
    case = CASES[name]
    of = hyperparameters_of(case).covariance
    r = candidates(name, 12)[:, case.columns.role]
    if name.startswith("decay"):
        r[0], r[1] = case.structure.target, 0.0
    factors = case.structure.factors(of.role, r[:5], r)
    assert len(factors) == case.structure.n_terms
    expected = [[written_out(name, of.role[0, 0], a, b) for b in r] for a in r[:5]]
    for t, G in enumerate(factors):
        same(G, tensor(*expected)[..., t])


@pytest.mark.parametrize("name", CASES)
def test_every_covariance_is_positive_semidefinite(name):
    case, X = CASES[name], candidates(name, 40)
    of = hyperparameters_of(case, seed=3).covariance
    points = case.columns.points(X)
    targets = case.columns.targets(X[:10], case.sought.nodes, case.sought.weights[None])
    cross = of.between(points, targets)
    together = torch.cat(
        (
            torch.cat((of.between(points, points), cross), dim=1),
            torch.cat((cross.mT, of.between(targets, targets)), dim=1),
        )
    )
    same(together, together.mT, atol=1e-12)
    assert float(torch.linalg.eigvalsh(together)[0]) > -1e-10
    variances = torch.cat((of.variance(points), of.variance(targets)))
    same(together.diagonal(), variances, atol=1e-12)
    same(of.between(targets, points), cross.mT, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in LINEAR if name not in ("uniform", "normal")])
def test_rows_of_the_target_are_weighted_sums_of_rows_of_points(name):
    case, X = CASES[name], candidates(name, 5)
    of, model = hyperparameters_of(case).covariance, joint_process(name)
    w = case.sought.weights
    at_nodes = case.columns.points(model.target.at_nodes(X))
    points = case.columns.points(candidates(name, 7, seed=6))
    targets = case.columns.targets(X, case.sought.nodes, w[None])
    same(of.between(targets, points), torch.einsum("k,bkm->bm", w, of.between(at_nodes, points)))
    variance = torch.einsum("k,bkl,l->b", w, of.between(at_nodes, at_nodes), w)
    same(of.variance(targets), variance)


def test_offsets_vanish_at_the_target_and_noise_is_that_of_the_group():
    for name in ("sources", "groups", "increments", "decay", "decay inside"):
        case = CASES[name]
        assert not case.structure.offsets(case.sought.nodes).any()
        assert case.structure.offsets(candidates(name, 9)[:, 1:2]).any()
    for name, noises in (("sources", [0.01, 0.02, 0.03]), ("tasks", [0.01, 0.02, 0.03])):
        X = tensor([0.3, 0.0, 0.5], [0.3, 0.5, 0.5], [0.3, 1.0, 0.5])
        same(joint_process(name).noise_at(X), tensor(*noises))
    model = joint_process("accuracy")
    c = float(model.hyperparameters.covariance.role.exp())
    at = model.noise_at(tensor([0.3, 1.0, 0.5], [0.3, 0.5, 0.5], [0.9, 0.0, 0.1]))
    same(at, tensor(0.01, 0.01 + c / 4, 0.01 + c))
    same(model.target.noise_at(at.new_zeros(2, 4, 3)), torch.full((2, 4), 0.01, dtype=at.dtype))
    assert not joint_process("environment").target.noise_at(at.new_zeros(2, 4)).any()


def test_of_known_noises_the_next_one_is_that_of_its_source():
    same(two_sources().noise_at(tensor([[0.2, 0.0], [0.2, 1.0]])), tensor([0.01, 0.001]))
    same(two_sources().target.noise_at(tensor([0.2, 1.0])), tensor(0.01))
    only_truth = line_process(
        Sources(2, 0),
        one(0.0),
        TRUTH,
        Y_SOURCES[:3],
        [0.01, 0.02, 0.06],
        scales=[1, 1],
        signals=[1, 1],
    )
    same(only_truth.noise_at(tensor([0.2, 0.0], [0.2, 1.0])), tensor(0.03, 0.03))


def test_one_task_needs_no_correlation():
    tasks = Tasks(1, (2.0,))
    assert len(tasks.learnt) == 1 and tasks.offsets(tensor([[0.0]])).shape == (1, 1, 0)
    same(tasks.covariance(tensor(0.3)), tensor([float(np.exp(0.6))]))


# -- the posterior ---------------------------------------------------------------------------------


def dense_moments(model, sites, nodes=None):
    """Mean and covariance at X (m, d) by solving with the whole matrix."""
    of, h = model.hyperparameters.covariance, model.hyperparameters
    K = of.between(model.observed, model.observed) + torch.diag(model.noise_at(model.X))
    k = of.between(sites, model.observed)
    structure = of.structure
    residual = model.Y.squeeze(-1) - h.mean - structure.offsets(model.observed.r) @ h.offsets
    mean = h.mean + structure.offsets(sites.r) @ h.offsets + k @ torch.linalg.solve(K, residual)
    return mean, of.between(sites, sites) - k @ torch.linalg.solve(K, k.T)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("kernel", ["matern52", "rbf"])
def test_moments_are_those_of_the_whole_matrix(name, kernel):
    model, X = joint_process(name, kernel), candidates(name, 6)
    mean, covariance = dense_moments(model, model.columns.points(X))
    posterior = model.posterior(X)
    same(posterior.mean.squeeze(-1), mean)
    same(posterior.distribution.covariance_matrix, covariance)
    for a, b in zip(model.marginals(X), (mean, covariance.diagonal()), strict=True):
        same(a, b)
    beside, weights = model.beside(X)
    same(model.marginals_and_covariances(X, weights, beside)[2], covariance)


@pytest.mark.parametrize("name", LINEAR)
def test_the_target_is_a_sum_over_its_nodes(name):
    """By a posterior of f at all nodes; of a law by a fine quadrature."""
    model, X = joint_process(name), candidates(name, 4)
    target, sought = model.target, model.sought
    if sought.laws:
        law, u = sought.laws[0], (torch.arange(800, dtype=torch.float64) + 0.5) / 800
        nodes = 10.0 * u - 4.5 if not isinstance(law, UnitUniform) else 0.1 + 0.7 * u
        w = torch.full_like(u, 1 / 800)
        if not isinstance(law, UnitUniform):
            w = torch.exp(-0.5 * ((nodes - law.mean) / law.sd) ** 2)
        sought = Target(nodes[:, None], w / w.sum())
    at = X.unsqueeze(-2).repeat(1, len(sought.nodes), 1)
    at[..., model.columns.role] = sought.nodes
    mean, covariance = dense_moments(model, model.columns.points(at.reshape(-1, at.shape[-1])))
    W = torch.block_diag(*[sought.weights[None]] * len(X))
    exact, tolerance = W @ covariance @ W.T, 1e-6 if model.sought.laws else 1e-9
    posterior = target.posterior(X)
    same(posterior.mean.squeeze(-1), W @ mean, atol=tolerance)
    same(posterior.distribution.covariance_matrix, exact, atol=tolerance)
    for a, b in zip(target.marginals(X), (W @ mean, exact.diagonal()), strict=True):
        same(a, b, atol=tolerance)


@pytest.mark.parametrize("name", LINEAR)
def test_covariances_of_points_and_target_are_those_of_one_process(name):
    model, A, X = joint_process(name), candidates(name, 5), candidates(name, 7, seed=8)
    sites, weights = model.beside_target(A)
    covariance = model.marginals_and_covariances(X, weights, sites)[2]
    k = model.hyperparameters.covariance.between(model.columns.points(X), model.observed)
    prior = model.hyperparameters.covariance.between(model.columns.points(X), sites.parts[-1])
    same(covariance, prior - k @ weights)
    beside, of_values = model.target.beside_values(X)
    same(model.target.marginals_and_covariances(A, of_values, beside)[2], covariance.T)
    with_own = model.marginals_and_covariances(X, *reversed(model.beside_target(X)))[2].diagonal()
    same(model.with_target(X), with_own)
    if model.sought.is_one and not model.sought.laws:
        at_node = model.target.at_nodes(A)[..., 0, :]
        joint = model.posterior(torch.cat((X, at_node))).distribution.covariance_matrix
        same(covariance, joint[: len(X), len(X) :])


@pytest.mark.parametrize("name", CASES)
def test_role_columns_of_a_target_are_not_looked_at(name):
    target, X = joint_process(name).target, candidates(name, 5)
    other = X.clone()
    other[:, target.columns.role] = 0.0
    for a, b in zip(target.marginals(X), target.marginals(other), strict=True):
        assert torch.equal(a, b)


# -- more observations, batches, gradients ---------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("noise", ["inferred", "known"])
def test_conditioning_is_a_fit_to_all_data_with_the_same_hyperparameters(name, noise):
    model, X = joint_process(name, noise=noise), candidates(name, 2, seed=7)
    Y = tensor([0.4], [-0.1])
    new = torch.full_like(Y, torch.nan) if noise == "inferred" else model.noise_at(X)[:, None]
    for given in (None, tensor([0.2], [0.3])):
        ours = model.condition_on_observations(X, Y, noise=given)
        whole = JointGaussianProcess(
            torch.cat((model.X, X)),
            torch.cat((model.Y, Y)),
            torch.cat((model.Yvar, new if given is None else given)),
            model.hyperparameters,
            model.columns,
            model.sought,
        )
        at = candidates(name, 4, seed=9)
        same(ours.posterior(at).mean, whole.posterior(at).mean)
        target = model.target.condition_on_observations(X, Y, noise=given)
        for a, b in zip(target.marginals(at), whole.target.marginals(at), strict=True):
            same(a, b)


@pytest.mark.parametrize("name", CASES)
def test_running_evaluations_that_are_believed_to_return_the_mean_leave_it(name):
    model, X = joint_process(name), candidates(name, 3, seed=7)
    data = Dataset(model.X, model.Y, model.Yvar, (), Scaling(1.0, 1.0, 0.0, 1.0))
    believed, at = believe(model, data, X), candidates(name, 6, seed=9)
    same(believed.marginals(at)[0], model.marginals(at)[0])
    assert (believed.marginals(at)[1] < model.marginals(at)[1]).all()


@pytest.mark.parametrize("name", CASES)
def test_batches_are_their_points_one_by_one(name):
    model, X = joint_process(name), candidates(name, 2, 3, 4)
    for of in (model, model.target):
        mean, variance = of.marginals(X)
        assert mean.shape == variance.shape == (2, 3, 4)
        posterior = of.posterior(X)
        assert posterior.mean.shape == (2, 3, 4, 1)
        same(posterior.mean.squeeze(-1), mean)
        same(posterior.variance.squeeze(-1), variance)
        alone = of.posterior(X[1, 2])
        same(posterior.distribution.covariance_matrix[1, 2], alone.distribution.covariance_matrix)
        assert of.noise_at(X).shape == (2, 3, 4)
        noisy = of.posterior(X, observation_noise=True).variance.squeeze(-1)
        same(noisy, variance + of.noise_at(X))


def central_differences(f, X, columns, step=1e-5):
    """Derivatives (len(columns), *) of f in columns of X (b, d)."""
    slopes = []
    for column in columns:
        up, down = X.clone(), X.clone()
        up[:, column] += step
        down[:, column] -= step
        slopes.append((f(up) - f(down)) / (2 * step))
    return torch.stack(slopes)


def real_columns(name):
    """Columns that derivatives are taken in."""
    return [
        j for j in range(CASES[name].d) if j not in [column for column, _ in CASES[name].lattice]
    ]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("of_target", [False, True], ids=["f", "target"])
def test_gradients_of_marginals_are_finite_differences(name, of_target):
    X, real = candidates(name, 5), real_columns(name)
    of = joint_process(name).target if of_target else joint_process(name)
    mean, variance, *slopes = of.marginals_with_gradients(X)
    for moment, (value, slope) in enumerate(zip((mean, variance), slopes, strict=True)):
        same(value, of.marginals(X)[moment], atol=1e-12)
        if of_target and moment == 1 and name not in LINEAR:
            continue  # its variance is of the first order, and so is the slope of that
        expected = central_differences(lambda X, i=moment: of.marginals(X)[i], X, real)
        same(slope[:, real].T, expected, atol=2e-7)


def test_lengthscales_are_told_by_column():
    model = joint_process("environment")
    of = model.hyperparameters.covariance
    expected = {0: 1 / of.inverse_scale[0, 0, 0], 3: 1 / of.inverse_scale[0, 0, 1]}
    expected |= {1: of.role[0, 0, 0].exp(), 2: of.role[0, 0, 1].exp()}
    assert model.lengthscales == pytest.approx({j: float(scale) for j, scale in expected.items()})
    assert set(joint_process("tasks").lengthscales) == {0, 2}
