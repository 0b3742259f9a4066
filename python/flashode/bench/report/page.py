"""The whole report as one file that needs nothing else: report.html."""

from __future__ import annotations

import os
from pathlib import Path

import jinja2

from flashode.bench.records.file import Results
from flashode.bench.report.figures import Picture, pictures
from flashode.bench.report.losses import contests
from flashode.bench.report.speeds import STUDY
from flashode.bench.report.tables import tables
from flashode.bench.studies import studies
from flashode.bench.tasks.workloads import WORKLOADS

FILE = "report.html"


def write(results: Results, folder: Path) -> Path:
    """Writes the report into a folder, which it creates.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    unfinished = path.with_suffix(".html.part")
    unfinished.write_text(render(results), encoding="utf-8")
    os.replace(unfinished, path)
    return path


def render(results: Results) -> str:
    """The report as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = dict.fromkeys(record.case for record in results.records if record.study == STUDY)
    return environment.get_template("page.html.j2").render(
        results=results,
        pictures=[(picture, _with_own_ids(picture)) for picture in pictures(results)],
        tables=tables(results),
        compared=bool(contests(results)),
        described=[(name, WORKLOADS[name].describe()) for name in measured if name in WORKLOADS],
        questions=[one.title for one in studies().values() if _asked(results, one.name)],
    )


def _asked(results: Results, study: str) -> bool:
    return any(record.study == study for record in results.records)


def _with_own_ids(picture: Picture) -> str:
    """The SVG with its ids prefixed, so that several pictures fit on one page."""
    svg = picture.svg
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(before, f"{before}{picture.name}-")
    return svg
