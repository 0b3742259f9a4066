"""How the steps of a capture say that they cannot go on."""

from __future__ import annotations

import torch


class Refusal(Exception):
    """Raised by any step of a capture; its message is the reason that the user reads."""


class Failed(Refusal):
    """The function itself raised an exception."""


class Singular(Failed):
    """A matrix was singular, which hangs on numbers: others may do."""

    @staticmethod
    def caused(error: Exception) -> bool:
        """Whether an exception of torch's says so."""
        return isinstance(error, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


def described(error: Exception) -> str:
    """An exception that calling the function raised, in one line."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"


def with_article(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun.lstrip('_')[:1].lower() in tuple('aeio') else 'a'} {noun}"
