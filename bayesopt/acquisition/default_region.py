"""Where an acquisition looks for other points than the candidate when nobody says where."""

from bayesopt.data import Dataset
from bayesopt.parameter import Categorical, Float, Parameter
from bayesopt.region import Region
from bayesopt.space import Space


def cube_of(data: Dataset) -> Region:
    """The unit cube with the categories of the data."""
    sizes = dict(data.categories)
    parameters: dict[str, Parameter] = {
        f"x{j}": Categorical(list(range(sizes[j]))) if j in sizes else Float(0.0, 1.0)
        for j in range(data.X.shape[1])
    }
    return Region(Space(**parameters))
