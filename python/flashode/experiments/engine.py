"""The engines that can be asked for on the command line."""

from enum import StrEnum


class Engine(StrEnum):
    """What `--engine` takes."""

    auto = "auto"
    native = "native"
    eager = "eager"
