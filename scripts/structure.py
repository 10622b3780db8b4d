"""Print figures of the code's structure: how large, how named, how tested (`make structure`).

The same figures were taken of other projects (docs/structure.md), so that one can compare.
`tests/static/test_structure.py` holds the bounds that we have set ourselves.

    scripts/structure.py [FOLDER …]     default: the server, its rooms, and the operator
"""

from __future__ import annotations

import ast
import statistics
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
APP, OPERATOR, TESTS = ROOT / "app/tradecast", ROOT / "operator/tradecast_operator", ROOT / "tests"
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Modules that need no test of their name, and why.
_METRICS: Final = "declares metrics: bootstrap/test_metrics.py calls every method and reads every metric"
_TYPES: Final = "types, errors and constants: there is nothing to run"
_INTERFACE: Final = "interfaces, and what they exchange: the tests of what implements them hold them"
_COMPOSITION: Final = "puts parts together: every test of a server, or of the operator, starts it"
WITHOUT_TESTS: Final = {
    "bootstrap/apps.py": _COMPOSITION,
    "bootstrap/builder.py": _COMPOSITION,
    "bootstrap/components.py": _COMPOSITION,
    "bootstrap/factories.py": _COMPOSITION,
    "bootstrap/gateway.py": _COMPOSITION,
    "bootstrap/relay.py": _COMPOSITION,
    "bootstrap/transports.py": _COMPOSITION,
    "causes/codes.py": _TYPES,
    "causes/places.py": _TYPES,
    "cluster_rpc/metrics.py": _METRICS,
    "config/errors.py": _TYPES,
    "delivery/errors.py": _TYPES,
    "delivery/redis/options.py": _INTERFACE,
    "engine/observer.py": _INTERFACE,
    "entry.py": _COMPOSITION,
    "events/publisher.py": _TYPES,
    "gateway/application.py": _INTERFACE,
    "gateway/metrics.py": _METRICS,
    "http/metrics.py": _METRICS,
    "lifecycle/metrics.py": _METRICS,
    "limits/quota.py": _INTERFACE,
    "limits/rates.py": _INTERFACE,
    "load/tally.py": _TYPES,
    "model/actions.py": _TYPES,
    "observability/metrics/dependencies.py": _METRICS,
    "polling_relay/metrics.py": _METRICS,
    "redis_client/keys.py": _TYPES,
    "redis_client/metrics.py": _METRICS,
    "sessions/errors.py": _TYPES,
    "sessions/models.py": _TYPES,
    "sessions/stores/base.py": _INTERFACE,
}


@dataclass
class Structure:
    """Figures of one folder. Lines are physical ones; a file without any is not counted."""

    name: str
    file_lines: list[int] = field(default_factory=list)
    function_lines: list[int] = field(default_factory=list)
    class_lines: dict[str, int] = field(default_factory=dict)
    constructor_parameters: list[int] = field(default_factory=list)
    callable_parameters: int = 0
    idle_lambdas: int = 0
    type_ignores: int = 0
    names: list[str] = field(default_factory=list)
    public: int = 0
    documented: int = 0
    docstring_lines: int = 0
    comment_lines: int = 0
    folders: dict[str, int] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """All lines of all files."""
        return sum(self.file_lines)


def find_modules(folder: Path) -> list[Path]:
    """Python files of a folder and those below it, without empty ones and frozen copies of earlier versions."""
    found = sorted(path for path in folder.rglob("*.py") if "node_modules" not in path.parts)
    return [path for path in found if path.read_text().strip()]


def count_modules(folder: Path) -> dict[str, int]:
    """How many modules each package holds itself, `__init__` and `__main__` not counted."""
    counts: dict[str, int] = {}
    for path in folder.rglob("*.py"):
        if not path.name.startswith("__"):
            place = str(path.parent.relative_to(folder.parent))
            counts[place] = counts.get(place, 0) + 1
    return counts


def is_idle(node: ast.expr) -> bool:
    """Whether an expression is a lambda that does nothing: it returns a constant and uses no argument."""
    return isinstance(node, ast.Lambda) and isinstance(node.body, ast.Constant)


def find_constructor(node: ast.ClassDef) -> int | None:
    """The number of a constructor's parameters without `self`: of `__init__`, or a dataclass' fields; None: neither."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            arguments = statement.args
            return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return sum(isinstance(statement, ast.AnnAssign) for statement in node.body)
    return None


def measure(folder: Path, name: str = "") -> Structure:
    """Read every module of a folder.

    Raises:
        SyntaxError: A file is no Python.
    """
    structure = Structure(name or folder.name, folders=count_modules(folder))
    for path in find_modules(folder):
        text = path.read_text()
        structure.file_lines.append(text.count("\n"))
        structure.type_ignores += text.count("# type: ignore[")
        tokens = tokenize.generate_tokens(StringIO(text).readline)
        structure.comment_lines += sum(token.type == tokenize.COMMENT for token in tokens)
        _measure_tree(structure, ast.parse(text), path)
    return structure


def _measure_tree(structure: Structure, tree: ast.Module, path: Path) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function) and (text := ast.get_docstring(node, clean=False)):
            structure.docstring_lines += text.count("\n") + 1
        if isinstance(node, ast.ClassDef):
            structure.class_lines[f"{path.stem}.{node.name}"] = _lines_of(node)
            if (count := find_constructor(node)) is not None:
                structure.constructor_parameters.append(count)
        if isinstance(node, Function):
            structure.function_lines.append(_lines_of(node))
            if not node.name.startswith("__"):
                structure.names.append(node.name)
            _measure_parameters(structure, node.args)
    for public in _public(tree.body):
        structure.public += 1
        structure.documented += ast.get_docstring(public) is not None


def _measure_parameters(structure: Structure, arguments: ast.arguments) -> None:
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.annotation is not None and "Callable" in ast.unparse(argument.annotation):
            structure.callable_parameters += 1
    structure.idle_lambdas += sum(is_idle(value) for value in (*arguments.defaults, *arguments.kw_defaults) if value)


def _public(body: Sequence[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _lines_of(node: ast.ClassDef | Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def find_untested(folder: Path, tests: Path = TESTS) -> list[str]:
    """Modules of which no test file has the name: `limits/limiter.py` asks for a `limits/test_limiter.py` somewhere.

    What `WITHOUT_TESTS` names is left out.
    """
    names = {"/".join(path.parts[-2:]) for path in tests.rglob("test_*.py")} | {
        path.name for path in tests.rglob("test_*.py") if path.parent.parent == tests
    }
    missing = []
    for path in find_modules(folder):
        if path.name.startswith("__") or str(path.relative_to(folder)) in WITHOUT_TESTS:
            continue
        wanted = f"test_{path.name}" if path.parent == folder else f"{path.parent.name}/test_{path.name}"
        if wanted not in names:
            missing.append(str(path.relative_to(folder)))
    return missing


def measure_tests(tests: Path = TESTS) -> tuple[int, int]:
    """Lines of all tests and their kit, and those of them that are within test functions."""
    lines = inside = 0
    for path in find_modules(tests):
        text = path.read_text()
        lines += text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function) and node.name.startswith("test_"):
                inside += _lines_of(node)
    return lines, inside


def _percentile(values: Sequence[int], percent: int) -> int:
    ordered = sorted(values) or [0]
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def format_rows(structure: Structure) -> list[tuple[str, str]]:
    """The figures as a table's rows: meaning and value."""
    kloc = max(structure.lines, 1) / 1_000
    largest = max(structure.class_lines, key=lambda name: structure.class_lines[name], default="")
    fullest = max(structure.folders, key=lambda name: structure.folders[name], default="")
    one_word = sum("_" not in name.strip("_") for name in structure.names)
    constructors = structure.constructor_parameters
    return [
        ("files / lines", f"{len(structure.file_lines)} / {structure.lines:,}"),
        ("lines per file: median, p90, max", _spread(structure.file_lines, 90, 100)),
        ("lines per function: median, p90, p99, max", _spread(structure.function_lines, 90, 99, 100)),
        ("largest class, lines", f"{structure.class_lines.get(largest, 0)} {largest}"),
        (
            "constructor parameters: p90, max, those of 8 and more",
            f"{_percentile(constructors, 90)}, {max(constructors, default=0)}, "
            f"{sum(count >= 8 for count in constructors)} of {len(constructors)}",
        ),
        (
            "Callable parameters, and per 1,000 lines",
            f"{structure.callable_parameters}, {structure.callable_parameters / kloc:.1f}",
        ),
        ("lambdas that do nothing as a default", str(structure.idle_lambdas)),
        ("type: ignore", str(structure.type_ignores)),
        ("modules in the fullest package", f"{structure.folders.get(fullest, 0)} {fullest}"),
        ("public names with a docstring", _share(structure.documented, structure.public)),
        (
            "docstring lines / comments",
            " / ".join(
                _share(count, structure.lines) for count in (structure.docstring_lines, structure.comment_lines)
            ),
        ),
        ("function names of one word", _share(one_word, len(structure.names))),
        ("mean length of a function's name", f"{statistics.fmean(map(len, structure.names or [''])):.1f}"),
    ]


def _spread(values: Sequence[int], *percents: int) -> str:
    return ", ".join(
        [f"{statistics.median(values or [0]):.0f}", *(f"{_percentile(values, percent):,}" for percent in percents)]
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.0f} %"


def print_table(structures: Sequence[Structure]) -> None:
    """Write one column for each folder, as Markdown."""
    print(f"| | {' | '.join(structure.name for structure in structures)} |")
    print(f"| --- {'| --- ' * len(structures)}|")
    for row in zip(*(format_rows(structure) for structure in structures), strict=True):
        print(f"| {row[0][0]} | {' | '.join(value for _, value in row)} |")


def main(folders: Sequence[str]) -> None:
    """Print the tables."""
    if folders:
        print_table([measure(Path(folder)) for folder in folders])
        return
    app, operator = measure(APP, "server"), measure(OPERATOR, "operator")
    print_table([app, operator])
    lines, inside = measure_tests()
    print(f"\nTests: {lines:,} lines, {lines / (app.lines + operator.lines):.2f} per line of code; ", end="")
    print(f"{_share(inside, lines)} within test functions.")
    missing = [*find_untested(APP), *find_untested(OPERATOR)]
    print(f"{len(missing)} modules have no test of their name: {', '.join(missing)}")


if __name__ == "__main__":
    main(sys.argv[1:])
