"""Which processes suit a space whose parameters have a role; what does not is refused by name."""

from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.prior import LogNormal
from bayesopt.parameter import Categorical, Int
from bayesopt.roles import WITH_ARTICLE
from bayesopt.space import Space


def check_process(process: GaussianProcess, space: Space) -> None:
    """Raise ValueError where a process says what the parameters of a space cannot have.

    Parameters
    ----------
    process
        Its `fidelity` and `bias_groups` belong to a role. Where any parameter has one, its shape
        cannot be learnt, its mean is constant, and only the length-scales have priors of the
        user's own, which are log-normal.
    space
        The parameters.
    """
    _check_fidelity(process, space)
    _check_bias_groups(process, space)
    if space.role is None:
        return
    where = f"where a parameter is {WITH_ARTICLE[space.role]}"
    if process.learns_shape:
        raise ValueError(
            f"The kernel {process.kernel!r} needs a given {process.shape_name!r} {where}: say "
            f"{process.shape_name}=..., or use 'matern52'."
        )
    if process.mean != "constant":
        raise ValueError(f"mean={process.mean!r} is not supported {where}; use mean='constant'.")
    for name in ("signal", "noise"):
        if getattr(process.priors, name) is not None:
            raise ValueError(f"A prior of the {name} is not supported {where}: leave it out.")
    prior = process.priors.lengthscale
    if prior is not None and not isinstance(prior, LogNormal):
        raise ValueError(
            f"The prior of the length-scales must be a LogNormal {where}, but got {prior!r}."
        )


def _check_fidelity(process: GaussianProcess, space: Space) -> None:
    if process.fidelity == "auto":
        return
    if space.role != "fidelity":
        raise ValueError(
            f"fidelity={process.fidelity!r} of a GaussianProcess is for a parameter with "
            "role='fidelity', but none has it."
        )
    (column,) = space.role_columns
    name = space.names[column]
    if process.fidelity == "increments" and not isinstance(space[name], Int):
        raise ValueError(
            f"fidelity='increments' adds a bias from level to level of an Int, but {name!r} is "
            f"{space[name]!r}; use 'decay' or 'noise'."
        )


def _check_bias_groups(process: GaussianProcess, space: Space) -> None:
    if not process.bias_groups:
        return
    if space.role != "source":
        raise ValueError(
            "`bias_groups` of a GaussianProcess are for a parameter with role='source', but none "
            "has it."
        )
    (column,) = space.role_columns
    source = space[space.names[column]]
    assert isinstance(source, Categorical)
    for group in process.bias_groups:
        unknown = [name for name in group if name not in source.choices]
        if unknown:
            raise ValueError(
                f"`bias_groups` has {unknown}, but the sources are {list(source.choices)!r}."
            )
        if source.target in group:
            raise ValueError(
                f"`bias_groups` has the target {source.target!r} in {group}, which has no bias."
            )
