"""What an experiment found, as one page that needs nothing else: report.html."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flashode.experiments import results

FILE = "report.html"


@dataclass(frozen=True)
class Figure:
    """A picture, and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Table:
    """Headings, and rows of as many words."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write(
    folder: Path, title: str, summary: str, table: Table, figures: Sequence[Figure], command: str
) -> Path:
    """Writes the page into a folder; a reader finds the old page or the new one, never half.

    Args:
        folder: Where.
        title: Of the page.
        summary: A paragraph: what was learned from what, and whether it was.
        table: The figures found, beside those published.
        figures: The pictures, PNG files.
        command: What makes them again.
    """
    import jinja2  # not needed by the commands that only print

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = [(base64.b64encode(figure.path.read_bytes()).decode(), figure.caption) for figure in figures]
    text = environment.get_template("page.html.j2").render(
        title=title,
        summary=summary,
        table=table,
        pictures=pictures,
        command=command,
        versions=results.versions(),
    )
    path = folder / FILE
    unfinished = path.with_suffix(".html.part")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
    return path
