"""Every Python block of the README runs, in order, as a newcomer would run them."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert set(names["result"].params) == {"lr", "layers", "activation"}  # type: ignore[attr-defined]
