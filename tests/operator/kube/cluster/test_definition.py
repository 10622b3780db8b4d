"""The CRD, which all releases of a cluster share."""

from __future__ import annotations

import asyncio
import copy
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kit.kubernetes.api_server import ApiServer, served, write_kubeconfig
from kit.kubernetes.crd import CRD
from tradecast_operator.kube.client import Conflict, Kubernetes, Missing, Object
from tradecast_operator.kube.cluster.definition import (
    CHART_VERSION,
    NAME,
    DefinitionRefused,
    is_newer,
    read_definition,
    update_definition,
)

ROOT = Path(__file__).parents[4]


class Cluster(Kubernetes):
    """A cluster with a definition of some version, or None."""

    def __init__(self, version: str | None, *, serves: str = "v1alpha1", conflicts: int = 0) -> None:
        super().__init__()
        self.found: Object = {}
        self._conflicts = conflicts
        if version is not None:
            annotations = {CHART_VERSION: version} if version else {}
            self.found = {
                "metadata": {"name": NAME, "resourceVersion": "7", "annotations": annotations},
                "spec": {"versions": [{"name": serves, "served": True}]},
            }

    async def definition(self, name: str) -> Object:
        if not self.found:
            raise Missing(name)
        return copy.deepcopy(self.found)

    async def apply_definition(self, body: Object) -> None:
        if self._conflicts:
            self._conflicts -= 1
            raise Conflict(NAME)
        assert body["metadata"].get("resourceVersion") == self.found.get("metadata", {}).get("resourceVersion")
        self.found = body

    @property
    def applied(self) -> Any:
        return self.found["metadata"]["annotations"].get(CHART_VERSION)


def ours(version: str = "1.2.3") -> Object:
    return {"metadata": {"name": NAME, "annotations": {CHART_VERSION: version}}, "spec": {}}


@pytest.mark.parametrize("theirs", [None, "", "1.2.2", "1.2.3", "1.2.3-rc.1", "0.9.9", "somebody's"])
async def test_one_that_is_as_old_or_older_is_replaced(theirs: str | None) -> None:
    cluster = Cluster(theirs)
    assert await update_definition(cluster, ours()) == f"{NAME} of chart version 1.2.3 is applied"
    assert cluster.applied == "1.2.3"


@pytest.mark.parametrize("theirs", ["1.2.4", "1.10.0", "2.0.0-rc.1"])
async def test_a_newer_one_stays_and_is_replaced_by_force(theirs: str) -> None:
    cluster = Cluster(theirs)
    told = await update_definition(cluster, ours())
    assert told.startswith(f"{NAME} is of chart version {theirs}, newer than 1.2.3: it stays as it is")
    assert "--force" in told
    assert cluster.applied == theirs
    await update_definition(cluster, ours(), force=True)
    assert cluster.applied == "1.2.3"


async def test_a_newer_one_without_this_versions_resources_is_an_error() -> None:
    with pytest.raises(DefinitionRefused, match=r"which does not serve v1alpha1 any more: use that chart"):
        await update_definition(Cluster("9.0.0", serves="v2"), ours())


async def test_what_somebody_else_writes_in_the_same_moment_is_looked_at_again() -> None:
    cluster = Cluster("1.0.0", conflicts=2)
    await update_definition(cluster, ours())
    assert cluster.applied == "1.2.3"
    with pytest.raises(Conflict):
        await update_definition(Cluster("1.0.0", conflicts=3), ours())


def test_versions_are_ordered() -> None:
    """The example of https://semver.org, and what is none."""
    order = [
        *("no version", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
        *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.10", "v2.0.0"),
    ]
    for place, one in enumerate(order):
        assert [is_newer(one, other) for other in order] == [place > at for at in range(len(order))]
    assert not is_newer("1.0.0+2", "1.0.0+1")


def test_the_crd_says_of_which_chart_it_is() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "tradecast" / "Chart.yaml").read_text(encoding="utf-8"))
    assert read_definition(CRD)["metadata"]["annotations"][CHART_VERSION] == chart["version"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, r"cannot be read \(FileNotFoundError\)"),
        ("{", "is not valid YAML"),
        ("", "is not the CustomResourceDefinition"),
        ("kind: ConfigMap\nmetadata: {name: socketfleets.tradecast.dev}", "is not the CustomResourceDefinition"),
        ("kind: CustomResourceDefinition\nmetadata: {name: others.example}", "take charts/tradecast/crds/socketfleets"),
        ("kind: CustomResourceDefinition\nmetadata: []", "is not the CustomResourceDefinition"),
    ],
)
def test_a_file_that_is_not_the_crd(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "crd.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionRefused, match=why):
        read_definition(tmp_path / "crd.yaml")


class Definitions(ApiServer):
    """An API server that has the CRD of some chart.

    Attributes:
        found: The CRD.
        git_version: Of Kubernetes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = yaml.safe_load(CRD.read_text(encoding="utf-8"))
        self.found["metadata"] |= {"resourceVersion": "1"}
        self.git_version = "v1.36.0"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/version"):
            return web.json_response({"gitVersion": self.git_version})
        assert request.path == f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"
        if request.method == "PATCH":
            self.found = yaml.safe_load(await request.text())
        return web.json_response(self.found)


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Definitions]:
    api = Definitions()
    async with served(api) as url:
        write_kubeconfig(tmp_path / "config", url)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield api


async def run(*options: str) -> tuple[int, str]:
    code = "from tradecast_operator.entry import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "--apply-crd", str(CRD), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def test_the_command_leaves_a_newer_one_says_so_and_can_be_forced(api: Definitions) -> None:
    """As the Job before an upgrade of an older release, which must not fail for that."""
    api.found["metadata"]["annotations"][CHART_VERSION] = "99.0.0"
    status, told = await run()
    assert (status, "it stays as it is" in told) == (0, True)
    assert api.found["metadata"]["annotations"][CHART_VERSION] == "99.0.0"
    status, told = await run("--force")
    assert (status, "is applied" in told) == (0, True)
    assert api.found["metadata"]["annotations"][CHART_VERSION] != "99.0.0"


async def test_the_command_says_that_a_cluster_is_too_old(api: Definitions) -> None:
    api.git_version = "v1.27.3"
    status, told = await run()
    assert status == 1
    assert told.splitlines()[-1].startswith("Error: Kubernetes 1.27 is too old: the operator needs 1.29 or later.")
