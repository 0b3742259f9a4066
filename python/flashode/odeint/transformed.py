"""Refusals of solves within transforms of ``torch.func``, whose tensors wrap others."""

from __future__ import annotations

import torch

from flashode.dispatch import is_wrapped

_BATCH = "To solve many trajectories put their batch in front of y0, as its first dimensions, without vmap"


def refuse_transforms(name: str) -> None:
    """Raises within any transform.

    Args:
        name: The function that was called, which is differentiable once, and not in batches.

    Raises:
        RuntimeError: If a transform is active; with what to do instead.
    """
    if _are_active():
        raise RuntimeError(
            f"{name} runs within no transform of torch.func (vmap, grad, vjp, jvp, jacrev, jacfwd, hessian): "
            f"differentiate it by torch.autograd, or use odeint within them. {_BATCH}"
        )


def refuse_mapping(**arguments: object) -> None:
    """Raises where ``vmap`` would batch solves.

    Each of them would take other steps, and stop at another value that is not finite.

    Args:
        **arguments: Tensors, or tuples of tensors, by the names that the user knows.

    Raises:
        RuntimeError: If one of them is batched; with what to do instead.
    """
    if not _are_active():
        return
    for name, value in arguments.items():
        if any(map(_is_mapped, value if isinstance(value, (tuple, list)) else (value,))):
            raise RuntimeError(f"a solve has no vmap over {name}. {_BATCH}; all have the same times")


def _are_active() -> bool:
    return torch._C._functorch.peek_interpreter_stack() is not None


def _is_mapped(tensor: object) -> bool:
    functorch = torch._C._functorch
    while isinstance(tensor, torch.Tensor) and is_wrapped(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False
