"""Our time beside each peer's, for the same work, for tables, pictures and the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flashode.bench.records.comparison import OURS, same_work
from flashode.bench.records.file import Results
from flashode.bench.records.record import Record

STUDY = "workloads"


@dataclass(frozen=True)
class Speed:
    """One workload in one mode.

    Attributes:
        ours: What a user of flashode gets.
        peers: Everybody else who was timed.
    """

    ours: Record
    peers: tuple[Record, ...]

    def ratio(self, library: str) -> float | None:
        """A peer's median time by ours; None where it was not timed."""
        for peer in self.peers:
            if peer.library == library:
                return median(peer) / median(self.ours)
        return None


def median(record: Record) -> float:
    """The median time of a record that has one."""
    assert record.median is not None, f"{record.label} was not timed"
    return record.median


def speeds(results: Results) -> list[Speed]:
    """The workloads that we and another library were timed with, in the order of measuring."""
    compared = []
    for ours in results.records:
        if ours.study == STUDY and ours.library == OURS and ours.seconds:
            peers = tuple(
                one
                for one in results.records
                if one.library != OURS and one.seconds and same_work(one) == same_work(ours)
            )
            if peers:
                compared.append(Speed(ours, peers))
    return compared


def libraries(compared: Sequence[Speed]) -> list[str]:
    """The peers that were timed at all, by how often, so that the first columns are the fullest."""
    names = [peer.library for speed in compared for peer in speed.peers]
    return sorted(set(names), key=lambda name: (-names.count(name), name))
