"""An acquisition of the user's own: called and checked, so that errors say what was expected."""

import inspect

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor

from bayesopt.acquisition.expected_improvement import Builder
from bayesopt.data import Dataset


def check_builder(build: Builder) -> None:
    """Raise TypeError when it cannot be called as one."""
    try:
        inspect.signature(build).bind(None, None, None)
    except ValueError:  # some callables written in C do not tell
        return
    except TypeError as error:
        raise TypeError(
            f"An acquisition of your own is called as (model, data, X_pending), but {error}."
        ) from None


def built_by_user(
    build: Builder, model: Model, data: Dataset, X_pending: Tensor | None
) -> AcquisitionFunction:
    """What it returned, which has scored a point; raises TypeError where that cannot be."""
    acquisition = build(model, data, X_pending)
    _check_scores(acquisition, data.X[:1].unsqueeze(-2))
    return acquisition


def _check_scores(acquisition: object, X: Tensor) -> None:
    """Raise TypeError when what was returned cannot score X (1, 1, d)."""
    if not callable(acquisition):
        raise TypeError(
            "Your acquisition must return an AcquisitionFunction, which scores candidates "
            f"(b, 1, d) by a tensor (b,), but it returned {acquisition!r}."
        )
    with torch.no_grad():
        value = acquisition(X)
    if not isinstance(value, Tensor) or value.shape != (1,):
        came = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
        raise TypeError(
            f"Your acquisition must score candidates (b, 1, d) by a tensor (b,), but for b = 1 it "
            f"gave {came}."
        )
