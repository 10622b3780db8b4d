"""Where the operator listens, and what it says without its extra."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import aiohttp
import kopf
import pytest
from aiohttp import web

from kit.kubernetes.fake_api import FakeKubernetes
from kit.network.ports import free_port
from tradecast_operator.kube.client import Missing, Object
from tradecast_operator.main import check_cluster, find_liveness, listen_on_host, main, read_namespaces

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("missing", ["kopf", "kr8s", "aiohttp"])
def test_what_is_missing_is_said(tmp_path: Path, missing: str) -> None:
    """As where the project was installed without its extra."""
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('no {missing}', name={missing!r})\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT / "operator")))
    code = "from tradecast_operator.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, env={"PYTHONPATH": path}, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: the operator needs its extra ({missing} is missing): pip install '.[operator]' in tradecast's folder\n"
    )


def test_console_script_is_the_one_that_says_it() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["tradecast-operator"] == "tradecast_operator.entry:main"


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(("host", "answers"), [("", ["127.0.0.1", "[::1]"]), ("127.0.0.1", ["127.0.0.1"])])
async def test_pods_of_either_family_are_served(host: str, answers: list[str]) -> None:
    if "[::1]" in answers and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        port = free_port()
        await listen_on_host(runner, host, port)
        async with aiohttp.ClientSession() as http:
            for address in answers:
                async with http.get(f"http://{address}:{port}/") as answer:
                    assert answer.status == 404
    finally:
        await runner.cleanup()


async def test_pod_without_ipv6_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    real = web.TCPSite.start

    async def start(site: web.TCPSite) -> None:
        if "::" in site.name:
            raise OSError(99, "Cannot assign requested address")
        await real(site)

    monkeypatch.setattr(web.TCPSite, "start", start)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await listen_on_host(runner, "", free_port())
        assert len(runner.addresses) == 1
    finally:
        await runner.cleanup()


async def test_port_that_is_taken_is_an_error() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(OSError, match="in use"):
            await listen_on_host(runner, "", taken.getsockname()[1])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, "http://0.0.0.0:8081/healthz"),
        ({"POD_IP": "10.1.2.3", "LIVENESS_PORT": "9"}, "http://10.1.2.3:9/healthz"),
        ({"POD_IP": "fd00::7"}, "http://[fd00::7]:8081/healthz"),
    ],
)
def test_liveness_is_where_the_kubelet_asks(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], endpoint: str
) -> None:
    for name in ("POD_IP", "LIVENESS_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_liveness() == endpoint


class Bare(FakeKubernetes):
    """A cluster without the CRD."""

    async def version(self) -> Object:
        return {"gitVersion": "v1.36.0"}

    async def group_version(self, version: str) -> Object:
        raise Missing(version)


async def test_operator_says_what_the_cluster_lacks_and_looks_again() -> None:
    with pytest.raises(kopf.TemporaryError, match="install the CustomResourceDefinition") as lacking:
        await check_cluster(Bare())
    assert lacking.value.delay == 10


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WATCH_NAMESPACES", "blue;green", "WATCH_NAMESPACES has 'blue;green', which is no namespace"),
        ("WATCH_NAMESPACES", "blue,Green", "WATCH_NAMESPACES has 'Green', which is no namespace"),
        ("ROUND_SECONDS", "often", "ROUND_SECONDS is 'often'; it must be a number from 0.01 to 300"),
        ("ROUND_SECONDS", "nan", "ROUND_SECONDS is 'nan'; it must be a number"),
        ("ROUND_SECONDS", "0", "ROUND_SECONDS is '0'; it must be a number"),
        ("PORT", "tcp://10.0.0.1:80", "PORT is 'tcp://10.0.0.1:80'; it must be a number from 1 to 65535"),
        ("STALLED_SECONDS", "", "STALLED_SECONDS is ''; it must be a number"),
    ],
)
def test_variable_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tradecast-operator"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value.code).startswith(f"Error: {told}")


@pytest.mark.parametrize(
    ("value", "names"), [("", []), (",", []), ("blue", ["blue"]), (" blue , green,blue,", ["blue", "green"])]
)
def test_namespaces_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch, value: str, names: list[str]) -> None:
    monkeypatch.setenv("WATCH_NAMESPACES", value)
    assert read_namespaces() == names
