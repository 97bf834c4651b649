"""The benchmark of durability: what it counts is there, and a peer that breaks leaves a row."""

import json

import pytest

from benchmarks import durability
from benchmarks.durability_studies import STUDIES, bowl, random_points


def test_random_points_are_the_same_for_all():
    points, values = random_points(5)
    assert random_points(5) == (points, values)
    assert values == [bowl(**point) for point in points]


def test_a_cut_file_is_never_opened_with_less():
    assert durability.torn("bayesopt", 10, 6) == ["bayesopt", "6", "6", "0", "0"]


def test_an_uncut_file_counts_as_whole(monkeypatch):
    class Text(bytes):
        def __getitem__(self, key):
            return bytes(self)

    real = durability.Path.read_bytes
    monkeypatch.setattr(durability.Path, "read_bytes", lambda self: Text(real(self)))
    assert durability.torn("bayesopt", 10, 2) == ["bayesopt", "2", "0", "2", "0"]


def test_a_peer_that_breaks_leaves_a_row(monkeypatch):
    def broken(name):
        if name == "peer":
            raise KeyError("gone")
        return [name, "0", "0"]

    assert durability._safely(broken, "peer") == ["peer", "KeyError", ""]
    with pytest.raises(KeyError):
        durability._safely(lambda name: broken("peer"), "bayesopt")


def test_a_stored_study_counts_its_points(tmp_path):
    study = STUDIES["bayesopt"](str(tmp_path / "study.db"))
    study.add(*random_points(4))
    study.ask_and_tell()
    study.work(7)
    assert len(set(study.points())) == 7
    assert json.loads(json.dumps(study.points()[-1])) == list(study.points()[-1])


@pytest.mark.slow
def test_the_whole_benchmark_beside_its_peers(capsys):
    durability.main(["--trials", "100", "--evals", "16", "--starts", "1"])
    report = capsys.readouterr().out
    for title in ("Cost of a stored trial", "Eight processes", "Killed", "lost its end"):
        assert title in report
    ours = [line for line in report.splitlines() if line.startswith("| bayesopt ")]
    assert [cell.strip() for cell in ours[3].split("|")[2:5]] == ["0/8", "16", "0"]
    assert [cell.strip() for cell in ours[4].split("|")[2:5]] == ["0", "0", "24/24"]
