"""How parts of a variance depend on the marginal laws, when these are those of the sample.

Notation
--------
n, d, K     runs, inputs, multi-indices
h           polynomial sum_a c_a psi_a, psi_a = prod_i p_{a_i}(x_i), orthonormal
F           a family of multi-indices, h_F its share of h
a \\ j       a without its entry j

The part of h's variance that F carries is a function of all the laws of the inputs. Run k tells of
them by its values x_kj, and its influence on the part by way of them is

    sum_j E[phi_F | x_j = x_kj],   phi_F = 2 h_F h - h_F^2  (closed),   h_F^2  (total)          (1)

which is the influence under an unknown joint law (van der Vaart 1998, 25.5), projected on functions
of single inputs. For products of a polynomial only those of the same a \\ j remain:

    E[f g | x_j] = sum_{q} f_q(x_j) g_q(x_j),   f_q(x_j) = sum_{a \\ j = q} f_a p_{a_j}(x_j)     (2)
"""

import numpy as np
from numpy.typing import NDArray

from uq.polynomials import one_dimensional

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

_NODES = 257  # at which a function of one input is computed


def influence_of_laws(
    z: Array, bounded: Mask, indices: Indices, coefficients: Array, held: Mask, total: Mask
) -> Array:
    """(n, T) Eq. (1) of the runs, of mean 0.

    Parameters
    ----------
    z
        (n, d) scores of the runs.
    bounded
        (d,) inputs with Legendre polynomials.
    indices, coefficients
        (K, d) and (K,) of h; the first multi-index is zero, and its coefficient is not used.
    held
        (K, T) multi-indices of each family.
    total
        (T,) whether it is a total part.
    """
    c = np.where(indices.any(axis=1), coefficients, 0.0)
    influence = np.zeros((len(z), held.shape[1]))
    for j in range(z.shape[1]):
        nodes = np.unique(np.quantile(z[:, j], np.linspace(0.0, 1.0, min(len(z), _NODES))))
        powers = one_dimensional(nodes, int(indices[:, j].max()), bool(bounded[j]))
        members = _same_without(indices, j)
        h = _shares(powers, indices[:, j], members, c)
        for t in range(held.shape[1]):
            h_F = _shares(powers, indices[:, j], members, c * held[:, t])
            phi = (h_F * (h_F if total[t] else 2.0 * h - h_F)).sum(axis=0)  # (1), (2)
            influence[:, t] += np.interp(z[:, j], nodes, phi)
    centred: Array = influence - influence.mean(axis=0)
    return centred


def _same_without(indices: Indices, j: int) -> NDArray[np.int64]:
    """(K,) number of a without its entry j, among the different ones."""
    others = np.delete(indices, j, axis=1)
    return np.unique(others, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _shares(powers: Array, degrees: Indices, members: Indices, c: Array) -> Array:
    """f_q of Eq. (2) at the nodes, one row for every q."""
    table = np.zeros((int(members.max()) + 1, len(powers)))
    table[members, degrees] = c
    shares: Array = table @ powers
    return shares
