"""The tables of rooms in ARCHITECTURE.md, which the layering tests enforce."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "ARCHITECTURE.md"


class Room(NamedTuple):
    """A row of a table.

    Attributes:
        known: The rooms that its files may import or include.
        lazily: Those that it imports when they are first needed, though they know it.
    """

    known: frozenset[str]
    lazily: frozenset[str] = frozenset()


Table = dict[str, Room]


def table(name: str) -> Table:
    """The table of that name on the page: ``rooms python`` or ``rooms csrc``."""
    match = re.search(rf"^```{name}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert match is not None, f"ARCHITECTURE.md has no table {name}"
    return parse(match[1])


def parse(text: str) -> Table:
    """The rooms of a table, lowest first.

    A line is ``room: rooms that it knows``; in brackets, ``(lazily …)``, are those that know it too.
    ``name = rooms`` gives several a name. ``#`` begins a comment.
    """
    rooms: Table = {}
    groups: dict[str, list[str]] = {}
    for line in text.splitlines():
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        match = re.fullmatch(r"(\S+?)\s*([:=])([^()]*)(?:\(lazily ([^()]*)\))?", entry)
        assert match is not None, f"a line of the table cannot be read: {line}"
        name, sign, known, lazily = match[1], match[2], match[3].split(), (match[4] or "").split()
        if sign == "=":
            groups[name] = known
        else:
            assert name not in rooms, f"{name} has two rows"
            every = [room for word in known for room in groups.get(word, [word])]
            rooms[name] = Room(frozenset(every), frozenset(lazily))
    return rooms


def disorder(rooms: Table) -> Iterator[str]:
    """What is wrong with a table: a room may know only those above it, so that they form no circle."""
    above: set[str] = set()
    for name, room in rooms.items():
        yield from (f"{name} may not know {other}: that stands no higher" for other in room.known - above)
        yield from (f"{name} imports {other} lazily, which has no row" for other in room.lazily - set(rooms))
        above.add(name)


def room_of(place: str, rooms: Table) -> str | None:
    """The room of a file, given without its suffix: the row with the longest part of its path."""
    return max((name for name in rooms if f"{place}/".startswith(f"{name}/")), key=len, default=None)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other, sorted."""
    reached = {node: _reach(node, graph) for node in graph}
    groups = {
        tuple(sorted(other for other in reached[node] if node in reached.get(other, ())))
        for node in graph
        if node in reached[node]
    }
    return sorted(map(list, groups))


def _reach(start: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting += graph.get(node, ())
    return reached
