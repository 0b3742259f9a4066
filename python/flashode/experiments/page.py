"""The results of an experiment, as one page that needs no other file: report.html."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashode.experiments.results import replacing

FILE = "report.html"


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: Of the file.
        draw: Draws it into a file.
        caption: What it shows.
    """

    name: str
    draw: Callable[[Path], object]
    caption: str


@dataclass(frozen=True)
class Table:
    """Headings, and rows of as many words."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        title: Of the page.
        summary: A paragraph: what was learned from what, and whether it was.
        table: Our figures beside those published.
        figures: The pictures.
    """

    title: str
    summary: str
    table: Table
    figures: Sequence[Figure]


def write(folder: Path, page: Page, command: str, conditions: Mapping[str, str]) -> Path:
    """Writes the page into a folder that has its pictures.

    Args:
        folder: Where.
        page: What it says.
        command: What makes it again.
        conditions: What its numbers depend on, and their date.
    """
    import jinja2  # not needed by the commands that only print

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = [
        (base64.b64encode((folder / figure.name).read_bytes()).decode(), figure.caption)
        for figure in page.figures
    ]
    text = environment.get_template("page.html.j2").render(
        page=page, pictures=pictures, command=command, conditions=conditions
    )
    with replacing(folder / FILE) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return folder / FILE
