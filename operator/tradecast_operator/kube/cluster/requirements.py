"""Whether a cluster has what the operator needs; if not, a sentence that says what to do."""

from __future__ import annotations

import re
from typing import Final

from tradecast_operator.kube.client import GROUP, VERSION, Kubernetes, Missing

# The oldest version that the chart supports (`kubeVersion`); the CRD needs its rules of validation.
OLDEST: Final = (1, 29)
_VERSION: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})")


class ClusterUnfit(Exception):
    """The cluster lacks something; the text says what, and what to do."""


async def check_version(kubernetes: Kubernetes) -> None:
    """Raises ClusterUnfit: Kubernetes is too old; httpx.HTTPError."""
    found = _VERSION.match(str((await kubernetes.version()).get("gitVersion", "")))
    if found is None:  # a distribution that says nothing: it may be new enough
        return
    if (int(found[1]), int(found[2])) < OLDEST:
        raise ClusterUnfit(
            f"Kubernetes {found[1]}.{found[2]} is too old: the operator needs {OLDEST[0]}.{OLDEST[1]} or later. "
            "Upgrade the cluster, or install the chart with operator.enabled=false"
        )


async def check_definition(kubernetes: Kubernetes) -> None:
    """Raises ClusterUnfit: the CRD is not installed; httpx.HTTPError."""
    try:
        await kubernetes.group_version(f"{GROUP}/{VERSION}")
    except Missing:
        raise ClusterUnfit(
            f"the cluster has no SocketFleets ({GROUP}/{VERSION}): install the CustomResourceDefinition, kubectl apply "
            "--server-side --field-manager=helm --force-conflicts -f charts/tradecast/crds/; the operator then "
            "continues"
        ) from None
