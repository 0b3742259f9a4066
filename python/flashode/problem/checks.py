"""Arguments that are functions, one of several words, or tensors of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from flashode.memory import check_memory, has_memory
from flashode.wording import shown


def check_callable(argument: str, function: Any, accepted: str) -> None:
    """Refuses what is no function, and a class that makes nothing but its own instances.

    Raises:
        TypeError: It is one of these.
    """
    if not callable(function):
        raise TypeError(f"{argument} must be {accepted}, got {type(function).__name__}")
    plain = isinstance(function, type) and type(function).__call__ is type.__call__
    if plain and function.__new__ is object.__new__:
        name = function.__qualname__
        raise TypeError(
            f"{argument} must be {accepted}, got the class {name}: an instance {name}(...) is one"
        )


def check_choice(argument: str, word: object, accepted: Iterable[str]) -> None:
    """Refuses what is none of the words accepted.

    Raises:
        TypeError: It is no string.
        ValueError: It is another.
    """
    if not isinstance(word, str):
        raise TypeError(f"{argument} must be a string, got {shown(word)}")
    if word not in accepted:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, accepted))}, got {shown(word)}")


def check_dense(argument: str, tensor: torch.Tensor) -> None:
    """Refuses a tensor without memory that can be read element by element.

    Raises:
        TypeError: It is sparse, nested or of another layout.
        ValueError: It holds no numbers.
        RuntimeError: It has lost its memory.
    """
    if tensor.is_nested or tensor.layout is not torch.strided:
        kind = "a nested one" if tensor.is_nested else f"the layout {tensor.layout}"
        raise TypeError(f"{argument} must be a dense tensor, got {kind}")
    if tensor.is_meta:
        raise ValueError(f"{argument} must hold numbers, got a tensor on the meta device")
    if not has_memory(tensor):
        check_memory(argument, (tensor,))
