"""Functions that ``torch.compile`` does not compile.

A solve runs in a kernel of its own, which Dynamo cannot see into; it would try to compile, frame by frame,
the checks that lead there. ``torch.compiler.disable`` says so as well, but imports dynamo, which takes
seconds; what it does to a function is done here by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def uncompiled(func: Function) -> Function:
    """Keeps ``torch.compile`` from compiling a function, and all that it calls."""
    try:
        # Not public; where they are missing dynamo does as it likes.
        from torch._C._dynamo.eval_frame import (
            _FrameAction,
            _FrameExecStrategy,
            set_code_exec_strategy,
        )

        skipped = _FrameExecStrategy(_FrameAction.SKIP, _FrameAction.SKIP)
        set_code_exec_strategy(func.__code__, skipped)
    except (ImportError, TypeError):
        return func
    func._torchdynamo_disable = True  # type: ignore[attr-defined]
    return func
