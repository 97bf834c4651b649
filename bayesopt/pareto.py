"""Several scores at once: which points no other one dominates, and how much they dominate.

Notation
--------
k, n, m     points of a front, points, objectives
Y           (n, m) scores, each to be maximised; a row with a number that is not finite is no point
r           (m,) reference point: what does not exceed it in every objective counts for nothing
front       points that no other one dominates: at least as good everywhere, better somewhere

    hypervolume = volume of what lies above r and below some point         Zitzler & Thiele (1998)

Sorted by the last score, what a point adds to all points above it is a slab of its height, and its
base is a hypervolume in m - 1 objectives. In two objectives a sort is all it takes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_numbers

Array = NDArray[np.float64]

_MARGIN = 0.1  # of the range of the front, which the reference point lies below it
_Box = tuple[tuple[float, ...], tuple[float, ...]]


def non_dominated(Y: ArrayLike) -> NDArray[np.bool_]:
    """Which rows of scores (n, m) no other row dominates.

    Equal rows do not dominate each other: all of them are kept. A row with a number that is not
    finite is not.
    """
    scores = _scores(Y)
    mask = np.zeros(len(scores), dtype=np.bool_)
    rows = np.flatnonzero(np.isfinite(scores).all(axis=1))
    # Best first score first, ties by the next: whoever is left at the head is dominated by none.
    rows = rows[np.lexsort(-scores[rows, ::-1].T)]
    while len(rows):
        head, others = scores[rows[0]], scores[rows]
        equal = (others == head).all(axis=1)
        mask[rows[equal]] = True
        rows = rows[(others > head).any(axis=1)]
    return mask


def hypervolume(Y: ArrayLike, reference: ArrayLike) -> float:
    """Volume of what points (n, m) dominate above a reference point (m,).

    Raises
    ------
    ValueError
        If the shapes do not fit, or the reference point is not finite.
    """
    return _volume(_distinct(_excess(_scores(Y), reference)))


def hypervolume_trace(Y: ArrayLike, reference: ArrayLike) -> Array:
    """Hypervolume (n,) of the first row, the first two, ... of scores (n, m).

    A row that is not finite, of a trial that failed or is infeasible, adds nothing.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the reference point is not finite.
    """
    scores = _scores(Y)
    reference = _reference(reference, scores.shape[1])
    gains, front = np.zeros(len(scores)), np.empty((0, scores.shape[1]))
    counts = np.isfinite(scores).all(axis=1) & (scores > reference).all(axis=1)
    for i in np.flatnonzero(counts):
        y = scores[i] - reference
        if (front >= y).all(axis=1).any():
            continue
        gains[i] = max(np.prod(y) - _volume(np.minimum(front, y)), 0.0)
        front = np.concatenate((front[(front > y).any(axis=1)], y[None]))
    trace: Array = np.cumsum(gains)
    return trace


def reference_point(Y: ArrayLike) -> Array:
    """A reference point (m,) for scores (n, m): the worst of the front, less a tenth of its range.

    Ishibuchi et al. (2018) say why it should lie a little below the nadir: on it, the ends of the
    front would count for nothing, and far below it, they would count for everything. Where the
    front has no range, that of all points is taken; where these have none, the size of the score.

    Raises
    ------
    ValueError
        If no row is finite.
    """
    scores = _scores(Y)
    scores = scores[np.isfinite(scores).all(axis=1)]
    if not len(scores):
        raise ValueError(
            "A reference point needs at least one finite row of scores, but there is none; give "
            "one, or ask again when a trial has succeeded."
        )
    front = scores[non_dominated(scores)]
    nadir = front.min(axis=0)
    scale = np.ptp(front, axis=0)
    for fallback in (np.ptp(scores, axis=0), np.abs(nadir), np.ones(len(nadir))):
        # A range that rounding makes is none.
        scale = np.where(scale > 1e-12 * np.abs(nadir), scale, fallback)
    below: Array = nadir - _MARGIN * scale
    return below


def boxes(front: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    """Disjoint boxes that cover what points do not dominate above the reference point.

    Parameters
    ----------
    front
        (k, m) points; those that others dominate, or that do not exceed the reference point,
        change nothing.
    reference
        (m,) the reference point.

    Returns
    -------
    low, high
        (K, m) corners; a side may end at infinity. There are k + 1 boxes for two objectives, about
        2 k for three.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the reference point is not finite.
    """
    points = _scores(front, "front")
    reference = _reference(reference, points.shape[1])
    above = np.isfinite(points).all(axis=1) & (points > reference).all(axis=1)
    points = points[above]
    points = np.unique(points[non_dominated(points)], axis=0)
    parts = _boxes(points, tuple(reference.tolist()))
    low, high = (np.array(corners) for corners in zip(*parts, strict=True))
    return low, high


def _boxes(points: Array, reference: tuple[float, ...]) -> list[_Box]:
    """Boxes above points (k, m): one in one objective, strips in two, else a sweep of the last."""
    m = len(reference)
    if m == 1:
        return [((max(points[:, 0].tolist(), default=reference[0]),), (np.inf,))]
    if m == 2:
        return _strips(points, reference)
    levels = np.unique(points[:, -1])[::-1].tolist()
    found: list[_Box] = []
    began: dict[_Box, float] = {}  # boxes in m - 1 objectives, and where they began on the way down
    top = np.inf
    for level in (*levels, reference[-1]):
        higher = points[points[:, -1] > level, :-1]
        present = _boxes(higher[non_dominated(higher)], reference[:-1])
        now = {part: began.get(part, top) for part in present}
        # A box that the last level has cut ends there.
        found += [_raised(part, top, start) for part, start in began.items() if part not in now]
        began, top = now, level
    return found + [_raised(part, reference[-1], start) for part, start in began.items()]


def _raised(part: _Box, low: float, high: float) -> _Box:
    return (*part[0], low), (*part[1], high)


def _strips(points: Array, reference: tuple[float, ...]) -> list[_Box]:
    """Strips between the first scores of a front (k, 2), each above the second score."""
    first = np.unique(points, axis=0)
    cuts = [reference[0], *first[:, 0].tolist(), np.inf]
    floors = [*first[:, 1].tolist(), reference[1]]
    return [((cuts[i], floors[i]), (cuts[i + 1], np.inf)) for i in range(len(floors))]


def _volume(excess: Array) -> float:
    """Hypervolume of points (k, m) above zero; they may dominate each other."""
    k, m = excess.shape
    if k == 0:
        return 0.0
    if m == 1:
        return float(excess.max())
    if m == 2:
        first, second = excess[np.argsort(-excess[:, 0], kind="stable")].T
        highest = np.maximum.accumulate(second)
        return float(first @ np.diff(highest, prepend=0.0))
    front = excess[non_dominated(excess)]
    front = front[np.argsort(front[:, -1], kind="stable")]
    total = 0.0
    for i, point in enumerate(front):
        base = point[:-1]
        higher = np.minimum(front[i + 1 :, :-1], base)
        total += point[-1] * (np.prod(base) - _volume(higher))
    return float(total)


def _distinct(points: Array) -> Array:
    """Points without repetitions, whose slabs would only cancel."""
    return np.unique(points, axis=0)


def _excess(scores: Array, reference: ArrayLike) -> Array:
    """What rows (n, m) exceed the reference point by, of those that do everywhere."""
    reference = _reference(reference, scores.shape[1])
    excess = scores[np.isfinite(scores).all(axis=1)] - reference
    above: Array = excess[(excess > 0.0).all(axis=1)]
    return above


def _scores(Y: ArrayLike, name: str = "Y") -> Array:
    """Scores as (n, m); raises ValueError for another shape."""
    scores = real_numbers(Y, name)
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(
            f"`{name}` must have the shape (points, objectives), but has the shape {scores.shape}."
        )
    return scores


def _reference(reference: ArrayLike, m: int) -> Array:
    """The reference point as (m,); raises ValueError for another shape or infinite entries."""
    point = real_numbers(reference, "reference")
    if point.shape != (m,) or not np.isfinite(point).all():
        raise ValueError(
            f"`reference` must be {m} finite numbers, one per objective, but got {reference!r}."
        )
    return point
