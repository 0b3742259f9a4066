"""The program `flashode`, one file a command; experiments and benchmarks have theirs in their own rooms."""

import importlib.util
import sys

from flashode.cli.commands import SUMMARIES

PACKAGES = ("rich", "typer")


def main() -> None:
    """Runs the command line; where it lacks packages, lists the commands and says what to install."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        if not sys.argv[1:] or "--help" in sys.argv[1:2]:
            print("The commands of flashode:\n")
            print(*(f"  {name:<8} {summary}" for name, summary in SUMMARIES.items()), "", sep="\n")
        sys.exit(
            f"The command line of flashode needs {', '.join(missing)}, not installed here. Try:\n"
            "    pip install 'flashode[experiments]'"
        )
    from flashode.cli.app import app

    app(sys.argv[1:])()
