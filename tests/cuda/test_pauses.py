"""A solve that pauses, for whatever reason, is the solve that does not."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import Host, HostKernel
from cuda.solving import cuda_on, everything
from flashode import _flashode, use_engine
from flashode.engines import choose
from flashode.engines.protocol import Forward
from flashode.problem import DISCRETE, make_problem
from interrupting import interrupted

T = torch.tensor([0.0, 0.11, 0.4, 0.7], dtype=torch.float64)
SOLVES: dict[str, dict[str, Any]] = {
    "dopri5": {},
    "bosh3": {"method": "bosh3"},
    "jumps": {"options": {"jump_t": torch.tensor([0.2, 0.5]), "step_t": torch.tensor([0.3])}},
    "rk4": {"method": "rk4", "options": {"step_size": 0.06}},
    "cubic": {"method": "rk4", "options": {"step_size": 0.06, "interp": "cubic"}},
    "perturb": {"method": "midpoint", "options": {"step_size": 0.06, "perturb": True}},
}


def solve(
    host: Host, arguments: dict[str, Any], budget: int | None = None, *, record: bool = False
) -> Forward:
    """One solve, with a pause after so many attempts."""
    field, y0 = everything(batch=5)
    settings = {"rtol": 1e-4, "atol": 1e-5, "method": None, "options": None, **arguments}
    problem = make_problem(field, y0, T, **settings)
    with torch.no_grad(), cuda_on(host, budget=budget):
        return choose(problem, DISCRETE).forward(record=record)


def attempts(forward: Forward) -> int:
    return forward.statistics.accepted + forward.statistics.rejected


def require_same(paused: Forward, forward: Forward) -> None:
    """Bit for bit, and at the same cost."""
    assert torch.equal(paused.states, forward.states)
    assert paused.statistics == forward.statistics
    if forward.times is not None:
        assert paused.times is not None
        assert torch.equal(paused.times, forward.times)


@pytest.mark.parametrize("every_step", [False, True], ids=["times", "every step"])
@pytest.mark.parametrize("budget", [1, 3])
@pytest.mark.parametrize("name", SOLVES)
def test_a_pause_changes_nothing(name: str, budget: int, every_step: bool) -> None:
    arguments = {**SOLVES[name], "every_step": every_step}
    host, pausing = Host(), Host()
    whole, paused = solve(host, arguments), solve(pausing, arguments, budget)
    require_same(paused, whole)
    assert host.launches == 1
    assert attempts(whole) > 3
    assert pausing.launches == -(-attempts(whole) // budget)


def kept_of(forward: Forward) -> tuple[Any, Tensor]:
    """The account of the steps, and the checkpoints."""
    log: Any = forward.record
    return log.log, torch.cat([part for part in forward.checkpoints if part is not None])


def steps_of(log: Any) -> Tensor:
    """The bytes of its steps, without those that nothing writes: three numbers and two flags are in each."""
    steps = torch.cat(log.chunks).view(-1, _flashode.cuda.STEP_BYTES)
    return steps[: log.steps, : 3 * 8 + 2]


@pytest.mark.parametrize("every_step", [False, True], ids=["times", "every step"])
@pytest.mark.parametrize("budget", [None, 1, 3])
@pytest.mark.parametrize("name", ["dopri5", "bosh3", "jumps"])
def test_memory_comes_in_chunks(
    name: str, budget: int | None, every_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reverse needs is the same, too."""
    arguments = {**SOLVES[name], "every_step": every_step}
    whole = solve(Host(), arguments, record=True)
    monkeypatch.setattr("flashode.engines.cuda.forward._FIRST_STEPS", 1)
    chunked = solve(Host(), arguments, budget, record=True)
    require_same(chunked, whole)
    (log, checkpoints), (whole_log, whole_checkpoints) = map(kept_of, (chunked, whole))
    assert len(whole_log.chunks) == 1
    assert len(log.chunks) == len(f"{log.steps:b}")  # of 1, 2, 4 … steps
    assert torch.equal(steps_of(log), steps_of(whole_log))
    assert torch.equal(log.step_of_time, whole_log.step_of_time)
    used = log.steps * len(whole_checkpoints) // len(whole_log.chunks[0]) * _flashode.cuda.STEP_BYTES
    assert torch.equal(checkpoints[:used], whole_checkpoints[:used])


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("every_step", [False, True])
def test_the_first_chunk_is_small_whatever_a_step_keeps(
    every_step: bool, record: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large state it would be more than all of a solve's few steps take."""
    from flashode.engines.cuda.forward import Steps

    made: list[Steps] = []
    grow = Steps.grow

    def noting(self: Steps) -> None:
        grow(self)
        made.append(self)

    state_bytes = 5 * 24 * 8
    monkeypatch.setattr(Steps, "grow", noting)
    monkeypatch.setattr("flashode.engines.cuda.forward._FIRST_BYTES", 6 * state_bytes)
    solve(Host(), {"every_step": every_step}, record=record)
    assert bool(made) == (every_step or record)
    for steps in made[:1]:
        kept = [*steps.checkpoints[:1], *steps.node_states[:1]]
        assert steps.first >= 1
        assert sum(part.nbytes for part in kept) <= 6 * state_bytes


class Bad(nn.Module):
    """Not finite from some time on, in the second row of large states."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        rate = torch.where((y[:, 1] > 2) & (t > 0.52), torch.nan, -0.1 * y[:, 1])
        return torch.stack([-y[:, 0], rate], 1)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_failure_is_the_same(method: str) -> None:
    y0 = torch.ones(5, 2, dtype=torch.float64)
    y0[3, 1] = 5.0
    errors = []
    for block in (use_engine("native"), cuda_on(Host()), cuda_on(Host(), budget=1)):
        with block, pytest.raises(flashode.NonFiniteError) as caught:
            flashode.odeint(Bad(), y0, torch.linspace(0, 1, 9), method=method)
        errors.append(caught.value)
    native, whole, paused = errors
    assert str(native) == str(whole) == str(paused)
    assert native.trajectory == (3,)
    torch.testing.assert_close(whole.partial, native.partial, rtol=1e-10, atol=1e-12)
    # How often a controller halves a step until nothing is left of it is a matter of rounding.
    assert paused.statistics == whole.statistics
    assert torch.equal(paused.partial, whole.partial)


class Signalled(HostKernel):
    """Gets a Ctrl-C while its third launch is at work."""

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        done = super().launch(blocks, threads, shared_bytes, arguments, meeting=meeting)
        if self.machine.launches == 3:
            signal.raise_signal(signal.SIGINT)
        return done


class Interrupting(Host):
    """A machine of such kernels, which notes how many launches it has waited for."""

    waited = 0

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        return Signalled(super().kernel(source, name, device).function, self)

    def synchronize(self, device: torch.device) -> None:
        self.waited = self.launches


def test_a_signal_is_heard_between_launches() -> None:
    host = Interrupting()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            solve(host, {}, budget=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert host.launches == host.waited == 3  # what it writes to is not let go before
    require_same(solve(host, {}, budget=1), solve(Host(), {}))


def test_a_long_solve_is_interrupted() -> None:
    field, y0 = everything(batch=1)
    with torch.no_grad(), cuda_on(Host()):
        flashode.odeint(field, y0, T)  # which compiles the kernel
        assert interrupted(lambda: flashode.odeint(field, y0, 1e6 * T, options={"max_step": 1e-3}))


# Forward 8, 16, 32 and 64 attempts, and backward; but the exact reverse goes on to where it folds.
@pytest.mark.parametrize(("solve", "expected"), [(flashode.odeint, 4 + 3), (flashode.odeint_adjoint, 4 + 4)])
def test_short_solves_say_nothing_of_how_long_attempts_take(
    solve: Callable[..., Tensor], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch that ends before its budget is used up leaves it as it is, however soon that is."""
    from flashode.engines.cuda import launch

    monkeypatch.setattr(launch.Prepared.__init__, "__defaults__", (8,))
    monkeypatch.setattr(launch, "_PAUSE_SECONDS", 1e6)
    field, y0 = everything(batch=1)
    host = Host()

    def launches(steps: int) -> int:
        before = host.launches
        t = torch.tensor([0.0, 0.01 * steps], dtype=torch.float64)
        solve(field, y0, t, method="rk4", options={"step_size": 0.01}).sum().backward()
        return host.launches - before

    with cuda_on(host):
        for _ in range(12):
            assert launches(4) == 2
        assert launches(100) == expected


def test_a_solve_of_a_few_steps_more_has_memory_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what is known of the solve before have to be little."""
    monkeypatch.setattr("flashode.engines.cuda.forward._FIRST_BYTES", 1)
    field, y0 = everything(batch=5)
    y0.requires_grad_()
    launches, host = [], Host()
    with cuda_on(host):
        for end in (4.0, 4.4):
            before = host.launches
            t = torch.tensor([0.0, end], dtype=torch.float64)
            flashode.odeint(field, y0, t, rtol=1e-2, atol=1e-2, options={"max_step": 0.1})
            launches.append(host.launches - before)
    first, second = launches
    assert first > 4 and second == 1
