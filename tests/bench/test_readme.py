"""The README's performance section is what the published results make of it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("matplotlib", reason="matplotlib draws: pip install 'flashode[bench]'")

from flashode.bench.records.file import FILE, Results, read
from flashode.bench.report.figures import pictures
from sample_results import sample_results

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "readme.py"


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results() -> Results:
    return sample_results()


def test_section_has_ratios_losses_machine_versions_and_command(readme: ModuleType, results: Results) -> None:
    text = readme.section(results, pictures(results, readme.DRAWN))
    row = next(line for line in text.splitlines() if line.startswith("| `demo`"))
    assert "| 1 ms |" in row and "| 50× |" in row and "| **0.4×** |" in row
    assert "| time | forward | diffrax forward | demo | 2.5× [2.5× … 2.5×] | 0.4× | 1 | 1 |" in text
    for wanted in (
        "2026-01-02",
        "a <fast> one",
        "at most 2 threads",
        "torch 2.13.0",
        "flashode bench <again>",
    ):
        assert wanted in text
    for name in ("speedup", "memory"):
        assert f"(benchmarks/results/{name}.svg)" in text


def test_what_stands_around_the_section_stays(readme: ModuleType, results: Results) -> None:
    once = readme.replaced(f"before\n{readme.BEGIN}\noutdated\n{readme.END}\nafter\n", results, [])
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "outdated" not in once
    assert readme.replaced(once, results, []) == once


def test_a_readme_without_markers_is_refused(readme: ModuleType, results: Results) -> None:
    with pytest.raises(ValueError, match="the README lacks the lines"):
        readme.replaced("nothing", results, [])


def test_the_readme_is_what_the_published_results_make_of_it(readme: ModuleType) -> None:
    text = readme.README.read_text(encoding="utf-8")
    published = read(readme.RESULTS / FILE)
    assert published.commit and not published.commit.endswith("-dirty")
    assert published.finished and not published.quick
    assert readme.replaced(text, published, pictures(published, readme.DRAWN)) == text
    for name in ("speedup", "memory", "gradient_error"):
        drawn = (readme.RESULTS / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn.startswith(readme.origin(published)) and drawn.rstrip().endswith("</svg>")
