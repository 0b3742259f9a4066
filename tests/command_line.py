"""The program `flashode` as a test calls it."""

from typer.testing import CliRunner, Result

from flashode.cli.app import app


def invoke(*arguments: str) -> Result:
    """How it ended, and what it printed."""
    return CliRunner().invoke(app(arguments), list(arguments))
