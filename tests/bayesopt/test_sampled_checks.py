"""Run-time checks of shapes: each function is checked in every test, and now and then in loops."""

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from sampled_checks import FIRST, THEN, jaxtyped, new_test
from torch import Tensor

from bayesopt.models import kernels

WRONG = torch.zeros(2, 3)


def summed():
    @jaxtyped(typechecker=beartype)
    def summed(x: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        return x.sum()

    return summed


def is_refused(function):
    try:
        function(WRONG)
    except TypeCheckError:
        return True
    return False


@pytest.mark.parametrize("anew", [False, True], ids=["one function", "a closure made anew"])
def test_first_calls_and_one_in_many_are_checked(anew):
    function = summed()
    for _ in range(2):
        new_test()
        refused = [is_refused(summed() if anew else function) for _ in range(3 * THEN)]
        numbers = [number for number, one in enumerate(refused, 1) if one]
        assert numbers == [*range(1, FIRST + 1), THEN, 2 * THEN, 3 * THEN]


def test_what_is_right_passes_and_the_result_is_checked():
    assert float(summed()(torch.ones(4))) == 4.0

    @jaxtyped(typechecker=beartype)
    def doubled(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return torch.cat((x, x))

    with pytest.raises(TypeCheckError, match="return value"):
        doubled(torch.ones(4))


def test_the_rooms_that_compute_are_checked():
    with pytest.raises(TypeCheckError, match="squared_distance"):
        kernels.squared_distance("no tensor", WRONG)
