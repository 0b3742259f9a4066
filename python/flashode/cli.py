"""The program `flashode`. Its commands are in `flashode.experiments.commands`, which needs extra packages."""

import importlib.util
import sys

PACKAGES = ("rich", "typer")


def main() -> None:
    """Runs the command line, or says which packages to install for it."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f"The command line of flashode needs {', '.join(missing)}, not installed here. Try:\n"
            "    pip install 'flashode[experiments]'"
        )
    from flashode.experiments.commands import app

    app()
