"""The program `flashode` itself: its list of commands, its version, and what it lacks."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import flashode
from command_line import invoke
from flashode import cli
from flashode.cli.commands import SUMMARIES, load


def test_version_and_information() -> None:
    assert invoke("--version").output.split() == ["flashode", flashode.__version__]
    result = invoke("info")
    assert result.exit_code == 0
    assert all(name in result.output for name in flashode.build_info())


def test_help_lists_every_command() -> None:
    words = invoke("--help").output.split()
    assert set(SUMMARIES) <= set(words)


def test_help_imports_no_command() -> None:
    program = (
        "import sys\nfrom flashode.cli import main\nsys.argv = ['flashode', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "spiral" in done.stdout
    loaded = done.stderr.split()
    assert "flashode.cli.app" in loaded
    assert [name for name in loaded if name.startswith(("flashode.bench", "flashode.experiments"))] == []


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_is_what_the_command_s_own_help_begins_with(name: str) -> None:
    help_text = inspect.getdoc(load(name))
    assert help_text is not None
    assert help_text.partition("\n\n")[0] == SUMMARIES[name]


def test_no_such_command() -> None:
    result = invoke("spirals")
    assert result.exit_code == 2
    assert "No such command 'spirals'" in result.output


def test_missing_packages_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "PACKAGES", ("rich", "surely_not_installed"))
    with pytest.raises(SystemExit, match=r"surely_not_installed.*\n.*pip install 'flashode\[experiments\]'"):
        cli.main()


def test_help_without_the_packages_lists_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "PACKAGES", ("surely_not_installed",))
    monkeypatch.setattr(sys, "argv", ["flashode", "--help"])
    with pytest.raises(SystemExit, match="surely_not_installed"):
        cli.main()
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed and summary in printed for name, summary in SUMMARIES.items())


@pytest.mark.parametrize(("command", "extra"), [("spiral", "experiments"), ("bench", "bench")])
def test_a_command_that_lacks_a_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: str, command: str, extra: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(command, "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "matplotlib" in result.output
    assert f"pip install 'flashode[{extra}]'" in result.output
