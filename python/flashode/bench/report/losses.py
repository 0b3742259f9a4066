"""Where a peer does better: it takes less time, less memory, or no more time for a better gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flashode.bench.comparison import OURS, median_interval, paired, same_work
from flashode.bench.records import Record
from flashode.bench.results import Results

STUDIES = ("workloads", "adjoint")
# Smaller differences are of pages that a process happened to have, not of what a solver keeps.
LEAST_BYTES = 100_000
# Errors that differ by less are roundings of different order.
LEAST_ERRORS = 2.0


@dataclass(frozen=True)
class Loss:
    """A peer that did better.

    Attributes:
        quantity: "time", "peak memory" or "gradient error".
        ours: Our record.
        peer: The peer's of the same work.
        ratio: Our quantity by the peer's, above 1.
        interval: Between what a bootstrap finds the ratio of times; None for what was measured once.
    """

    quantity: str
    ours: Record
    peer: Record
    ratio: float
    interval: tuple[float, float] | None = None

    @property
    def where(self) -> str:
        """Case, what was varied, and mode."""
        varied = [f"{name}={value}" for name, value in self.ours.parameters.items()]
        return " ".join((*(varied or [self.ours.case]), self.ours.mode))


def losses(results: Results) -> list[Loss]:
    """Each way in which a peer did better, the largest first; of a sweep the worst point for each peer."""
    found: dict[tuple[str, ...], Loss] = {}
    for loss in _losses(results):
        key = (loss.quantity, loss.ours.study, loss.ours.case, loss.ours.mode, loss.peer.library)
        if key not in found or found[key].ratio < loss.ratio:
            found[key] = loss
    return sorted(found.values(), key=lambda loss: (_ORDER.index(loss.quantity), -loss.ratio))


def _losses(results: Results) -> Iterator[Loss]:
    ours = {same_work(one): one for one in results.records if one.library == OURS and one.study in STUDIES}
    for peer in results.records:
        own = ours.get(same_work(peer))
        if own is None or peer.library.startswith(OURS) or not (peer.seconds and own.seconds):
            continue
        for quantity, ratio in _RATIOS.items():
            found = ratio(own, peer)
            if found is not None and found > 1:
                interval = median_interval(-paired(own, peer)) if quantity == "time" else None
                yield Loss(quantity, own, peer, found, interval)


def _slower(ours: Record, peer: Record) -> float | None:
    return None if ours.median is None or peer.median is None else ours.median / peer.median


def _larger(ours: Record, peer: Record) -> float | None:
    if ours.peak_bytes is None or peer.peak_bytes is None:
        return None
    return max(ours.peak_bytes, LEAST_BYTES) / max(peer.peak_bytes, LEAST_BYTES)


def _less_accurate(ours: Record, peer: Record) -> float | None:
    """Against a peer that takes no longer: against a slower one a tighter tolerance does the same."""
    if not ours.gradient_error or not peer.gradient_error or (_slower(ours, peer) or 0.0) < 1:
        return None
    ratio = ours.gradient_error / peer.gradient_error
    return ratio if ratio >= LEAST_ERRORS else None


_RATIOS: dict[str, Callable[[Record, Record], float | None]] = {
    "time": _slower,
    "peak memory": _larger,
    "gradient error": _less_accurate,
}
_ORDER = tuple(_RATIOS)
