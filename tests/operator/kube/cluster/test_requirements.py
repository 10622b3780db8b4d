"""What a cluster lacks, in a sentence."""

from __future__ import annotations

import pytest

from kit.kubernetes.fake_api import FakeKubernetes
from tradecast_operator.kube.client import Missing, Object
from tradecast_operator.kube.cluster.requirements import ClusterUnfit, check_definition, check_version


class Cluster(FakeKubernetes):
    """Of some version, without the CRD."""

    def __init__(self, version: Object) -> None:
        super().__init__()
        self._version = version

    async def version(self) -> Object:
        return self._version

    async def group_version(self, version: str) -> Object:
        raise Missing(version)


@pytest.mark.parametrize(
    "version", ["v1.29.0", "v1.36.3", "v1.33.1-eks-1", "v1.30.2+k3s1", "1.29", "v2.0.0", "", "of ours"]
)
async def test_a_version_that_is_new_enough_or_unknown(version: str) -> None:
    await check_version(Cluster({"gitVersion": version}))
    await check_version(Cluster({}))


@pytest.mark.parametrize("version", ["v1.28.15", "v1.9.0", "v0.99.0", "v1.28.9-gke.1"])
async def test_one_that_is_too_old(version: str) -> None:
    with pytest.raises(ClusterUnfit, match=r"is too old: the operator needs 1\.29 or later\. Upgrade the cluster"):
        await check_version(Cluster({"gitVersion": version}))


async def test_a_cluster_without_the_crd() -> None:
    with pytest.raises(
        ClusterUnfit, match=r"install the CustomResourceDefinition, kubectl apply .* -f charts/tradecast"
    ):
        await check_definition(Cluster({}))
