"""Functions and modules under ``torch.compile``: what they were made from."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import torch

_HOME = "torch._dynamo.eval_frame"
# Where the two kinds of wrappers keep it.
OF_MODULE = "__dict__['_modules']['_orig_mod']"
OF_FUNCTION = "__dict__['_torchdynamo_orig_callable']"


def original(value: Any) -> tuple[Any, str] | None:
    """What a compiled thing was made from, and the attribute that leads to it; None of anything else.

    It looks at attributes alone: to import the compiler takes seconds.
    """
    kind = type(value)
    if kind.__module__ == _HOME and kind.__name__ == "OptimizedModule":
        return value.__dict__["_modules"]["_orig_mod"], OF_MODULE
    if kind is types.FunctionType:
        own = value.__dict__
        # Decorators copy these attributes to functions that do more.
        if own.get("_torchdynamo_wrapper_id") == id(value):
            return own["_torchdynamo_orig_callable"], OF_FUNCTION
    return None


def originals_run(needed: bool) -> contextlib.AbstractContextManager[None]:
    """Lets what is compiled run as it was before, in all threads, where there is such a thing at all."""
    stance: Any = torch.compiler.set_stance
    return stance("force_eager") if needed else contextlib.nullcontext()
