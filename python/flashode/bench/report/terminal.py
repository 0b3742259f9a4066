"""The tables of a run in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from flashode.bench.report.tables import tables
from flashode.bench.results import Results

LOST = "red"


def show(results: Results, console: Console) -> None:
    """Prints every table that has a row."""
    for table in tables(results):
        if not table.rows:
            continue
        grid = Grid(box=SIMPLE_HEAD, padding=0, title=escape(table.title), caption=escape(table.note) or None)
        for place, heading in enumerate(table.headings):
            # Prose may fold into a second line; numbers, and the words that name them, may not.
            grid.add_column(
                escape(heading.replace(" ", "\n")),
                justify="left" if place < table.left else "right",
                no_wrap=table.left < len(table.headings),
            )
        for row in table.rows:
            grid.add_row(*(f"[{LOST}]{escape(one.text)}[/]" if one.lost else escape(one.text) for one in row))
        console.print(grid)
