"""When loops pause for the interpreter to see whether they are to go on."""

from __future__ import annotations

_PAUSE_SECONDS = 0.1
_MOST_ATTEMPTS = 1_000_000
# Attempts, and arithmetic operations, until the first pause, when nothing is known of how long they take.
_FIRST_ATTEMPTS = 1_000
_FIRST_OPERATIONS = 200_000_000


class Budget:
    """Attempts until a solve pauses.

    Attributes:
        attempts: How many; of a solve that is watched closely always as many.
    """

    def __init__(self, operations: int, attempts: int | None = None) -> None:
        """Starts with few where an attempt is much work: a Ctrl-C is heard at a pause.

        Args:
            operations: Of one attempt.
            attempts: How many it always is; None lets the time that they take decide.
        """
        first = min(_FIRST_ATTEMPTS, _FIRST_OPERATIONS // max(operations, 1))
        self.attempts = max(1, first) if attempts is None else attempts
        self._fixed = attempts is not None

    def adapt(self, made: int, seconds: float) -> None:
        """Lets a pause come after about as long as is good, given how long so many attempts took."""
        if not self._fixed and made > 0:
            wanted = int(made * _PAUSE_SECONDS / max(seconds, 1e-9))
            self.attempts = max(1, min(wanted, 2 * self.attempts, _MOST_ATTEMPTS))
