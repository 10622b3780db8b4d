"""k8s/ is what the chart gives."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from kit.kubernetes.tools import find, run

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "write_k8s.py"


@pytest.fixture(scope="module")
def write_k8s() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_k8s", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM", find("helm"))


def test_what_is_committed_is_what_the_chart_says() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_check_sees_changed_and_superfluous_files(
    write_k8s: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(write_k8s, "FOLDER", tmp_path)
    assert write_k8s.main([]) == 0
    assert write_k8s.main(["--check"]) == 0
    (tmp_path / "base" / "service.yaml").write_text("{}")
    (tmp_path / "overlays" / "dev" / "old.yaml").write_text("{}")
    assert write_k8s.main(["--check"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["k8s/base/service.yaml", "k8s/overlays/dev/old.yaml"]
    assert write_k8s.main([]) == 0
    assert not (tmp_path / "overlays" / "dev" / "old.yaml").exists()


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_an_overlay_gives_the_same_objects_as_the_chart(write_k8s: ModuleType, overlay: str) -> None:
    done = run("kubectl", "kustomize", ROOT / "k8s" / "overlays" / overlay)
    assert done.returncode == 0, done.stderr
    # The name of the settings has a hash, also where they are referred to: a changed one restarts the servers.
    (hashed,) = set(re.findall(r"name: (tradecast-(?=[a-z0-9]*[0-9])[a-z0-9]{10})$", done.stdout, re.MULTILINE))
    built: dict[Any, Any] = {}
    for one in yaml.safe_load_all(done.stdout.replace(hashed, "tradecast")):
        assert one["metadata"].pop("namespace", None) == (None if one["kind"] == "Namespace" else "tradecast")
        built[one["kind"], one["metadata"]["name"]] = one
    assert built.pop(("Namespace", "tradecast"))
    wanted = write_k8s.rendered(write_k8s.OVERLAYS[overlay])
    assert built.keys() == wanted.keys()
    settings = wanted["ConfigMap", "tradecast"]
    del settings["metadata"]["labels"]["app.kubernetes.io/version"]
    for key, one in wanted.items():
        assert built[key] == one, key


def test_an_autoscaler_s_number_is_not_set_again_by_every_apply() -> None:
    done = run("kubectl", "kustomize", ROOT / "k8s" / "overlays" / "production")
    (deployment,) = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Deployment"]
    assert "replicas" not in deployment["spec"]
