"""What to write instead of what a trace cannot follow."""

from __future__ import annotations

from typing import Any

from torch import nn

from flashode.capture.guards.trust import trusted_class
from flashode.capture.refusal import EVALUATION

NUMBER = "it turns a tensor into a Python number"
OF_NUMBERS = "keep it a tensor; for a branch write torch.where(condition, a, b), which may depend on t and y"
AT_INDEX = "choose where to write: torch.where(torch.arange(n) == i, value, x)"
WRITING = "compute a new tensor, or write into a clone() of it"
FORMAT = "print after the solve"
LOST = "a tensor that it may read has lost its memory"
REVIVE = "give it back before the solve, by untyped_storage().resize_()"
HISTORY = "leave it out: what func returns may depend on t, y and the contents of its tensors"


def of_training(module: nn.Module | None) -> str:
    """What to do about a module of torch's own that does in training what a field may not; else nothing."""
    if module is None or not module.training or not trusted_class(type(module)):
        return ""
    if type(module).__name__ == "_SpectralNorm":
        return f"{EVALUATION} for the solve: in training each call of spectral_norm iterates its vectors"
    drops = isinstance(getattr(module, "p", None), float)
    return f"{EVALUATION}, or set p=0" if drops else EVALUATION


def of_drawing(func: Any, module: nn.Module | None) -> str:
    """What to do about an operation that draws random numbers."""
    once = "draw the numbers once, before the solve, and let func read the tensor"
    drops = any(word in func._schema.name for word in ("dropout", "bernoulli"))
    return of_training(module) or (f"{EVALUATION} if it is dropout; else {once}" if drops else once)
