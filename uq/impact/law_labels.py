"""What the laws of one study are called, and on which line of a picture each belongs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_AXES = {
    "mean": "shift of the normal score of the input",
    "sd": "log2 of the factor of the score's variance",
    "law": "",
}


class LawLabel(NamedTuple):
    """Which law it is.

    Parameters
    ----------
    input
        Name of the perturbed input; "" for a law of the user's own.
    kind
        "mean", "sd" or "law".
    delta
        Size of the perturbation, or number of the law.
    """

    input: str
    kind: str
    delta: float

    def __str__(self) -> str:
        if self.kind == "law":
            return f"law {self.delta:g}"
        return f"{self.input} {self.kind} {self.delta:+g}"


def lines(labels: Sequence[LawLabel]) -> dict[str, NDArray[np.bool_]]:
    """Masks (L,) of the laws that belong on one line, by the name of the line."""
    several_kinds = len({label.kind for label in labels}) > 1
    names = [f"{a}, {kind}" if several_kinds else a or "laws" for a, kind, _ in labels]
    return {name: np.array([one == name for one in names]) for name in dict.fromkeys(names)}


def axis_label(labels: Sequence[LawLabel]) -> str:
    """What `delta` is; "" where it is the number of a law."""
    kinds = {label.kind for label in labels}
    return _AXES[kinds.pop()] if len(kinds) == 1 else "delta"
