"""Captures that presume the content of some of the function's tensors: those it uses as indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flashode.capture.watching.guard_code import Bound, Check


def while_held(check: Check, held: Mapping[int, Tensor]) -> Check:
    """A check that also compares contents.

    Args:
        check: finds out whether a capture holds for a function, and picks the function's tensors.
        held: what those tensors have to contain, by their place among them.
    """

    def checked(func: Any) -> Bound | None:
        bound = check(func)
        if bound is not None and all(torch.equal(bound[0][slot], held[slot]) for slot in held):
            return bound
        return None

    return checked
