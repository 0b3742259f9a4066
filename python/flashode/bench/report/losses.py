"""Where a peer does better: in less time, in less memory, or with a more accurate gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from flashode.bench.records.comparison import OURS, paired, same_work
from flashode.bench.records.file import Results
from flashode.bench.records.record import Record

STUDIES = ("workloads", "adjoint")
# Smaller differences come from pages that a process happened to have, not from solvers.
LEAST_BYTES = 100_000
# Errors that differ by less are roundings of different order.
LEAST_ERRORS = 2.0


@dataclass(frozen=True)
class Pair:
    """One quantity of two records of the same work.

    Attributes:
        ours: Our record.
        peer: The peer's.
        ratio: Our quantity by the peer's.
    """

    ours: Record
    peer: Record
    ratio: float

    @property
    def where(self) -> str:
        """The case, or what was varied in it and to what."""
        case = self.ours.case
        varied = self.ours.parameters.items()
        named = [f"{name if name == case else f'{case}, {name}'} {value}" for name, value in varied]
        return "; ".join(named) or case

    @property
    def time(self) -> float:
        """The peer's median time by ours."""
        assert self.ours.median is not None and self.peer.median is not None
        return self.peer.median / self.ours.median

    @property
    def turns(self) -> tuple[float, float]:
        """The least and the largest of our times by the peer's, turn by turn."""
        ratios = np.exp(-paired(self.ours, self.peer))
        return float(ratios.min()), float(ratios.max())


@dataclass
class Contest:
    """One quantity between a peer and us, wherever both were measured.

    Attributes:
        quantity: "time", "peak memory" or "gradient error".
        mode: Of both.
        peer: The peer, as a reader knows it.
        compared: How often.
        lost: Where the peer did better, the largest ratio first.
    """

    quantity: str
    mode: str
    peer: str
    compared: int
    lost: list[Pair]


def contests(results: Results) -> list[Contest]:
    """All there are, by quantity, those with the largest losses first."""
    by_key: dict[tuple[str, str, str], Contest] = {}
    for ours, peer in _pairs(results):
        for quantity, ratio in _RATIOS.items():
            value = ratio(ours, peer)
            if value is None:
                continue
            key = quantity, ours.mode, peer.library
            contest = by_key.setdefault(key, Contest(quantity, ours.mode, peer.label, 0, []))
            contest.compared += 1
            if value > (LEAST_ERRORS if quantity == _ERROR else 1.0):
                contest.lost.append(Pair(ours, peer, value))
    for contest in by_key.values():
        contest.lost.sort(key=lambda pair: -pair.ratio)
    order = list(_RATIOS)
    return sorted(by_key.values(), key=lambda one: (order.index(one.quantity), -_worst(one)))


def _worst(contest: Contest) -> float:
    return contest.lost[0].ratio if contest.lost else 0.0


def _pairs(results: Results) -> Iterator[tuple[Record, Record]]:
    """Our record and a peer's of the same work, both timed."""
    ours = {same_work(one): one for one in results.records if one.library == OURS and one.study in STUDIES}
    for peer in results.records:
        own = ours.get(same_work(peer))
        if own is not None and not peer.library.startswith(OURS) and peer.seconds and own.seconds:
            yield own, peer


def _slower(ours: Record, peer: Record) -> float | None:
    return None if ours.median is None or peer.median is None else ours.median / peer.median


def _larger(ours: Record, peer: Record) -> float | None:
    if ours.peak_bytes is None or peer.peak_bytes is None:
        return None
    return max(ours.peak_bytes, LEAST_BYTES) / max(peer.peak_bytes, LEAST_BYTES)


def _less_accurate(ours: Record, peer: Record) -> float | None:
    # An error of exactly zero is the reference's own.
    if not ours.gradient_error or not peer.gradient_error:
        return None
    return ours.gradient_error / peer.gradient_error


_ERROR = "gradient error"
_RATIOS: dict[str, Callable[[Record, Record], float | None]] = {
    "time": _slower,
    "peak memory": _larger,
    _ERROR: _less_accurate,
}
