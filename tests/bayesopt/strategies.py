"""Hypothesis strategies for parameters and spaces, extreme bounds included."""

import math

from hypothesis import assume, settings
from hypothesis import strategies as st

from bayesopt.parameter import Categorical, Float, Int
from bayesopt.space import Space

fixed = settings(derandomize=True, deadline=None, database=None, max_examples=200)
UNIT = st.floats(0.0, 1.0)


@st.composite
def floats(draw):
    log = draw(st.booleans())
    bound = st.floats(5e-324 if log else -1.7e308, 1.7e308)
    low, high = sorted(draw(st.tuples(bound, bound)))
    assume(low < high and math.isfinite(high - low))
    assume(not log or math.log(low) < math.log(high))
    return Float(low, high, log)


@st.composite
def ints(draw, largest=10**6):
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*[st.integers(1 if log else -largest, largest)] * 2)))
    assume(low < high)
    return Int(low, high, log)


choices = st.lists(
    st.text(max_size=5)
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none(),
    min_size=1,
    max_size=8,
    unique=True,
)
categoricals = choices.map(Categorical)
spaces = st.dictionaries(
    st.sampled_from(["C", "gamma", "depth", "kernel"]),
    floats() | ints() | categoricals,
    min_size=1,
).map(lambda parameters: Space(**parameters))
