"""skaffold.yaml: skaffold itself takes it, and what it syncs and forwards is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.kubernetes.tools import find, run

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "skaffold.yaml"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What would be deployed, with a given image and without a cluster."""
    folder = tmp_path_factory.mktemp("skaffold")
    output = folder / "out.yaml"
    images = folder / "images.json"
    images.write_text(
        '{"builds": [{"imageName": "ghcr.io/tradecast/tradecast", "tag": "ghcr.io/tradecast/tradecast:mine"}]}'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(find("kubectl")).parent), prepend=":")
        patch.setenv("SKAFFOLD_UPDATE_CHECK", "false")
        patch.chdir(ROOT)
        done = run(
            "skaffold", "render", "--offline=true", "--digest-source=none", "--interactive=false",
            f"--build-artifacts={images}", f"--output={output}",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [one for one in yaml.safe_load_all(output.read_text()) if one]


def test_what_is_deployed_runs_the_built_image(rendered: list[dict[str, Any]]) -> None:
    images = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in rendered
        if one["kind"] == "Deployment"
    }
    ours = "ghcr.io/tradecast/tradecast:mine"
    assert images == {
        "tradecast": ours,
        "tradecast-feed": ours,
        "tradecast-redis": "docker.io/library/redis:7.2-alpine",
    }


def test_files_are_synced_to_a_volume_of_every_container_of_the_image(rendered: list[dict[str, Any]]) -> None:
    (artifact,) = yaml.safe_load(CONFIG.read_text())["build"]["artifacts"]
    for rule in artifact["sync"]["manual"]:
        assert list(ROOT.glob(rule["src"])), rule
        for one in rendered:
            if one["kind"] == "Deployment" and not one["metadata"]["name"].endswith("redis"):
                (container,) = one["spec"]["template"]["spec"]["containers"]
                assert rule["dest"] in {mount["mountPath"] for mount in container["volumeMounts"]}
                assert {"name": "PYTHONPATH", "value": rule["dest"]} in container["env"]
                arguments = {variable["name"]: variable.get("value") for variable in container["env"]}["ARGUMENTS"]
                assert arguments.split()[0] in {"demo", "feed"}


def test_forwarded_ports_are_there(rendered: list[dict[str, Any]]) -> None:
    services = {
        one["metadata"]["name"]: [port["port"] for port in one["spec"]["ports"]]
        for one in rendered
        if one["kind"] == "Service"
    }
    for forward in yaml.safe_load(CONFIG.read_text())["portForward"]:
        assert forward["port"] in services[forward["resourceName"]]


@pytest.mark.parametrize("arguments", [(), ("--profile=airgapped",)])
def test_skaffold_knows_every_key(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SKAFFOLD_UPDATE_CHECK", "false")
    done = run("skaffold", "diagnose", "--yaml-only", *arguments)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["metadata"]["name"] == "tradecast"
