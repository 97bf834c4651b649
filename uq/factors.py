"""What gets an index: inputs of a model, or groups of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesopt.arguments import check_name
from uq.inputs import Inputs
from uq.joint_laws import law_of


@dataclass(frozen=True)
class Factor:
    """What gets an index: one input, or a group of them.

    Parameters
    ----------
    name
        Name of the input or of the group.
    columns
        Columns of the inputs.
    """

    name: str
    columns: tuple[int, ...]


def independent_inputs(inputs: Any, dists: Any) -> Inputs:
    """Return the independent inputs that were given by either name; raises by what is wrong."""
    law = given_inputs(inputs, dists)
    if not law.is_independent:
        raise ValueError(
            "The inputs are dependent, and these indices need independent ones; "
            "`uq.shapley_effects` takes dependent inputs."
        )
    return law


def given_inputs(inputs: Any, dists: Any) -> Inputs:
    """Return the inputs that were given by either name; raises by what is wrong."""
    if (inputs is None) == (dists is None):
        raise TypeError("Give the laws of the inputs, either as `inputs` or as `dists`.")
    law = law_of(dists if inputs is None else inputs)
    if not isinstance(law, Inputs):
        raise TypeError(
            f"Sobol' indices need `uq.Inputs`, each input with a law of its own, but got {law!r}, "
            "whose inputs cannot be drawn one by one."
        )
    return law


def factors_of(
    names: tuple[str, ...], groups: Mapping[str, Sequence[str]] | None
) -> tuple[Factor, ...]:
    """Groups, and the inputs that are in none, in the order of their first columns."""
    if groups is None:
        return tuple(Factor(name, (i,)) for i, name in enumerate(names))
    if not isinstance(groups, Mapping) or not groups:
        raise TypeError(
            f"`groups` must map names to lists of inputs, such as {{'loads': ['F', 'P']}}, but got "
            f"{groups!r}."
        )
    factors: list[Factor] = []
    owner: dict[str, str] = {}
    for group, members in groups.items():
        several = isinstance(members, Iterable) and not isinstance(members, str)
        inside = list(members) if several else []
        if not inside:
            raise ValueError(f"The group {group!r} must list its inputs, but got {members!r}.")
        for name in inside:
            check_name(f"input in the group {group!r}", name, names)
            if name in owner:
                raise ValueError(
                    f"Groups must not overlap, but {name!r} is in {owner[name]!r} and in {group!r}."
                )
            owner[name] = group
        factors.append(Factor(group, tuple(sorted(names.index(name) for name in inside))))
    alone = [name for name in names if name not in owner]
    if set(alone) & set(groups):
        raise ValueError(
            f"The group {sorted(set(alone) & set(groups))[0]!r} has the name of an input that is "
            "in no group; give it another name."
        )
    factors += [Factor(name, (names.index(name),)) for name in alone]
    return tuple(sorted(factors, key=lambda factor: factor.columns))
