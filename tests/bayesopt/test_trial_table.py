"""Trials as a data frame, which comes back from the CSV file that pandas writes of it."""

import sys

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fixed, floats, ints

from bayesopt.csv_results import read_csv
from bayesopt.parameter import Categorical, Float, Int
from bayesopt.space import Space
from bayesopt.trial import Evaluation, Trial, TrialState
from bayesopt.trial_table import to_dataframe

SPACE = Space(
    rate=Float(0.0, 1.0),
    depth=Int(1, 9),
    kind=Categorical(["a", None, 2]),
    flag=Categorical([True, False]),
)
POINTS = [
    {"rate": 0.5, "depth": 3, "kind": "a", "flag": True},
    {"rate": 1e-5, "depth": 1, "kind": None, "flag": False},
    {"rate": 1.0, "depth": 9, "kind": 2, "flag": True},
]
TRIALS = [
    Trial(
        0, POINTS[0], TrialState.COMPLETE, Evaluation(1 / 3, 0.1), started=1.5e9, ended=1.5e9 + 2
    ),
    Trial(1, POINTS[1], TrialState.FAILED, reason='said "no",\nand left', started=1.5e9, attempt=2),
    Trial(2, POINTS[2], origin="acquisition"),
    Trial(3, POINTS[2], TrialState.COMPLETE, Evaluation(-2.0), origin="added"),
]


def test_a_row_for_each_trial_with_the_right_types():
    frame = to_dataframe(TRIALS, SPACE)
    assert frame.index.name == "number" and frame.index.tolist() == [0, 1, 2, 3]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "state": "object",
        "value": "float64",
        "sd": "float64",
        "rate": "float64",
        "depth": "int64",
        "kind": "object",
        "flag": "bool",
        "origin": "object",
        "attempt": "int64",
        "reason": "object",
        "started": "datetime64[ns, UTC]",
        "ended": "datetime64[ns, UTC]",
        "seconds": "float64",
    }
    assert frame["state"].tolist() == ["complete", "failed", "running", "complete"]
    np.testing.assert_array_equal(frame["value"], [1 / 3, np.nan, np.nan, -2.0])
    np.testing.assert_array_equal(frame["sd"], [0.1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(frame["seconds"], [2.0, np.nan, np.nan, np.nan])
    assert frame["kind"].tolist() == ["a", None, 2, 2]
    assert frame["reason"].tolist() == [None, TRIALS[1].reason, None, None]
    assert frame["origin"].tolist() == ["given", "given", "acquisition", "added"]
    assert frame["attempt"].tolist() == [1, 2, 1, 1]
    assert frame["started"][0] == pandas.Timestamp(1.5e9, unit="s", tz="UTC")
    assert frame["ended"].isna().tolist() == [False, True, True, True]


def test_an_empty_table_has_the_same_columns():
    empty, full = to_dataframe([], SPACE), to_dataframe(TRIALS, SPACE)
    assert len(empty) == 0 and empty.dtypes.equals(full.dtypes)
    assert empty.index.name == "number" and empty.index.dtype == full.index.dtype


@pytest.mark.parametrize(
    ("choices", "kind"),
    [([1, 2], "int64"), ([0.1, 2.0], "float64"), ([1, 2.0], "object"), ([1, 10**30], "object")],
)
def test_choices_of_one_kind_have_its_type(choices, kind):
    space = Space(c=Categorical(choices))
    frame = to_dataframe([Trial(n, {"c": c}) for n, c in enumerate(choices)], space)
    assert str(frame["c"].dtype) == kind and frame["c"].tolist() == choices


def test_costs_that_were_told_have_a_column(tmp_path):
    space = Space(x=Float(0, 9), cost=Float(0, 9))
    params = {"x": 1.0, "cost": 2.0}
    told, silent = Evaluation(5.0, cost=0.1), Evaluation(6.0)
    trials = [
        Trial(0, params, TrialState.COMPLETE, told),
        Trial(1, params, TrialState.COMPLETE, silent),
        Trial(2, params, TrialState.FAILED, reason="diverged"),
    ]
    frame = to_dataframe(trials, space)
    assert list(frame.columns[:6]) == ["state", "value", "sd", "cost", "x", "params.cost"]
    np.testing.assert_array_equal(frame["cost"], [0.1, np.nan, np.nan])
    assert "cost" not in to_dataframe(trials[1:], space)
    frame.to_csv(tmp_path / "t.csv")
    rows = [(params, told), (params, silent), (params, "diverged")]
    assert read_csv(tmp_path / "t.csv", space) == rows


def test_parameters_with_our_names_get_a_prefix(tmp_path):
    space = Space(**{name: Float(0, 1) for name in ("value", "number", "params.value", "sd", "x")})
    trial = Trial(0, dict(zip(space, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True)))
    trial = Trial(0, trial.params, TrialState.COMPLETE, Evaluation(9.0, 8.0))
    frame = to_dataframe([trial], space)
    assert frame.columns.is_unique
    assert frame["value"][0] == 9.0 and frame["x"][0] == 0.5
    assert frame["params.number"][0] == 0.2 and frame["params.sd"][0] == 0.4
    assert frame["params.params.value"][0] == 0.1 and frame["params.value"][0] == 0.3
    frame.to_csv(tmp_path / "t.csv")
    assert read_csv(tmp_path / "t.csv", space) == [(trial.params, trial.evaluation)]


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'bayesopt-uq\[dataframe\]'"):
        to_dataframe(TRIALS, SPACE)


TWO = {"n_values": 2, "constraints": ["latency", "power"]}


def test_several_objectives_and_constraints_have_columns_of_their_own(tmp_path):
    space = Space(x=Float(0, 9), value=Float(0, 9), value_0=Float(0, 9))
    space = Space(**space.parameters, **{"constraint.power": Float(0, 9)})
    params = dict(zip(space, (1.0, 2.0, 3.0, 4.0), strict=True))
    evaluation = Evaluation((5, 6), (None, 0.5), constraints={"latency": 7, "power": (8, 0.25)})
    trials = [
        Trial(0, params, TrialState.COMPLETE, evaluation),
        Trial(1, params, TrialState.FAILED, reason="diverged"),
        Trial(2, params),
    ]
    frame = to_dataframe(trials, space, **TWO)
    assert list(frame.columns[:12]) == [
        *("state", "value_0", "sd_0", "value_1", "sd_1"),
        *("constraint.latency", "constraint.power", "constraint_sd.power"),
        *("x", "params.value", "params.value_0", "params.constraint.power"),
    ]
    assert {str(frame[c].dtype) for c in frame.columns[1:12]} == {"float64"}
    np.testing.assert_array_equal(frame.iloc[0, 1:8], [5.0, np.nan, 6.0, 0.5, 7.0, 8.0, 0.25])
    assert frame.iloc[1:, 1:8].isna().all(axis=None)
    frame.to_csv(tmp_path / "t.csv")
    rows = [(params, evaluation), (params, "diverged")]
    assert read_csv(tmp_path / "t.csv", space, **TWO) == rows
    empty = to_dataframe([], space, **TWO)
    assert list(empty.columns) == [c for c in frame.columns if c != "constraint_sd.power"]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)
choices = st.lists(
    texts.filter(lambda text: text not in ("", "None"))
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none(),
    min_size=1,
    max_size=6,
    unique_by=(lambda choice: choice, str),
)
names = st.sampled_from(
    ["C", "value", "sd", "cost", "state", "reason", "größe; m", 'a,"b"', "params.sd"]
)
spaces = st.dictionaries(
    names, floats() | ints() | choices.map(Categorical), min_size=1, max_size=4
).map(lambda parameters: Space(**parameters))


@st.composite
def trials_of_a_space(draw):
    space = draw(spaces)
    rows = draw(st.lists(st.tuples(*[st.floats(0, 1)] * len(space)), max_size=4))
    trials = []
    for row in rows:
        params = space.from_unit(space.snap(np.array(row)))
        ending = draw(
            st.builds(
                Evaluation,
                st.floats(-1e308, 1e308),
                st.none() | st.floats(0, 1e308),
                cost=st.none() | st.floats(1e-308, 1e308),
            )
            | texts.filter(bool)
            | st.none()
        )
        state = TrialState.COMPLETE if isinstance(ending, Evaluation) else TrialState.FAILED
        ended = {"evaluation" if state is TrialState.COMPLETE else "reason": ending}
        if ending is None:
            state, ended = TrialState.RUNNING, {}
        times = {"started": draw(st.none() | st.floats(0, 4e9))}
        trials.append(Trial(len(trials), params, state, **ended, **times))
    return space, trials


@fixed
@given(
    trials_of_a_space(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "utf-8-sig"])
)
def test_what_pandas_writes_is_read(tmp_path_factory, case, delimiter, encoding):
    space, trials = case
    path = tmp_path_factory.getbasetemp() / "table.csv"
    to_dataframe(trials, space).to_csv(path, sep=delimiter, encoding=encoding)
    read = read_csv(path, space)
    ended = [trial for trial in trials if trial.state is not TrialState.RUNNING]
    assert read == [(trial.params, trial.evaluation or trial.reason) for trial in ended]
    for (params, _), trial in zip(read, ended, strict=True):
        assert [type(value) for value in params.values()] == [
            type(value) for value in trial.params.values()
        ]
