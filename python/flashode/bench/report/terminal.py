"""The tables of a run in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from flashode.bench.records.file import Results
from flashode.bench.report.tables import tables

LOST = "red"


def show(results: Results, console: Console) -> None:
    """Prints every table that has a row."""
    for table in tables(results):
        grid = Grid(box=SIMPLE_HEAD, padding=0, title=escape(table.title), caption=escape(table.note) or None)
        for place, heading in enumerate(table.headings):
            # Words may fold into a second line; numbers may not.
            number = place >= table.left
            grid.add_column(
                escape(heading.replace(" ", "\n")),
                justify="right" if number else "left",
                no_wrap=number,
                overflow="fold",
            )
        for row in table.rows:
            grid.add_row(*(f"[{LOST}]{escape(one.text)}[/]" if one.lost else escape(one.text) for one in row))
        console.print(grid)
