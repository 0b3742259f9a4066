"""The stub of the compiled module says what the module says of itself."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import flashode

STUB = Path(flashode.__file__).with_name("_flashode.pyi")
# What pybind11 calls its arguments' types by.
_PLAIN = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "collections.abc.": "",
    "flashode._flashode.": "",
    "list[int]": "Sequence[int]",
}
# Types of which the module knows less than the stub.
_VAGUE = ("object", "Callable | None", "tuple")


def signature(text: str) -> tuple[str, list[tuple[str, str, bool, bool]], str]:
    """The name of a function; of its arguments name, type, whether by keyword and optional; its result."""
    node = ast.parse(f"def {text}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    node_arguments = node.args
    required = len(node_arguments.args) - len(node_arguments.defaults)
    positional = [(a, False, i >= required) for i, a in enumerate(node_arguments.args) if a.arg != "self"]
    keyword = [
        (a, True, d is not None)
        for a, d in zip(node_arguments.kwonlyargs, node_arguments.kw_defaults, strict=True)
    ]
    arguments = [
        (a.arg, ast.unparse(a.annotation) if a.annotation else "", by_name, optional)
        for a, by_name, optional in (*positional, *keyword)
    ]
    return node.name, arguments, ast.unparse(node.returns) if node.returns else ""


def of_module(owner: Any) -> Iterator[tuple[str, Any]]:
    """Names and signatures of what a module or a class holds; of other things their type's name, or None."""
    for name, value in vars(owner).items():
        if name.startswith("_") and not (name == "__init__" and _plain(value.__doc__).startswith(name)):
            continue
        value = value.__func__ if isinstance(value, staticmethod) else value
        if isinstance(value, property):
            yield name, _plain(value.fget.__doc__).partition("->")[2].strip()
            continue
        elif isinstance(value, ModuleType) or (
            isinstance(value, type) and value.__module__.startswith("flashode._flashode")
        ):
            yield name, dict(of_module(value))
            continue
        elif callable(value):
            text = re.sub(r"self: [\w.]+", "self", _plain(value.__doc__).partition("\n")[0])
        else:
            yield name, type(value).__name__
            continue
        yield name, signature(text)


def of_stub(body: list[ast.stmt]) -> Iterator[tuple[str, Any]]:
    """The same of a stub."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.name, dict(of_stub(node.body))
        elif isinstance(node, ast.FunctionDef):
            node.decorator_list.clear()
            yield node.name, signature(ast.unparse(node).removeprefix("def ").partition(":\n")[0])
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), ast.unparse(node.annotation)


def _plain(text: str) -> str:
    for written, plain in _PLAIN.items():
        text = text.replace(written, plain)
    return text


def differences(module: dict[str, Any], stub: dict[str, Any]) -> Iterator[str]:
    """What a stub says otherwise than a module."""
    yield from (f"{name} is on only one side" for name in module.keys() ^ stub.keys())
    for name in module.keys() & stub.keys():
        own, said = module[name], stub[name]
        if isinstance(own, dict):
            yield from (f"{name}.{difference}" for difference in differences(own, said))
        elif isinstance(own, tuple):
            types = [(own[2], said[2]), *[(a[1], b[1]) for a, b in zip(own[1], said[1], strict=False)]]
            if [(a[0], *a[2:]) for a in own[1]] != [(a[0], *a[2:]) for a in said[1]] or any(
                a != b and a not in _VAGUE for a, b in types
            ):
                yield f"{name} is {own}, not {said}"
        elif own != said:
            yield f"{name} is {own}, not {said}"


def _differences(text: str) -> list[str]:
    compiled = importlib.import_module("flashode._flashode")
    stub = dict(of_stub(ast.parse(text).body))
    if not compiled.cuda_built:
        del stub["cuda"]
    return list(differences(dict(of_module(compiled)), stub))


def test_the_stub_is_the_module() -> None:
    assert not _differences(STUB.read_text())


def test_what_differs_is_seen() -> None:
    text = STUB.read_text()
    cuda_built = importlib.import_module("flashode._flashode").cuda_built
    for written, other in (
        ("seminorm: bool", "seminorm: int"),
        ("time_count: int", "count: int"),
        ("evaluations: int", "evaluations: float"),
        ("features_in_lanes: bool = ...", "features_in_lanes: bool"),
        ("MAX_ROWS: int", "MAX_ROW: int"),
        ("*, field: Field", "field: Field"),
        *([("arguments: bytes", "arguments: str")] if cuda_built else []),
    ):
        changed = re.sub(re.escape(written).replace(r"\ ", r"\s*"), other, text, count=1)
        assert changed != text
        assert _differences(changed), written
