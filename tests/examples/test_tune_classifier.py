"""The demo runs from end to end on a tiny budget and leaves its picture."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "tune_classifier.py"


def test_demo(tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    command = [sys.executable, str(EXAMPLE), "--n-evals", "12", "--picture", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert picture.stat().st_size > 10_000
    assert "random search" in done.stdout and "+-" in done.stdout
    assert "best" in done.stderr and "optimiser" in done.stderr
    assert "Warning" not in done.stderr
