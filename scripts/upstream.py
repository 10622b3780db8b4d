"""Finds what this project uses and overrides of the insides of its libraries, and writes docs/upstream.md.

python -m scripts.upstream           compares the page with the code and the installed versions
python -m scripts.upstream --write   writes the page: only after each name has been read again in the new version
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/upstream.md"
PACKAGES: Final = ("tradecast", "tradecast_operator")
SOURCES: Final = (ROOT / "app/tradecast", ROOT / "operator/tradecast_operator")
# Distribution by the name of its package. Of those whose classes are documented to be extended, only names that begin
# with an underscore are private.
UPSTREAM: Final = {
    "socketio": "python-socketio",
    "engineio": "python-engineio",
    "redis": "redis",
    "uvicorn": "uvicorn",
    "starlette": "starlette",
    "kopf": "kopf",
    "kr8s": "kr8s",
}
EXTENDABLE: Final = {"starlette", "kopf", "kr8s"}
# Those whose methods are documented to be called: only overriding them, and their attributes, are private.
CALLABLE: Final = {"redis"}
# Whose a private attribute is that is read from an object of a library, and not from `self`.
# Public, whatever they begin with: those of named tuples.
PUBLIC: Final = {"_asdict", "_fields", "_make", "_replace"}
OWNERS: Final = {"_writer": "redis.asyncio.connection.AbstractConnection"}

HEAD: Final = """# What is used of libraries' insides

Private names, and methods that no documentation offers for overriding: each may change with any version. They are used
in the modules below only, and this page was read from the versions that it names. `tests/static/test_upstream.py` fails
when a pin and this page differ, when a name is gone or has another signature, and when the code uses a name that is
not here. After an update: read each name again in the new version, then `python -m scripts.upstream --write`.
"""


class Use(NamedTuple):
    """One name of a library's insides.

    Attributes:
        name: In full: module, class, and its own.
        signature: Its parameters; or `attribute`, or `property`.
        how: `overridden`, or `used`.
        where: Which module of ours does so.
    """

    name: str
    signature: str
    how: str
    where: str

    @property
    def package(self) -> str:
        """The library's package."""
        return self.name.partition(".")[0]


@functools.cache
def find_uses() -> list[Use]:
    """All uses in the code."""
    found = {use for cls in _own_classes() for use in _uses_of_class(cls)}
    return sorted(found | set(_loose_uses()) | set(_private_imports()))


def describe(name: str) -> str | None:
    """The signature of a name of a library; None: it is not there."""
    owner = _find_owner(name)
    if isinstance(owner, type):
        return _signature(owner, name.rpartition(".")[2])
    return "module" if owner is not None else None


def versions() -> dict[str, str]:
    """The installed version of each library that is used so, by its distribution's name."""
    packages = {use.package for use in find_uses()}
    return {UPSTREAM[one]: importlib.metadata.version(UPSTREAM[one]) for one in sorted(packages)}


def read_page(text: str) -> tuple[dict[str, str], list[Use]]:
    """The versions and the uses that a page lists."""
    listed: dict[str, str] = {}
    uses = []
    for line in text.splitlines():
        if line.startswith("## "):
            name, version = line[3:].split(" ")
            listed[name] = version
        elif line.startswith("| `"):
            cells = [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
            uses.append(Use(*cells))
    return listed, uses


def compare(text: str, project: str) -> list[str]:
    """What is wrong with a page.

    Args:
        text: The page.
        project: pyproject.toml, whose pins it has to name.
    """
    listed, uses = read_page(text)
    wrong = [
        f"{name}: read from {version}, which is not the pin"
        for name, version in sorted(listed.items())
        if f'"{name}=={version}"' not in project
    ]
    wrong += [f"{name}: not listed" for name in sorted(versions().keys() - listed.keys())]
    for use in uses:
        now = describe(use.name)
        if now != use.signature:
            wrong.append(f"{use.name}: {use.signature} is {now} in the installed version")
    found = {(use.name, use.where) for use in find_uses()}
    named = {(use.name, use.where) for use in uses}
    wrong += [f"{name} in {where}: not listed" for name, where in sorted(found - named)]
    wrong += [f"{name} in {where}: listed, and not used" for name, where in sorted(named - found)]
    return wrong


def render() -> str:
    """The page."""
    lines = [HEAD]
    uses = find_uses()
    for package in sorted({use.package for use in uses}, key=lambda one: UPSTREAM[one]):
        distribution = UPSTREAM[package]
        lines += [f"## {distribution} {importlib.metadata.version(distribution)}", ""]
        lines += ["| name | signature | how | by |", "| --- | --- | --- | --- |"]
        for use in uses:
            if use.package == package:
                lines.append(f"| `{use.name}` | `{use.signature}` | {use.how} | `{use.where}` |")
        lines.append("")
    return "\n".join(lines)


# -- classes that extend a library's


def _own_classes() -> Iterator[type]:
    for package in PACKAGES:
        root = importlib.import_module(package)
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            if info.name.endswith(".__main__"):
                continue
            module = importlib.import_module(info.name)
            for cls in vars(module).values():
                if isinstance(cls, type) and cls.__module__ == info.name:
                    yield cls


def _uses_of_class(cls: type) -> Iterator[Use]:
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in UPSTREAM]
    if not bases or issubclass(cls, BaseException):
        return
    defined, used = _names_in(cls)
    for name in sorted(defined | used):
        owner = next((base for base in bases if name in _names_of(base)), None)
        if owner is None or (name.startswith("__") and name.endswith("__")):
            continue
        how = "overridden" if name in defined else "used"
        signature = _signature(owner, name) or "?"
        is_called = how == "used" and signature != "attribute"
        documented = {*EXTENDABLE, *CALLABLE} if is_called else EXTENDABLE
        if owner.__module__.partition(".")[0] in documented and not name.startswith("_"):
            continue
        full = f"{owner.__module__}.{owner.__qualname__}.{name}"
        yield Use(full, signature, how, cls.__module__)


@functools.cache
def _names_of(base: type) -> set[str]:
    """The names of a library's class: of the class, and of its objects."""
    return set(vars(base)) | _assigned(_tree(base))


def _names_in(cls: type) -> tuple[set[str], set[str]]:
    """What a class of ours defines or assigns, and what it reads, of itself and of what it inherits."""
    tree = _tree(cls)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_self(node.value)}
    return defined | _assigned(tree), used


def _assigned(tree: ast.ClassDef) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value)
    }


def _is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "super"
    return isinstance(node, ast.Name) and node.id == "self"


@functools.cache
def _tree(cls: type) -> ast.ClassDef:
    """The source of a class; found in its module's, which is read once."""
    path = inspect.getsourcefile(cls)
    assert path is not None  # noqa: S101 all are written in Python
    return _classes_of(path)[cls.__qualname__.replace("<locals>.", "")]


@functools.cache
def _classes_of(path: str) -> dict[str, ast.ClassDef]:
    """The classes in a file by their qualified names."""
    found: dict[str, ast.ClassDef] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                if isinstance(child, ast.ClassDef):
                    found.setdefault(name, child)
                visit(child, f"{name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(Path(path).read_text(encoding="utf-8")), "")
    return found


def _signature(owner: type, name: str) -> str | None:
    found: Any = inspect.getattr_static(owner, name, None)
    if found is None:
        return "attribute" if name in _assigned(_tree(owner)) or name in vars(owner) else None
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    if not callable(found) or isinstance(found, type):
        return "property" if isinstance(found, property) else "attribute"
    parameters = inspect.signature(found).parameters.values()
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
    kind = "async " if inspect.iscoroutinefunction(found) else ""
    return kind + str(inspect.Signature(bare)).replace("|", "\\|")


# -- private names of other objects, and private modules


def _loose_uses() -> Iterator[Use]:
    """Private attributes of objects that are not `self`, and that nothing in our code defines."""
    trees = {path: ast.parse(path.read_text()) for source in SOURCES for path in source.rglob("*.py")}
    own = {name for tree in trees.values() for name in _defined_anywhere(tree)}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or _is_self(node.value) or not _is_private(node.attr):
                continue
            owner = OWNERS.get(node.attr)
            if owner is not None:
                yield Use(f"{owner}.{node.attr}", describe(f"{owner}.{node.attr}") or "?", "used", _module_of(path))
            elif node.attr not in own:
                yield Use(f"unknown.{node.attr}", "?", "used", _module_of(path))


def _private_imports() -> Iterator[Use]:
    for source in SOURCES:
        for path in source.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                for name in names:
                    if name.partition(".")[0] in UPSTREAM and any(map(_is_private, name.split("."))):
                        yield Use(name, describe(name) or "?", "used", _module_of(path))


def _defined_anywhere(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def _module_of(path: Path) -> str:
    source = next(source for source in SOURCES if path.is_relative_to(source))
    return ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__")


def _find_owner(name: str) -> Any:
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:size]))
        except ImportError:
            continue
        for part in parts[size:-1]:
            found = getattr(found, part, None)
        return found
    return None


def main() -> int:
    """Compare, or write."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(render(), encoding="utf-8")
        return 0
    same = PAGE.read_text(encoding="utf-8") == render()
    print("as the code uses it" if same else "differs from the code or the installed versions")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
