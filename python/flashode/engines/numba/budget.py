"""When loops pause for the interpreter to see whether they are to go on."""

from __future__ import annotations

_FIRST_ATTEMPTS = 1_000
_PAUSE_SECONDS = 0.1
_MOST_ATTEMPTS = 1_000_000


class Budget:
    """Attempts until a solve pauses.

    Attributes:
        attempts: How many; of a solve that is watched closely always as many.
    """

    def __init__(self, attempts: int | None = None) -> None:
        self.attempts = _FIRST_ATTEMPTS if attempts is None else attempts
        self._fixed = attempts is not None

    def adapt(self, made: int, seconds: float) -> None:
        """Lets a pause come after about as long as is good, given how long so many attempts took."""
        if not self._fixed and made > 0:
            wanted = int(made * _PAUSE_SECONDS / max(seconds, 1e-9))
            self.attempts = max(1, min(wanted, 2 * self.attempts, _MOST_ATTEMPTS))
