"""The chart's values: what values.yaml says of each, in a table and in the schema's descriptions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tradecast.config.settings import SETTINGS, Settings
from tradecast.config.types import MOST_SECONDS, check_seconds

CHART = Path(__file__).parents[1] / "charts" / "tradecast"
WIDTH = 120
# Texts of values; empty: the default.
TEXTS = {
    "number": r"^\s*(\+?[0-9._]+([eE][-+]?[0-9]+)?)?\s*$",
    "integer": r"^\s*(\+?[0-9_]+(\.0*)?)?\s*$",
    "boolean": r"^\s*([tT]|[tT][rR][uU][eE]|[fF]|[fF][aA][lL][sS][eE]|[oO][nN]|[oO][fF][fF]|"
    r"[yY]|[yY][eE][sS]|[nN]|[nN][oO]|0|1)?\s*$",
}
BEGIN, END = "<!-- values: written by `make docs` -->\n", "<!-- end of values -->\n"


class Value(NamedTuple):
    """One value that can be set."""

    path: str
    default: Any
    meaning: str


def comments(text: str) -> dict[str, str]:
    """The comment directly above each key, by the key's path with dots."""
    found: dict[str, str] = {}
    above: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        if comment := re.fullmatch(r" *# ?(.*)", line):
            above.append(comment[1])
        elif key := re.match(r"( *)([\w-]+):", line):
            parents = [parent for parent in parents if parent[0] < len(key[1])]
            parents.append((len(key[1]), key[2]))
            if above:
                found[".".join(name for _, name in parents)] = " ".join(above)
            above = []
        else:
            above = []
    return found


def schema() -> dict[str, Any]:
    """values.schema.json with the descriptions that values.yaml gives, and the names of all settings."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    said = comments((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path, parent, name in list(nodes(found)):
        if path in said:
            parent[name] = {"description": said[path]} | {
                key: value for key, value in parent[name].items() if key != "description"
            }
    # Those that the chart or a Secret sets are refused by the templates, which say what to do instead.
    settings = found["properties"]["server"]["properties"]["settings"]
    settings["propertyNames"] = {"enum": sorted(SETTINGS)}
    settings["patternProperties"] = settings_schema()
    # These go into the SocketFleet as they are: what the CRD would refuse, the schema refuses before.
    values = found["properties"]["operator"]["properties"]["fleet"]["properties"]
    for name, part in fleet_schema()["properties"].items():
        if name in values and part["type"] == "object" and "properties" not in values[name]:
            found["definitions"][f"fleet.{name}"] = plain(part)
            values[name] = {"description": values[name]["description"], "$ref": f"#/definitions/fleet.{name}"}
    return found


def settings_schema() -> dict[str, Any]:
    """Schemas of the settings that are numbers, booleans or one of some words, by a pattern of their names.

    What a server would refuse when it starts, the schema refuses before. Of the text of a number it knows only whether
    it is one.
    """
    names: dict[str, list[str]] = {}
    for name, found in Settings.model_json_schema()["properties"].items():
        (shown,) = [one for one in found.get("anyOf", [found]) if one != {"type": "null"}]
        bounds = {key: shown[key] for key in ("minimum", "exclusiveMinimum", "maximum") if key in shown}
        if any(getattr(one, "func", None) is check_seconds for one in Settings.model_fields[name].metadata):
            bounds["maximum"] = MOST_SECONDS
        if shown["type"] in TEXTS:
            one_of = [{"type": shown["type"], **bounds}, {"type": "string", "pattern": TEXTS[shown["type"]]}]
            if shown["type"] == "boolean":
                one_of.append({"enum": [0, 1]})
        elif "enum" in shown:
            words = "|".join("".join(f"[{letter}{letter.upper()}]" for letter in word) for word in shown["enum"])
            one_of = [{"type": "string", "pattern": rf"^\s*({words})?\s*$"}]
        else:
            continue
        names.setdefault(json.dumps({"anyOf": one_of} if len(one_of) > 1 else one_of[0]), []).append(name.upper())
    return {f"^({'|'.join(sorted(group))})$": json.loads(text) for text, group in names.items()}


def fleet_schema() -> dict[str, Any]:
    """The schema of a SocketFleet's spec, from the CRD."""
    spec = yaml.safe_load((CHART / "crds" / "socketfleets.yaml").read_text(encoding="utf-8"))["spec"]
    (version,) = spec["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def plain(schema: Any) -> Any:
    """A CRD's schema as JSON schema: without words and Kubernetes' own keys, and closed, as the values are."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: plain(one) for name, one in value.items()} if key == "properties" else plain(value)
        for key, value in schema.items()
        if key not in ("description", "default", "format") and not key.startswith("x-kubernetes-")
    }
    return {**kept, "additionalProperties": False} if "properties" in kept else kept


def nodes(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Path, parent and name of every value the schema knows; sections come after what is in them."""
    properties = node.get("properties", {})
    for name in properties:
        path = f"{above}{name}"
        yield from nodes(properties[name], f"{path}.")
        yield path, properties, name


def values() -> Iterator[Value]:
    """What can be set, in the order of values.yaml. A section is none: what is in it is."""
    known = {path: parent[name] for path, parent, name in nodes(schema())}

    def below(defaults: Mapping[str, Any], above: str) -> Iterator[Value]:
        for name, default in defaults.items():
            path = f"{above}{name}"
            if "properties" in known[path]:
                yield from below(default, f"{path}.")
            else:
                yield Value(path, default, known[path].get("description", ""))

    yield from below(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), "")


def readme_page() -> str:
    """The chart's README.md with the table as it should be."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    rows = ["| value | default | meaning |\n| --- | --- | --- |\n"]
    for value in values():
        cells = (f"`{value.path}`", f"`{json.dumps(value.default, ensure_ascii=False)}`", value.meaning)
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n")
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + "".join(rows) + "\n" + END + rest.split(END)[1]


def schema_page() -> str:
    """values.schema.json as it should be."""
    return compact(schema()) + "\n"


def compact(node: Any, indent: str = "", used: int = 0) -> str:
    """JSON in which what fits on a line is on one."""
    line = json.dumps(node, ensure_ascii=False)
    if not isinstance(node, dict | list) or len(indent) + used + len(line) < WIDTH:
        return line
    deeper = indent + "  "
    if isinstance(node, list):
        parts = [compact(item, deeper) for item in node]
        brackets = "[]"
    else:
        parts = [f"{(key := json.dumps(name))}: {compact(item, deeper, len(key) + 3)}" for name, item in node.items()]
        brackets = "{}"
    return f"{brackets[0]}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{brackets[1]}"
