"""How the steps of a capture say that they cannot go on."""

from __future__ import annotations


class Refusal(Exception):
    """Raised by any step of a capture; its message is the reason that the user reads."""
