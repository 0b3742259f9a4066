"""The changes between two runs: ratios of peers' times to ours, beyond the scatter of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flashode.bench.records.file import Results
from flashode.bench.records.record import Record

OURS = "flashode"
# Bootstrap of the medians: how often, and how much of it lies within the interval.
RESAMPLES = 2000
CONFIDENCE = 0.99
# Medians of fewer samples scatter too widely, and too discretely, to tell a change from noise.
FEWEST = 5
# A ratio may fall by this share before it counts as a regression.
ALLOWED = 0.10


@dataclass(frozen=True)
class Change:
    """A ratio, peer's time by ours, in two runs.

    Attributes:
        record: The peer's, of the new run.
        old: The ratio in the old run.
        new: The ratio in the new run.
        low: Lower end of the interval of new by old.
        high: Upper end of the interval.
    """

    record: Record
    old: float
    new: float
    low: float
    high: float

    @property
    def factor(self) -> float:
        """The new ratio by the old one; below 1 we lost ground."""
        return self.new / self.old

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval excludes that nothing changed."""
        return not self.low <= 1 <= self.high

    @property
    def regression(self) -> bool:
        """Whether we lost more than `ALLOWED`, beyond noise."""
        return self.high < 1 and self.factor < 1 - ALLOWED


@dataclass
class Comparison:
    """Two runs side by side.

    Attributes:
        changes: Every ratio that both runs have with enough samples, the greatest losses first.
        lost: What of ours the old run timed, and the new run tried without success.
        undecided: How many ratios had too few samples.
        differing: What else differs, so that ratios may have changed without a change of ours.
    """

    changes: list[Change] = field(default_factory=list)
    lost: list[Record] = field(default_factory=list)
    undecided: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def regressed(self) -> bool:
        """Whether anything got worse."""
        return bool(self.lost) or any(change.regression for change in self.changes)


def compare(old: Results, new: Results) -> Comparison:
    """Compares every ratio that two runs share."""
    comparison = Comparison(lost=list(_lost(old, new)), differing=list(_differing(old, new)))
    before, after = _pairs(old), _pairs(new)
    for key in before.keys() & after.keys():
        peer, now = after[key]
        then = before[key][1]
        if min(len(now), len(then)) < FEWEST:
            comparison.undecided += 1
            continue
        low, high = _interval(then, now)
        was, is_now = (math.exp(float(np.median(samples))) for samples in (then, now))
        comparison.changes.append(Change(peer, was, is_now, low, high))
    comparison.changes.sort(key=lambda change: (change.factor, str(change.record.key)))
    return comparison


def _pairs(results: Results) -> dict[tuple[object, ...], tuple[Record, NDArray[np.float64]]]:
    """By key: each timed peer's record, and the logarithms of its ratios to ours, turn by turn.

    Contenders run in turn, so the samples of one turn shared what else the machine was doing.
    """
    ours = {same_work(record): record for record in results.records if record.library == OURS}
    pairs = {}
    for record in results.records:
        own = ours.get(same_work(record))
        if own is not None and not record.library.startswith(OURS) and own.seconds and record.seconds:
            pairs[record.key] = (record, paired(own, record))
    return pairs


def same_work(record: Record) -> tuple[object, ...]:
    """A key that is equal for records of the same work by different libraries."""
    return (record.study, record.case, *sorted(record.parameters.items()), record.mode)


def paired(ours: Record, peer: Record) -> NDArray[np.float64]:
    """The logarithms of a peer's times by ours, turn by turn."""
    count = min(len(ours.seconds), len(peer.seconds))
    ratios = np.array(peer.seconds[:count], np.float64) / np.array(ours.seconds[:count], np.float64)
    logarithms: NDArray[np.float64] = np.log(ratios)
    return logarithms


def _interval(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float]:
    """The interval of the ratio's change, by a bootstrap of both medians."""
    # A new generator each time: the same samples give the same interval, whatever was compared before them.
    random = np.random.default_rng(0)
    medians = [np.median(random.choice(samples, (RESAMPLES, len(samples))), axis=1) for samples in (old, new)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(medians[1] - medians[0], (tail, 1 - tail)))
    return float(low), float(high)


def _lost(old: Results, new: Results) -> Iterator[Record]:
    timed = {record.key for record in old.records if record.seconds}
    for record in new.records:
        if record.library == OURS and record.failure is not None and record.key in timed:
            yield record


def _differing(old: Results, new: Results) -> Iterator[str]:
    versions: Sequence[str] = sorted((old.versions.keys() | new.versions.keys()) - {OURS})
    for what, then, now in (
        ("processor", old.machine.get("processor"), new.machine.get("processor")),
        ("threads", old.threads, new.threads),
        *((name, old.versions.get(name), new.versions.get(name)) for name in versions),
    ):
        if then != now:
            yield f"{what}: {_named(then)} then, {_named(now)} now"


def _named(value: object) -> str:
    return "none" if value is None else str(value)
