"""The README's Python, from its first block to its last, as one script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("torchdiffeq", reason="its first block imports torchdiffeq")

README = Path(__file__).parents[2] / "README.md"


def test_its_blocks_run_as_one_script() -> None:
    text = README.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, flags=re.M | re.S))
    assert len(blocks) >= 5
    names: dict[str, Any] = {"__name__": "readme"}
    torch.manual_seed(0)
    for block in blocks:
        # So that an error names the README's own line.
        lines = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(lines + block[1], README, "exec"), names)
    # What the comments claim.
    assert names["ys"].shape == (10, 20, 2)
    assert names["time"].item() == pytest.approx(1.7519, abs=1e-4)
    assert names["top"].grad.item() == pytest.approx(0.8760, abs=1e-4)
    assert names["solution"](torch.tensor([0.1, 0.73])).shape == (2, 20, 2)
    assert names["J"].shape == (10, 225, 2, 2)
    assert all(parameter.grad is not None for parameter in names["field"].parameters())
