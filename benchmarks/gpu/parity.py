"""The CUDA engine beside the native one: values, counts, gradients, failures; repeats, streams, pauses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

import flashode
from benchmarks.gpu import machines
from benchmarks.gpu.ahead import compiled_ahead, precompile
from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import ENGINE, Watched, solving, solving_natively
from benchmarks.gpu.solves import Solved, difference, sized, solved
from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD
from flashode.bench.tasks.workloads import Times, Workload

# Of values and of gradients; of those in times, which are differences of large numbers, in float64 alone.
# float32 rounds otherwise on each machine, and may then choose other steps: within a few tolerances.
VALUES = {"float64": 1e-9, "float32": 2e-4}
GRADIENTS = {"float64": 1e-7, "float32": 2e-3}
TIME_GRADIENTS = 1e-5
REPEATS = 20
REPEATS_ON_HOST = 2
PAUSE_EVERY = 3
NONE = "no failure"
MODES = (FORWARD, DISCRETE, CONTINUOUS)


@dataclass(frozen=True)
class Case:
    """A workload, and in which modes it is solved."""

    workload: Workload
    modes: tuple[str, ...] = MODES

    @property
    def name(self) -> str:
        """For a reader."""
        work = self.workload
        return f"{work.name} {work.start.shape}, {work.method}, {work.precision}"


def cases(host: bool) -> Iterator[Case]:
    """All of them, or the few small ones that the host does in a moment."""
    if host:
        yield Case(sized("demo", 7, precision="float64"))
        yield Case(sized("wide", 5, precision="float32", rtol=1e-4, atol=1e-4), (FORWARD,))
        return
    for name in ("demo", "demo_rk4", "latent", "wide", "flow", "cnf", "batch1", "spiral"):
        yield Case(sized(name, precision="float64"))
    yield Case(sized("lorenz", 5000, precision="float64"), (FORWARD,))
    for method in ("tsit5", "bosh3", "dopri8", "adaptive_heun", "fehlberg2", "midpoint"):
        yield Case(sized("demo", 300, precision="float64", method=method, rtol=1e-5, atol=1e-7))
    for name in ("demo", "wide", "flow", "latent"):
        yield Case(sized(name, rtol=1e-4, atol=1e-5))
    yield Case(sized("lorenz", 100_000, rtol=1e-4, atol=1e-5), (FORWARD,))


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    on = machines.device(machine).type
    # Of more attempts than one launch makes.
    work = sized("demo", 7 if host else 300, precision="float64", device=on, times=Times(0.0, 2.0, 10))
    compared = [
        (replace(case.workload, device=on), mode, case.name) for case in cases(host) for mode in case.modes
    ]
    solves = [*[(work, mode) for mode in MODES], *[(workload, mode) for workload, mode, _ in compared]]
    with compiled_ahead(machine, [partial(precompile, *solve) for solve in solves]):
        # First what stands for all workloads: what there is no time for is to be one workload less.
        failures(machine, on, found)
        count = REPEATS_ON_HOST if host else REPEATS
        for mode in MODES:
            repeats(machine, work, mode, count, found)
            pauses(machine, work, mode, found)
        streams(machine, work, count, host, found)
        for workload, mode, name in compared:
            compare(machine, workload, mode, name, found)


def compare(machine: Watched, workload: Workload, mode: str, name: str, found: Recorder) -> None:
    """One workload in one mode."""
    what = f"{name}, {mode}"
    before = len(machine.launches)
    try:
        with solving(machine):
            ours = solved(workload, mode)
        with solving_natively():
            right = solved(replace(workload, device="cpu"), mode)
    except Exception as error:  # of one case, which says nothing of the others
        found.add(what, False, _said(error))
        return
    precision = workload.precision
    apart = difference(ours.states, right.states)
    gradients = difference(ours.gradients[:-1], right.gradients[:-1])
    in_times = difference(ours.gradients[-1:], right.gradients[-1:]) if precision == "float64" else 0.0
    counts = (ours.evaluations, ours.backward_evaluations)
    counted = counts == (right.evaluations, right.backward_evaluations)
    found.add(
        what,
        apart <= VALUES[precision]
        and gradients <= GRADIENTS[precision]
        and in_times <= TIME_GRADIENTS
        and (counted or precision == "float32"),
        "" if counted else f"native evaluates {right.evaluations} + {right.backward_evaluations} times",
        {
            "states": apart,
            "gradients": gradients,
            "gradients in times": in_times,
            "evaluations": " + ".join(str(count) for count in counts if count is not None),
            "launches": len(machine.launches) - before,
        },
    )


def _explodes(t: Tensor, y: Tensor) -> Tensor:
    return y * y


def _leaves_its_domain(t: Tensor, y: Tensor) -> Tensor:
    return torch.sqrt(y) * 0 - 1


def failures(machine: Watched, on: str, found: Recorder) -> None:
    """Solves that cannot be done end in the native engine's words."""
    for what, field, start, options in (
        ("a state that explodes", _explodes, [[0.5], [1.2]], {}),
        ("a field that is NaN", _leaves_its_domain, [[2.0], [0.7], [3.0]], {}),
        ("more steps than allowed", _explodes, [[0.5], [0.7]], {"max_num_steps": 1}),
    ):
        with solving(machine):
            ours = _failure(field, start, options, on)
        with solving_natively():
            right = _failure(field, start, options, "cpu")
        well = ours == right != NONE
        found.add(f"failure: {what}", well, ours if well else f"{ours!r} where native says {right!r}")


def _failure(
    field: Callable[[Tensor, Tensor], Tensor], start: list[list[float]], options: dict[str, int], on: str
) -> str:
    y0 = torch.tensor(start, dtype=torch.float64, device=on)
    times = torch.linspace(0, 1, 11, dtype=torch.float64, device=on)
    try:
        flashode.odeint(field, y0, times, rtol=1e-6, atol=1e-8, options=options)
    except Exception as error:  # whatever it is, the other engine has to raise the same
        return _said(error)
    return NONE


def repeats(machine: Watched, workload: Workload, mode: str, count: int, found: Recorder) -> None:
    """The same bits each time."""
    with solving(machine):
        first = solved(workload, mode)
        same = sum(solved(workload, mode).equals(first) for _ in range(count))
    found.add(f"{count} repeats, {mode}", same == count, f"{same} have the same bits")


def pauses(machine: Watched, workload: Workload, mode: str, found: Recorder) -> None:
    """The same bits where launches pause."""
    counts: list[int] = []
    results: list[Solved] = []
    for budget in (None, PAUSE_EVERY):
        before = len(machine.launches)
        with solving(machine, budget):
            results.append(solved(workload, mode))
        counts.append(len(machine.launches) - before)
    without, paused = results
    same = paused.equals(without)
    pairs = (paused.states, without.states), (paused.gradients, without.gradients)
    apart = max(difference(*pair) for pair in pairs)
    found.add(
        f"a pause every {PAUSE_EVERY} attempts, {mode}",
        counts[1] > counts[0] and same,
        "the same bits" if same else "other bits",
        {"apart": apart, "launches": counts[1], "without": counts[0]},
    )


def streams(machine: Watched, workload: Workload, count: int, host: bool, found: Recorder) -> None:
    """Solves of two threads, on a stream each, do not disturb each other. The host has one stream."""
    with solving(machine):
        alone = solved(workload, DISCRETE)

        def many() -> int:
            stream: AbstractContextManager[object] = nullcontext()
            if not host:
                stream = torch.cuda.stream(torch.cuda.Stream())  # type: ignore[no-untyped-call]
            with stream, flashode.use_engine(ENGINE):
                return sum(solved(workload, DISCRETE).equals(alone) for _ in range(count))

        with ThreadPoolExecutor(2) as threads:
            same = sum(each.result() for each in [threads.submit(many) for _ in range(2)])
    found.add("two streams", same == 2 * count, f"{same} of {2 * count} solves have the bits of one alone")


def _said(error: Exception) -> str:
    # A GPU chooses steps in single precision: their last digits are its own.
    text = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.5g}", str(error))
    return f"{type(error).__name__}: {text}"
