"""The answer of ``explain``, as attributes and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flashode.declined import Reason, listed
from flashode.explain.text import lines
from flashode.program import Program


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Which engine runs a solve, why faster ones do not, and the captured function.

    ``str`` gives all of it to read, and so does a prompt.

    Attributes:
        function: What the function calls itself.
        state: The state it is asked about, in words.
        method: Name of the method.
        gradients: ``"discrete adjoint"`` for ``odeint``, or ``"no gradients"`` where SciPy solves;
            ``"continuous adjoint"`` for ``odeint_adjoint``.
        engine: Name of the engine that would run, or None where ``use_engine`` insists on one that declines.
        reasons: Why each faster engine does not run it, by its name, fastest first: up to ten reasons, each
            with what stands in the way, what to write instead, and where; ``declined`` has them in words.
        error: What the function raises, if that is why it was not captured.
        program: The captured function of one trajectory, or None if it was not captured.
        batched: Whether the state holds independent trajectories in its first dimension, else it is one
            trajectory; None without a program.
        trajectories: How many independent trajectories the state holds; 0 without a program.
        carried: Shapes of the function's tensors of which each trajectory reads its own slice, the program's
            ``c``.
        parameters: How each parameter of the program is made: the name of a tensor, such as
            ``net.0.weight``, or an expression of such names, which torch evaluates once for each solve.
        counters: What the function's own counters grow by at each evaluation, by name.
        event: What the event function calls itself, or None where there is none.
        event_reasons: Why a compiled solve calls the event function from Python; ``event_called`` has them in
            words.
    """

    function: str
    state: str
    method: str
    gradients: str
    engine: str | None
    reasons: Mapping[str, tuple[Reason, ...]]
    error: Exception | None = None
    program: Program | None = None
    batched: bool | None = None
    trajectories: int = 0
    carried: tuple[tuple[int, ...], ...] = ()
    parameters: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    event: str | None = None
    event_reasons: tuple[Reason, ...] = ()

    @property
    def declined(self) -> Mapping[str, str]:
        """Why each faster engine does not run it, in words, by its name, fastest first."""
        return {name: listed(reasons) for name, reasons in self.reasons.items()}

    @property
    def event_called(self) -> str | None:
        """Why a compiled solve calls the event function from Python, in words; None where it does not."""
        return listed(self.event_reasons) or None

    def __str__(self) -> str:
        return "\n".join(lines(self))

    __repr__ = __str__
