"""The command `flashode info`."""

import flashode
from flashode.cli.terminal import console


def info() -> None:
    """Show the version, the instruction sets, the threads, and whether a GPU can be used."""
    for name, value in flashode.build_info().items():
        console.print(f"{name:<20} {', '.join(value) if isinstance(value, list | tuple) else value}")
