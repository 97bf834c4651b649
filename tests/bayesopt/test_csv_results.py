"""Earlier results from CSV files."""

import pytest

from bayesopt.csv_results import read_csv
from bayesopt.parameter import Categorical, Float, Int
from bayesopt.space import Space
from bayesopt.trial import Evaluation

PLAIN = Space(x=Float(-10, 10), n=Int(0, 9))


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "runs.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "text",
    [
        "x,n,value\n0.5,3,1.25\n-1,4,2",
        "x;n;value\n0.5;3;1.25\n-1;4;2\n",
        "x;n;value\n0,5;3;1,25\n-1,0;4,0;2",
        "x\tn\tvalue\n0.5\t3\t1.25\n-1\t4\t2\n",
        ' value , n,x \n 1.25 ,3.0,"0.5"\n\n2,4,-1e0\n,,\n',
        "who,x,when;where,n,value,sd\nme,+0.5,9;8,3,1.25,\nyou,-1.0,,4,2.0,NaN\n",
        'x,n,value,note\n0.5,3,1.25,"two\nlines, one cell"\n-1,4,2,\n',
        "x,n,value\n0.5,3,1.25,,\n-1,4,2,\n",
    ],
)
def test_plain_files_are_read(tmp_path, text, end, encoding):
    path = written(tmp_path, text.replace("\n", end), encoding)
    assert read_csv(path, PLAIN) == [
        ({"x": 0.5, "n": 3}, Evaluation(1.25)),
        ({"x": -1.0, "n": 4}, Evaluation(2.0)),
    ]


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ("1,2,,0.1,3,4", Evaluation((1, 2), (None, 0.1), constraints={"a": (3, 4)})),
        ("1,,,,3,", "No value was given."),
        ("1,2,,,,", "No value of the constraint 'a' was given."),
        ("1,2,,,inf,", "The constraint 'a' must be finite, but it is inf."),
        ("-inf,2,,,1,", "`value[0]` must be finite, but it is -inf."),
    ],
)
def test_rows_of_several_objectives(tmp_path, row, outcome):
    header = "x,n,loss_0,loss_1,err_0,err_1,constraint.a,constraint_sd.a"
    path = written(tmp_path, f"{header}\n1,2,{row}\n")
    two = {"n_values": 2, "constraints": ["a"]}
    assert read_csv(path, PLAIN, "loss", "err", **two) == [({"x": 1.0, "n": 2}, outcome)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x,n,value_0,constraint.a\n", "no column 'value_1' among .*'value_0', 'value_1', 'const"),
        ("x,n,value_0,value_1\n", "no column 'constraint.a' among"),
        (
            "x,n,value_0,value_1,constraint.a,constraint_sd.a\n1,2,3,4,5,-1\n",
            "line 2, column 'constraint_sd.a': a standard error must be finite",
        ),
        ("x,n,value_0,value_1,constraint.a\n1,2,3,4,b\n", "column 'constraint.a': 'b' is no num"),
    ],
)
def test_columns_of_several_objectives_that_cannot_be_read(tmp_path, text, why):
    with pytest.raises(ValueError, match=why):
        read_csv(written(tmp_path, text), PLAIN, n_values=2, constraints=["a"])


def test_columns_of_values_by_name(tmp_path):
    path = written(tmp_path, "x,n,loss,err,value,sd\n1,2,3,4,a,b\n")
    assert read_csv(path, PLAIN, "loss", "err") == [({"x": 1.0, "n": 2}, Evaluation(3.0, 4.0))]
    assert read_csv(path, PLAIN, "loss", None) == [({"x": 1.0, "n": 2}, Evaluation(3.0))]
    assert read_csv(str(path), PLAIN, value="err", sd=None)[0][1] == Evaluation(4.0)
    path = written(tmp_path, "x,n,cost\n1,2,-3\n")
    assert read_csv(path, PLAIN, "cost") == [({"x": 1.0, "n": 2}, Evaluation(-3.0))]


def test_a_header_alone_gives_nothing(tmp_path):
    assert read_csv(written(tmp_path, "x,n,value\n"), PLAIN) == []


@pytest.mark.parametrize(
    ("cells", "outcome"),
    [
        (",complete,", "No value was given."),
        ("NaN,,", "No value was given."),
        ("NA,,out of memory", "out of memory"),
        ("inf,,", "The value must be finite, but it is inf."),
        ("1.0,failed,diverged", "diverged"),
        (",FAILED,", "It failed, and no reason was given."),
        ("1.0,TX,", Evaluation(1.0)),
        ("1.0,complete,none", Evaluation(1.0)),
    ],
)
def test_failures_keep_their_reason(tmp_path, cells, outcome):
    path = written(tmp_path, f"x,n,value,state,reason\n1,2,{cells}\n3,4,,running,\n")
    assert read_csv(path, PLAIN) == [({"x": 1.0, "n": 2}, outcome)]


def test_a_parameter_may_have_the_name_of_another_column(tmp_path):
    path = written(tmp_path, "state,value,loss\nfailed,0.5,1.0\n")
    space = Space(state=Categorical(["failed", "running"]), value=Float(0, 1))
    assert read_csv(path, space, "loss") == [({"state": "failed", "value": 0.5}, Evaluation(1.0))]
    with pytest.raises(ValueError, match=r"no column 'params\.value'"):
        read_csv(path, space)


@pytest.mark.parametrize(
    ("choices", "cell", "choice"),
    [
        (["a", "A"], "A", "A"),
        (["a", " a"], " a", " a"),
        (["a", "b"], " a ", "a"),
        (["01", "1"], "01", "01"),
        ([1, 2], "1.0", 1),
        ([0.1, 0.5], "0.10", 0.1),
        ([1e-5], "0.00001", 1e-5),
        ([True, False], "true", True),
        ([True, False], "FALSE", False),
        ([True, False], "0", False),
        (["true", False], "true", "true"),
        ([None, "a"], "", None),
        ([None, "a"], "None", None),
        ([None, "a"], "none", None),
        ([None, ""], "None", None),
        (["None", None], "", None),
        ([float("inf"), 1.0], "inf", float("inf")),
        ([2**60, 2**60 + 1], str(2**60 + 1), 2**60 + 1),
    ],
)
def test_a_choice_is_found_by_its_text(tmp_path, choices, cell, choice):
    path = written(tmp_path, f"c,value\n{cell},1.0\n")
    ((params, _),) = read_csv(path, Space(c=Categorical(choices)))
    assert params == {"c": choice} and type(params["c"]) is type(choice)


def test_a_choice_with_a_decimal_comma(tmp_path):
    path = written(tmp_path, "c;value\n0,5;1,5\n")
    assert read_csv(path, Space(c=Categorical([0.5, "a"]))) == [({"c": 0.5}, Evaluation(1.5))]


@pytest.mark.parametrize(
    ("choices", "cell", "text"),
    [
        (["a", "b"], "c", r"'c' is not one of \['a', 'b'\]"),
        (["a", "b"], "", r"'' is not one of"),
        ([1, "1"], "1", r"'1' may be any of \[1, '1'\]; give them names that differ"),
        ([None, "None"], "None", "'None' may be any of"),
        ([None, ""], "", "'' may be any of"),
        ([True, "x"], "yes", "'yes' is not one of"),
    ],
)
def test_a_choice_that_is_none_or_several_is_refused(tmp_path, choices, cell, text):
    path = written(tmp_path, f"c,value\n{cell},1.0\n")
    with pytest.raises(ValueError, match=f"runs.csv', line 2, column 'c': {text}"):
        read_csv(path, Space(c=Categorical(choices)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"line 1: no column 'value' and none 'x' and none 'n' among \[\]"),
        ("x,n\n", r"line 1: no column 'value' among \['x', 'n'\]. A first row must name"),
        ("x;value\n1;2", r"line 1: no column 'n' among \['x', 'value'\]"),
        ("0.5,3,1.25\n", "line 1: no column"),
        ("x|n|value\n", r"among \['x\|n\|value'\]"),
        ("x,n,x,value\n", "line 1: the column 'x' stands twice"),
        ("x,n,value\n1,2,3\n1,2\n", "line 3: 2 cells, but the first row has 3"),
        (
            "x,n,value\n0,5,3,1,25\n",
            "line 2: 5 cells, but the first row has 3; a cell with a comma",
        ),
        ("x,n,value\nabc,2,3\n", "line 2, column 'x': 'abc' is no number"),
        ("x,n,value\n,2,3\n", "line 2, column 'x': it is empty"),
        ("x,n,value\nnan,2,3\n", "line 2, column 'x': .* is outside"),
        ("x,n,value\n11,2,3\n", r"line 2, column 'x': 11.0 is outside \[-10.0, 10.0\]"),
        ("x,n,value\n1,2.5,3\n", "line 2, column 'n': .* whole number"),
        ("x,n,value\n1,10,3\n", "line 2, column 'n': .* is outside"),
        ("x,n,value\n1,2,3\n1,2,high\n", "line 3, column 'value': 'high' is no number"),
        ("x,n,value\n1,2,1_000\n", "line 2, column 'value': '1_000' is no number"),
        ('x,n,value\n"0,5",2,3\n', "'0,5' is no number; a decimal comma needs semicolons"),
        ("x;n;value\n1.000,5;2;3\n", "'1.000,5' is no number"),
        ("x,n,value,sd\n1,2,3,-1\n", "line 2, column 'sd': .*>= 0"),
        ("x,n,value,sd\n1,2,3,inf\n", "line 2, column 'sd': .*finite"),
        ("x,n,value,sd\n1,2,3,low\n", "line 2, column 'sd': 'low' is no number"),
        ("x,n,value,cost\n1,2,3,0\n", "line 2, column 'cost': a cost must be positive"),
        ("x,n,value,cost\n1,2,3,inf\n", "line 2, column 'cost': a cost must be .* finite"),
        ('x,n,value,note\n1,2,3,"a\nb"\n1,2,z,c\n', "line 4, column 'value': 'z'"),
        ('x,n,value,note\n1,2,3,"a\n1,2,3,b\n', "line 2: unexpected end of data"),
        (f"x,n,value,note\n1,2,3,{'a' * 200_000}\n", "line 2: field larger than"),
        (f"{'a' * 200_000}\n", "line 1: no column"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, text, why):
    with pytest.raises(ValueError, match=f"runs.csv', {why}" if why.startswith("line") else why):
        read_csv(written(tmp_path, text), PLAIN)


def test_a_named_column_of_errors_must_be_there(tmp_path):
    with pytest.raises(ValueError, match="line 1: no column 'err'"):
        read_csv(written(tmp_path, "x,n,value\n"), PLAIN, sd="err")


def test_another_encoding_is_refused(tmp_path):
    path = written(tmp_path, "x,n,value,größe\n", "latin-1")
    with pytest.raises(ValueError, match=r"runs.csv' is not UTF-8 .*save it as UTF-8"):
        read_csv(path, PLAIN)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_csv(tmp_path / "none.csv", PLAIN)
