"""Write k8s/ (kustomize) from the chart; with --check, only say whether it is as it would be written.

The base is a fleet in production with nothing around it. An overlay adds objects, settings and patches until it is what
the chart gives with the overlay's values. Needs helm on PATH, or HELM with its path.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "tradecast"
FOLDER = ROOT / "k8s"
NAME = "tradecast"
HEAD = "# Written by `make k8s` from charts/tradecast: change it there.\n"
# What only Helm needs: its own labels, its memory of who scales, and the checksum that kustomize's names replace.
HELM_LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by"}
HELM_ANNOTATIONS = {"checksum/config", "tradecast.dev/autoscaling", "tradecast.dev/replica-count"}
BASE = {
    "mode": "production",
    "redis": {"bundled": {"enabled": False}, "existingSecret": "tradecast-redis"},
    "mongodb": {"existingSecret": "tradecast-mongodb"},
    "tokens": {"existingSecret": "tradecast-tokens"},
}
OVERLAYS: dict[str, Path] = {"dev": CHART / "values.yaml", "production": CHART / "values-production.yaml"}
DASHBOARDS = "../../../charts/tradecast/files"
"""A kustomization of its own, so that the dashboards are in one place."""

Object = dict[str, Any]
Key = tuple[str, str]


def rendered(values: Path) -> dict[Key, Object]:
    """What the chart gives, without what only Helm needs, by kind and name."""
    command = [os.environ.get("HELM", "helm"), "template", NAME, str(CHART), "--namespace", NAME, "--no-hooks"]
    # kustomize may change the namespace and names, and knows nothing of the expressions in which the chart puts them.
    command += ["--set", "prometheusRule.ofRelease=false"]
    text = subprocess.run([*command, "-f", str(values)], check=True, capture_output=True, text=True).stdout  # noqa: S603
    found = {(one["kind"], one["metadata"]["name"]): plain(one) for one in yaml.safe_load_all(text) if one}
    if any(kind in ("ScaledObject", "HorizontalPodAutoscaler") for kind, _ in found):
        # `kubectl apply` would set the number anew each time.
        del found["Deployment", NAME]["spec"]["replicas"]
    return found


def plain(one: Object) -> Object:
    """An object without what only Helm needs, wherever it is."""
    one = copy.deepcopy(one)
    for metadata in (one["metadata"], one.get("spec", {}).get("template", {}).get("metadata", {})):
        for name, unwanted in (("labels", HELM_LABELS), ("annotations", HELM_ANNOTATIONS)):
            kept = {key: value for key, value in (metadata.get(name) or {}).items() if key not in unwanted}
            metadata.pop(name, None)
            if kept:
                metadata[name] = kept
    return one


def difference(old: Any, new: Any, path: str = "") -> Iterator[Object]:
    """The JSON patch (RFC 6902) from one value to another; a list of another length is replaced as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            where = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in new:
                yield {"op": "remove", "path": where}
            elif key not in old:
                yield {"op": "add", "path": where, "value": new[key]}
            else:
                yield from difference(old[key], new[key], where)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from difference(before, after, f"{path}/{index}")
    elif old != new:
        yield {"op": "replace", "path": path, "value": new}


def files() -> dict[str, str]:
    """Every file of k8s/base and k8s/overlays, by its path below k8s/."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
        yaml.safe_dump(BASE, values)
        values.flush()
        base = rendered(Path(values.name))
    settings = base.pop(("ConfigMap", NAME))["data"]
    made = {f"base/{file_name(key)}": dump(one) for key, one in base.items()}
    made["base/settings.env"] = env(settings)
    made["base/kustomization.yaml"] = dump(kustomization([file_name(key) for key in base], settings="create"))
    for overlay, values_file in OVERLAYS.items():
        for name, text in overlay_files(base, settings, rendered(values_file)).items():
            made[f"overlays/{overlay}/{name}"] = text
    return made


def overlay_files(base: dict[Key, Object], settings: dict[str, str], wanted: dict[Key, Object]) -> dict[str, str]:
    """The files of one overlay.

    Raises:
        ValueError: It would have to take something of the base away.
    """
    own_settings = wanted.pop(("ConfigMap", NAME))["data"]
    if missing := (base.keys() - wanted.keys()) | (settings.keys() - own_settings.keys()):
        raise ValueError(f"the base has what an overlay does not: {missing}")
    dashboards = [key for key in wanted if key[0] == "ConfigMap"]
    for key in dashboards:
        del wanted[key]
    added = [key for key in wanted if key not in base]
    made = {file_name(key): dump(wanted[key]) for key in added}
    made["namespace.yaml"] = dump(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAME, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
    )
    made["settings.env"] = env({key: value for key, value in own_settings.items() if settings.get(key) != value})
    resources = ["namespace.yaml", "../../base", *([DASHBOARDS] if dashboards else []), *map(file_name, added)]
    built = kustomization(resources, settings="merge", namespace=NAME)
    for key, one in base.items():
        if patch := list(difference(one, wanted[key])):
            name = f"patch-{file_name(key)}"
            made[name] = dump(patch)
            built.setdefault("patches", []).append({"path": name, "target": {"kind": key[0], "name": key[1]}})
    made["kustomization.yaml"] = dump(built)
    return made


def kustomization(resources: list[str], *, settings: str, **more: Any) -> Object:
    generator = {"name": NAME, "behavior": settings, "envs": ["settings.env"]}
    if settings == "create":
        labels = {f"app.kubernetes.io/{key}": NAME for key in ("name", "instance", "part-of")}
        generator["options"] = {"labels": {**labels, "app.kubernetes.io/component": "server"}}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **more,
        "resources": resources,
        "configMapGenerator": [generator],
    }


def file_name(key: Key) -> str:
    """deployment.yaml for the release's own object, deployment-feed.yaml for its feed's."""
    kind, name = key
    return f"{kind.lower()}{name.removeprefix(NAME)}.yaml"


def env(settings: dict[str, str]) -> str:
    return HEAD + "".join(f"{name}={value}\n" for name, value in sorted(settings.items()))


def dump(what: Any) -> str:
    return HEAD + str(yaml.safe_dump(what, sort_keys=False, width=120))


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    wanted = files()
    paths = [path for part in ("base", "overlays") for path in (FOLDER / part).rglob("*") if path.is_file()]
    there = {str(path.relative_to(FOLDER)) for path in paths}
    if "--check" in arguments:
        old = there - wanted.keys()
        old |= {
            name for name, text in wanted.items() if name not in there or (FOLDER / name).read_text("utf-8") != text
        }
        for name in sorted(old):
            print(f"k8s/{name} is not what the chart says: run `make k8s`")
        return 1 if old else 0
    for name in there - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
