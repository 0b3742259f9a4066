"""How the steps of a capture say that they cannot go on."""

from __future__ import annotations


class Refusal(Exception):
    """Raised by any step of a capture; its message is the reason that the user reads."""


class Failed(Refusal):
    """The function itself raised an exception."""


def described(error: Exception) -> str:
    """An exception that calling the function raised, in one line."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"
