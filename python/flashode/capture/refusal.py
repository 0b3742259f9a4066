"""How the steps of a capture say that they cannot go on."""

from __future__ import annotations

import torch

from flashode.declined import Declined, Place, Reason, listed

# What a module of torch's wants that does in training what a field may not.
EVALUATION = "call eval()"

# What can be watched.
PLAIN = (
    "keep what func reads in numbers, tensors, short lists and dicts, or objects of classes written in Python"
)


class Refusal(Exception):
    """Raised by any step of a capture, with the reasons that a user reads.

    Each kind has a remedy, for reasons that say none.
    """

    remedy = ""

    def __init__(self, *reasons: Reason | str, remedy: str | None = None) -> None:
        chosen = self.remedy if remedy is None else remedy
        self.reasons = tuple(Reason(each, chosen) if isinstance(each, str) else each for each in reasons)
        super().__init__(listed(self.reasons))

    def declined(self) -> Declined:
        """What the capture as a whole answers."""
        return Declined(*self.reasons)

    def within(self, where: Place | None, module: str = "") -> tuple[Reason, ...]:
        """Its reasons, at a place where they say none."""
        return tuple(reason.within(where, module) for reason in self.reasons)


class Unsupported(Refusal):
    """An operation that a Program has no form for."""

    remedy = "write it with arithmetic, activations, matrix products, indexing and sums over features"


class Mixing(Refusal):
    """Trajectories depend on each other."""

    remedy = "compute each row of y's first axis from that row alone"


class Typed(Refusal):
    """A dtype that a Program does not compute in."""

    remedy = "compute in y's dtype (.to(y.dtype))"


class Computed(Refusal):
    """Values decide what only constants can."""

    remedy = "let torch.where choose, or multiply by a mask, so that no shape or index depends on values"


class Unsteady(Refusal):
    """Calls differ in what they do."""

    remedy = "let func do the same at every call, and keep what changes in tensors"


class TooLarge(Refusal):
    """More rows than a Program may have."""

    remedy = "keep trajectories apart in y's first axis, or make the state smaller"


class Memoised(Refusal):
    """The function keeps what it computes in its first call, and reads it in all others."""

    remedy = "compute it before the solve; a solve makes that call, and is captured from then on"


class Failed(Refusal):
    """The function itself raised an exception, after what the other reasons say."""

    def declined(self) -> Declined:
        """What the capture as a whole answers."""
        return Declined(*self.reasons, raised=len(self.reasons) == 1)


class Singular(Failed):
    """A matrix was singular, which depends on numbers: others may do."""

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
