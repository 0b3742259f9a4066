"""The studies of the suite, each a list of cases. One file a study, which registers itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flashode.bench.contenders import Contender
from flashode.bench.measuring.race import Effort
from flashode.bench.records.record import Record


@dataclass(frozen=True)
class Settings:
    """How a run of the suite was asked for.

    Attributes:
        quick: A few small cases of each study, within two minutes.
        threads: That every contender may use.
        effort: How long a measurement may take.
        device: What every contender computes on, "cpu" or "cuda"; the peak of memory is that device's.
        libraries: Contenders to measure, by library; None for all. Ours are always among them.
        workloads: Which ones of the table to measure, by name; None for all, or for those of a quick run.
    """

    quick: bool
    threads: int
    effort: Effort
    device: str = "cpu"
    libraries: tuple[str, ...] | None = None
    workloads: tuple[str, ...] | None = None

    def wants(self, contender: Contender) -> bool:
        """Whether a contender is to be measured."""
        ours = contender.library in ("flashode", "flashode eager")
        return ours or self.libraries is None or contender.library in self.libraries


@dataclass(frozen=True)
class Case:
    """One thing to measure, for the progress bar and for the loop that measures.

    Attributes:
        title: What it is, in a few words.
        measure: Measures it, in processes of its own.
    """

    title: str
    measure: Callable[[], list[Record]]


@dataclass(frozen=True)
class Study:
    """A question, with the cases that answer it.

    Attributes:
        name: One word; records bear it.
        title: The question.
        cases: The cases under the settings, in order.
    """

    name: str
    title: str
    cases: Callable[[Settings], Iterable[Case]]


_registry: dict[str, Study] = {}
# The order of the report; a study that is not named here comes after those that are.
_ORDER = ("workloads", "adjoint", "precision", "threads")


def register(
    name: str, title: str
) -> Callable[[Callable[[Settings], Iterable[Case]]], Callable[..., object]]:
    """Registers the decorated function as `Study.cases`; the arguments are the other attributes."""

    def keep(cases: Callable[[Settings], Iterable[Case]]) -> Callable[[Settings], Iterable[Case]]:
        _registry[name] = Study(name, title, cases)
        return cases

    return keep


def studies() -> dict[str, Study]:
    """Every study by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    rank = {name: place for place, name in enumerate(_ORDER)}
    return dict(sorted(_registry.items(), key=lambda entry: rank.get(entry[0], len(rank))))
