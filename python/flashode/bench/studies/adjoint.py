"""What a gradient costs: time, memory and accuracy of each mode, over steps, width, batch and tolerance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from flashode.bench.contenders import FORWARD, Contender, contenders
from flashode.bench.measuring.memory import physical_memory
from flashode.bench.measuring.race import Effort, isolated_race
from flashode.bench.records.record import Record
from flashode.bench.studies import Case, Settings, register
from flashode.bench.tasks.fields.networks import network
from flashode.bench.tasks.workloads import Start, Times, Workload

NAME = "adjoint"
# Decades: fifteen contenders at each point are minutes, and the slowest take seconds a run.
POINTS: Mapping[str, tuple[float, ...]] = {
    "steps": (10, 100, 1000, 10_000),
    "width": (8, 32, 128, 256),
    "batch": (1, 16, 256, 4096, 65_536),
    "tolerance": (1e-3, 1e-5, 1e-7, 1e-9),
    "target": (500,),
}
QUICK: Mapping[str, tuple[float, ...]] = {"steps": (100,)}
BUDGET = 2.0
PATIENCE = 20.0
END = 2.0


def workload(sweep: str, value: float, device: str = "cpu") -> Workload:
    """What is solved at a point of a sweep. "target" is the steps of the stated memory target, batch 1024."""
    steps = int(value) if sweep in {"steps", "target"} else 100
    width = int(value) if sweep == "width" else 50
    batch = int(value) if sweep == "batch" else 1024 if sweep == "target" else 128
    fixed = Workload(
        name=sweep,
        summary=f"2-{width}-2 tanh, {batch} trajectories",
        field=network(2, width, 2),
        start=Start((batch, 2)),
        times=Times(0.0, END),
        method="rk4",
        step_size=END / steps,
        device=device,
    )
    if sweep != "tolerance":
        return fixed
    return replace(fixed, method="dopri5", step_size=None, rtol=value, atol=value, precision="float64")


@dataclass
class _Sweep:
    """One parameter going up; it remembers what each contender took at the point before."""

    name: str
    threads: int
    device: str
    effort: Effort
    contenders: tuple[Contender, ...]
    before: dict[tuple[str, str], tuple[float, Record]] = field(default_factory=dict)

    def measure(self, value: float) -> list[Record]:
        """A record of each contender at a point."""
        solved = workload(self.name, value, self.device)
        parameters = {"steps" if self.name == "target" else self.name: value}
        records = {
            (one.library, one.mode): Record(NAME, self.name, parameters, one.library, one.mode, one.label)
            for one in self.contenders
        }
        for key, record in records.items():
            record.failure = self._hopeless(key, value)
        running = tuple(key for key, record in records.items() if record.failure is None)
        raced = isolated_race(self.threads, NAME, solved, running, self.effort, parameters)
        records.update({(record.library, record.mode): record for record in raced})
        # What was passed over is judged by the last point that was measured.
        self.before.update({key: (value, records[key]) for key in running})
        return list(records.values())

    def _hopeless(self, key: tuple[str, str], value: float) -> str | None:
        """Why a contender is not to be tried at a point, judged by its last one."""
        if key not in self.before:
            return None
        last, record = self.before[key]
        growth = max(1.0, value / last)
        seconds = record.median if record.median is not None else record.first_seconds
        if seconds is not None and seconds * growth > 10 * self.effort.patience:
            return f"passed over: {seconds:.0f} s at {self.name} {last:g}"
        out_of_patience = not record.seconds and (record.first_seconds or 0.0) > self.effort.patience
        if out_of_patience and record.first_seconds is not None:
            return f"passed over: {record.first_seconds:.0f} s at {self.name} {last:g}"
        if record.peak_bytes is not None and record.peak_bytes * growth > physical_memory() / 2:
            return f"passed over: {record.peak_bytes / 1e9:.1f} GB at {self.name} {last:g}"
        return None


@register(NAME, "What does a gradient cost, in time, memory and accuracy?")
def cases(settings: Settings) -> Iterator[Case]:
    """A case for each point of each sweep."""
    effort = replace(
        settings.effort,
        budget=min(settings.effort.budget, BUDGET),
        patience=min(settings.effort.patience, PATIENCE),
        fewest=1,
    )
    wanted = tuple(one for one in contenders() if one.mode != FORWARD and settings.wants(one))
    for name, values in (QUICK if settings.quick else POINTS).items():
        sweep = _Sweep(name, settings.threads, settings.device, effort, wanted)
        for value in values:
            yield Case(f"gradients, {name} {value:g}", partial(sweep.measure, value))
