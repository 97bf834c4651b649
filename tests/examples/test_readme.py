"""Every Python block of the README runs, in order, as a newcomer would run them."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("cheap", ["few_cheap_points", pytest.param(None, marks=pytest.mark.slow)])
def test_blocks_run(
    cheap: str | None,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # some blocks leave files
    if cheap is not None:
        request.getfixturevalue(cheap)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert set(names["result"].params) == {"lr", "layers", "activation"}  # type: ignore[attr-defined]
