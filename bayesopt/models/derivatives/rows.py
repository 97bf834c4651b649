"""Observations of values and partial derivatives, one number a row.

Notation
--------
n, N, d     points, rows, columns
X           (*B, N, d) the point of each row
w, D        (N,), (N, d): a row observes w f(x) + D' grad f(x); a value is w = 1, D = 0, the partial
            derivative in column j is w = 0, D = e_j
y, noise    (*B, N) what was observed, and variances of its noise

Points with all, some or no partial derivatives are rows alike. Slopes are in units of the unit cube
and of scores; columns of categories have none.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from jaxtyping import Int as Indices
from torch import Tensor

from bayesopt.models.derivatives.kernels import Functionals
from bayesopt.models.exact import Hyperparameters
from bayesopt.models.kernels import Features


@dataclass(frozen=True)
class HyperparametersWithSlopes(Hyperparameters):
    """What a fit to values and slopes chooses.

    Parameters
    ----------
    slope_noise
        Variance of the noise of a partial derivative whose own is not known.
    """

    slope_noise: float = 0.0


@dataclass(frozen=True)
class Rows:
    """Observations, one value or one partial derivative a row.

    Parameters
    ----------
    X
        (*B, N, d) points of the unit cube.
    weight, direction
        (N,) and (N, d): w and D.
    y
        (*B, N) observed.
    noise
        (*B, N) variances; NaN where it is inferred.
    at
        (N,) the row of the value at the same point.
    """

    X: Shaped[Tensor, "*B N d"]
    weight: Shaped[Tensor, " N"]
    direction: Shaped[Tensor, "N d"]
    y: Shaped[Tensor, "*B N"]
    noise: Shaped[Tensor, "*B N"]
    at: Indices[Tensor, " N"]

    @property
    def of_values(self) -> Indices[Tensor, " n"]:
        """Which rows are values."""
        return self.weight.nonzero().squeeze(-1)

    @property
    def columns(self) -> Indices[Tensor, " k"]:
        """The columns in which at least one partial derivative is there."""
        return self.direction.any(0).nonzero().squeeze(-1)

    def resolved_noise(self, h: HyperparametersWithSlopes) -> Shaped[Tensor, "*B N"]:
        """Noise variances with the inferred ones filled in."""
        inferred = torch.full_like(self.weight, h.slope_noise)
        inferred[self.of_values] = h.noise
        return torch.where(self.noise.isnan(), inferred, self.noise)

    def functionals(self, features: Features, inverse_scale: Tensor) -> Functionals:
        """The same in features over length-scales, of which the inverse (F,) is given."""
        return Functionals(
            features.of(self.X) * inverse_scale,
            self.weight,
            _in_features(self.direction, features) * inverse_scale,
            (self.of_values, torch.searchsorted(self.of_values, self.at)),
        )

    def followed_by(self, other: "Rows", batch: tuple[int, ...]) -> "Rows":
        """These rows and then those of another one, in the batch shape that both broadcast to."""
        return Rows(
            X=torch.cat([t.X.expand(*batch, *t.X.shape[-2:]) for t in (self, other)], -2),
            weight=torch.cat((self.weight, other.weight)),
            direction=torch.cat((self.direction, other.direction)),
            y=torch.cat([t.y.expand(*batch, -1) for t in (self, other)], -1),
            noise=torch.cat([t.noise.expand(*batch, -1) for t in (self, other)], -1),
            at=torch.cat((self.at, other.at + len(self.at))),
        )


def rows(
    X: Shaped[Tensor, "n d"],
    Y: Shaped[Tensor, "n 1"],
    Yvar: Shaped[Tensor, "n 1"],
    dY: Shaped[Tensor, "n d"],
    dYvar: Shaped[Tensor, "n d"],
) -> Rows:
    """Rows of all values, and after them of all partial derivatives that are there.

    Parameters
    ----------
    X, Y, Yvar
        Points, scores, and variances of their noise, NaN where it is inferred.
    dY
        Partial derivatives of the scores in the unit cube; NaN where one is absent.
    dYvar
        Variances of their noise, NaN where it is inferred.
    """
    n, d = X.shape
    point, column = (~dY.isnan()).nonzero(as_tuple=True)
    weight = torch.cat((torch.ones(n, dtype=X.dtype), torch.zeros(len(point), dtype=X.dtype)))
    eye = torch.eye(d, dtype=X.dtype)
    return Rows(
        X=torch.cat((X, X[point])),
        weight=weight,
        direction=torch.cat((torch.zeros_like(X), eye[column])),
        y=torch.cat((Y.squeeze(-1), dY[point, column])),
        noise=torch.cat((Yvar.squeeze(-1), dYvar[point, column])),
        at=torch.cat((torch.arange(n), point)),
    )


def values_only(X: Tensor, Y: Tensor, Yvar: Tensor, batch: tuple[int, ...]) -> Rows:
    """Rows of m values in a batch: X (*b, m, d), Y and Yvar (*b, m, 1), all of which broadcast."""
    m, d = X.shape[-2:]
    return Rows(
        X=X.expand(*batch, m, d),
        weight=torch.ones(m, dtype=X.dtype),
        direction=torch.zeros(m, d, dtype=X.dtype),
        y=Y.expand(*batch, m, 1).squeeze(-1),
        noise=Yvar.expand(*batch, m, 1).squeeze(-1),
        at=torch.arange(m),
    )


def expected_rows(X: Tensor, directions: Tensor, noise: float, slope_noise: float) -> Rows:
    """Rows of value and k slopes at each of m points (m, d), none of them observed yet.

    Parameters
    ----------
    X, directions
        (m, d) points, and (k, d) directions of the slopes.
    noise, slope_noise
        Variances of the noise of a value and of a slope.
    """
    m, r = len(X), 1 + len(directions)
    at_each = torch.full((r,), slope_noise, dtype=X.dtype)
    weight = torch.zeros(r, dtype=X.dtype)
    at_each[0], weight[0] = noise, 1.0
    return Rows(
        X=X.repeat_interleave(r, 0),
        weight=weight.repeat(m),
        direction=torch.cat((torch.zeros_like(X[:1]), directions)).repeat(m, 1),
        y=X.new_full((m * r,), torch.nan),
        noise=at_each.repeat(m),
        at=(torch.arange(m) * r).repeat_interleave(r),
    )


def values_at(X: Tensor, features: Features, inverse_scale: Tensor) -> Functionals:
    """The values at points (*b, m, d)."""
    Z = features.of(X) * inverse_scale
    return Functionals(Z, torch.ones(X.shape[-2], dtype=X.dtype))


def values_and_slopes_at(
    X: Tensor, directions: Tensor, features: Features, inverse_scale: Tensor
) -> Functionals:
    """Value and k slopes at points (*b, d), r = 1 + k; directions are (k, d) or (*b, k, d)."""
    none = directions.new_zeros(*directions.shape[:-2], 1, directions.shape[-1])
    D = torch.cat((none, directions), dim=-2)
    weight = torch.zeros(D.shape[-2], dtype=X.dtype)
    weight[0] = 1.0
    Z = (features.of(X) * inverse_scale).unsqueeze(-2)
    Z = Z.expand(*Z.shape[:-2], len(weight), -1)
    return Functionals(Z, weight, _in_features(D, features) * inverse_scale)


def joined(at: Functionals, keep: int = 0) -> Functionals:
    """What `values_and_slopes_at` made, all batches after the first `keep` dimensions in one."""
    (*batch, r, F), direction = at.Z.shape[keep:], at.direction
    b = math.prod(batch)
    Z = at.Z.reshape(*at.Z.shape[:keep], b * r, F)
    if direction is not None:
        direction = direction.reshape(Z.shape) if direction.dim() > 2 else direction.repeat(b, 1)
    distinct = torch.arange(0, b * r, r), torch.arange(b).repeat_interleave(r)
    return Functionals(Z, at.weight.repeat(b), direction, distinct)


def _in_features(D: Tensor, features: Features) -> Tensor:
    """Directions (*b, N, F) from those in columns (*b, N, d); a category has no slope."""
    if not features.categories:
        return D
    plain = D[..., features.plain]
    n_others = len(features.column_of) - plain.shape[-1]
    return torch.cat((plain, plain.new_zeros(*plain.shape[:-1], n_others)), dim=-1)
