"""A run of the suite as a file: everything that was measured, where, and by which command."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from flashode.bench.records.record import Record

FILE = "results.json"
# The version of the file's layout.
FORMAT = 2
# More digits than any measurement repeats.
DIGITS = 4


@dataclass
class Results:
    """A run of the suite.

    Attributes:
        started: When, as ISO 8601 in UTC.
        command: What to type to do it again.
        commit: Of the sources that were measured; empty where unknown, "-dirty" at its end after edits.
        quick: Whether it was the quick run.
        threads: That every contender might use.
        finished: Whether everything was measured that the command asks for.
        machine: What it ran on, by what a reader would call it.
        versions: Of everything that takes part, by name.
        peaks: What the machine can do at best, flop/s under "fma float32 1" and byte/s under "bandwidth 1",
            the number that of threads.
        records: Everything that was measured.
    """

    started: str
    command: str
    commit: str
    quick: bool
    threads: int
    finished: bool = False
    machine: dict[str, str | int | float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Writes results.json into a folder, which it creates; a reader never sees a part of it.

        Returns:
            The file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        unfinished = path.with_suffix(".json.part")
        content = {"format": FORMAT, **asdict(self)}
        # NaN is no JSON: what is not finite stands as text, which `read` takes back.
        text = json.dumps(_rounded(content), indent=1, ensure_ascii=False, allow_nan=False)
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
        return path


def read(path: Path) -> Results:
    """The results in a file.

    Raises:
        ValueError: If the file holds something else; the message says what.
        OSError: If it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"{path} was not written by flashode bench: it names no format")
    number = content.pop("format")
    if number != FORMAT:
        raise ValueError(f"{path} is of format {number!r}; this flashode reads format {FORMAT}")
    _require_fields(path, content, Results, "the results")
    if not isinstance(content["records"], list):
        raise ValueError(f"{path}: records is {_kind(content['records'])}, a list is needed")
    content["records"] = [_record(path, place, one) for place, one in enumerate(content["records"])]
    _require_types(path, content, Results, "")
    first: dict[tuple[object, ...], int] = {}
    for place, record in enumerate(content["records"]):
        earlier = first.setdefault(record.key, place)
        if earlier != place:
            raise ValueError(f"{path}: records {earlier} and {place} are of the same measurement")
    return Results(**content)


def _record(path: Path, place: int, content: Any) -> Record:
    _require_fields(path, content, Record, f"record {place}")
    for name in ("error", "gradient_error"):
        if content[name] is not None:
            content[name] = _number(path, f"{name} of record {place}", content[name])
    _require_types(path, content, Record, f" of record {place}")
    if not all(0 < one < math.inf for one in content["seconds"]):
        raise ValueError(
            f"{path}: seconds of record {place} is {content['seconds']}, positive numbers are needed"
        )
    for name in ("first_seconds", "peak_bytes"):
        if content[name] is not None and not 0 <= content[name] < math.inf:
            raise ValueError(f"{path}: {name} of record {place} is {content[name]}, at least 0 is needed")
    return Record(**content)


def _number(path: Path, what: str, content: Any) -> float:
    if isinstance(content, int | float) and not isinstance(content, bool):
        return float(content)
    if content in ("nan", "inf", "-inf"):
        return float(content)
    raise ValueError(f"{path}: {what} is {content!r}, a number is needed")


def _require_fields(path: Path, content: Any, wanted: type[Results] | type[Record], what: str) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{path}: {what} is {_kind(content)}, an object is needed")
    names = {one.name for one in fields(wanted)}
    for problem, wrong in (("lacks", names - content.keys()), ("has the unknown", content.keys() - names)):
        if wrong:
            raise ValueError(f"{path}: {what} {problem} {', '.join(sorted(wrong))}")


def _require_types(
    path: Path, content: dict[str, Any], wanted: type[Results] | type[Record], whose: str
) -> None:
    for name, hint in get_type_hints(wanted).items():
        if not _fits(content[name], hint):
            text = hint.__name__ if isinstance(hint, type) else str(hint)
            raise ValueError(f"{path}: {name}{whose} is {content[name]!r}, {text} is needed")


def _fits(value: Any, hint: Any) -> bool:
    """Whether what JSON gave is of the annotated type."""
    inner = get_args(hint)
    kind: Any = get_origin(hint) or hint
    if kind is UnionType:
        return any(_fits(value, one) for one in inner)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    # JSON writes a whole number without a point.
    if not isinstance(value, (int, float) if kind is float else kind):
        return False
    if isinstance(value, list):
        return all(_fits(one, inner[0]) for one in value)
    if isinstance(value, dict):
        return all(_fits(key, inner[0]) and _fits(one, inner[1]) for key, one in value.items())
    return True


def _kind(content: Any) -> str:
    return f"a {type(content).__name__}"


def _rounded(content: Any) -> Any:
    """The same with every float to so many significant digits."""
    if isinstance(content, float):
        return float(f"{content:.{DIGITS}g}") if math.isfinite(content) else str(content)
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return content
