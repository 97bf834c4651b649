"""The point of several half-spaces that is nearest to the origin.

Notation
--------
z           (d,)
A, b        (k, d) and (k,); half-space i is A_i.z <= b_i
w           (k,) multipliers
r           residual (d + 1,)

    min |z|  s.t.  A z <= b                          least distance programming
    w = argmin_{w >= 0} |E w - f|,   E = [A'; b'],   f = (0, ..., 0, -1)
    r = E w - f,   z = -r_{1..d} / r_{d+1}           Lawson & Hanson (1974), Ch. 23, LDP

A residual of zero says that no point lies in all the half-spaces.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

_EMPTY = 1e-10  # residual that is zero but for rounding


def nearest_to_origin(A: Array, b: Array) -> Array | None:
    """Nearest point to the origin with A z <= b.

    Parameters
    ----------
    A, b
        (k, d) and (k,), rows of A of a length near one.

    Returns
    -------
    (d,), or None when there is no such point or it was not found.
    """
    size = max(1.0, float(np.abs(b).max()))
    E = np.concatenate([A.T, b[None, :] / size])
    f = np.zeros(len(E))
    f[-1] = -1.0
    try:
        w, norm = nnls(E, f)
    except RuntimeError:  # its iterations ran out
        return None
    r = E @ w - f
    if norm < _EMPTY or r[-1] < _EMPTY**2:
        return None
    z: Array = -r[:-1] * (size / r[-1])
    return z
