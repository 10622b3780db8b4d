"""The operator's requests to the Kubernetes API, with plain objects."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import kr8s.asyncio
import orjson

from tradecast_operator.kube.pods.reduced import reduce_pod

GROUP: Final = "tradecast.dev"
VERSION: Final = "v1alpha1"
PLURAL: Final = "socketfleets"
FIELD_MANAGER: Final = "tradecast-operator"
HELM: Final = "helm"
FORBIDDEN: Final = 403
# Pods of one page of a list: some 3 MB.
PAGE: Final = 250
# Seconds after which the API server ends a watch, and for which a watch may be silent: each minute there is a bookmark.
WATCH_FOR: Final = 300
WATCH_SILENT: Final = 90.0
# Bytes of one change; etcd stores objects of up to 1.5 MB.
LONGEST_CHANGE: Final = 8_000_000
LEASES: Final = "coordination.k8s.io/v1"
CRDS: Final = "apiextensions.k8s.io/v1"
Object = dict[str, Any]
# A name becomes part of a URL: a malformed one would address another object, perhaps in another namespace.
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_MERGE = {"Content-Type": "application/merge-patch+json"}
_APPLY = {"Content-Type": "application/apply-patch+yaml"}


class Conflict(Exception):
    """The object has changed since it was read."""


class Missing(Exception):
    """The object does not exist."""


class InvalidName(Exception):
    """No object can have the name that a SocketFleet gives; the text says which name."""


class Kubernetes:
    """A client with the operator's requests.

    Each method raises `Missing` if the object does not exist, `Conflict` if it has changed, `InvalidName` if no object
    can have the name, and `httpx.HTTPError` if the API server refuses or does not answer in time.

    Args:
        timeout: Seconds that a request may take.
    """

    def __init__(self, timeout: float = 30) -> None:
        self._timeout = timeout
        self._api: Any = None
        self._watch_api: Any = None

    async def start(self) -> None:
        with _explain_errors("GET", "version"):
            self._api = await kr8s.asyncio.api()
            self._api.timeout = self._timeout
            # kr8s closes all connections of a client when a request is refused; its key is the namespace.
            self._watch_api = await kr8s.asyncio.api(namespace="watches")

    async def deployment(self, namespace: str, name: str) -> Object:
        return await self._get("apps/v1", namespace, _make_path("deployments", name))

    async def replica_sets(self, namespace: str, selector: str) -> Sequence[Object]:
        """All ReplicaSets that a label selector matches, as they are now."""
        listed = await self._get("apps/v1", namespace, "replicasets", params={"labelSelector": selector})
        return list(listed["items"])

    async def pods(self, namespace: str, selector: str) -> Sequence[Object]:
        """All pods that a label selector matches, as the API server's cache has them, with few fields."""
        listed = await self._get("v1", namespace, "pods", params={"labelSelector": selector, "resourceVersion": "0"})
        return [reduce_pod(pod) for pod in listed["items"]]

    async def list_pods(self, namespace: str, selector: str) -> tuple[Sequence[Object], str]:
        """The same, page by page, each reduced at once; and the resource version from which a watch continues."""
        pods: list[Object] = []
        params = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            # Not of the API server's cache, which has no pages in earlier versions of Kubernetes.
            page = await self._get("v1", namespace, "pods", params=params)
            pods += map(reduce_pod, page["items"])
            following = page["metadata"].get("continue")
            if not following:
                return pods, str(page["metadata"]["resourceVersion"])
            params = {**params, "continue": following}

    async def watch_pods(self, namespace: str, selector: str, version: str) -> AsyncGenerator[tuple[str, Object]]:
        """The changes of these pods from a resource version on, until the API server ends the watch.

        Yields:
            The kind of the change, ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the pod with few fields.
        """
        params = {
            "labelSelector": selector,
            "resourceVersion": version,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_FOR),
        }
        timeout = httpx.Timeout(self._timeout, read=WATCH_SILENT)
        options = {"params": params, "timeout": timeout, "stream": True}
        with _explain_errors("GET", "pods"):
            async with self._watch_api.call_api("GET", "v1", namespace=namespace, url="pods", **options) as response:
                async for line in _read_lines(response):
                    change = orjson.loads(line)
                    yield change["type"], reduce_pod(change["object"])

    async def secret(self, namespace: str, name: str) -> Object:
        return await self._get("v1", namespace, _make_path("secrets", name))

    async def config_map(self, namespace: str, name: str) -> Object:
        return await self._get("v1", namespace, _make_path("configmaps", name))

    async def set_replicas(self, namespace: str, name: str, version: str, replicas: int) -> None:
        """Write a Deployment's replicas if it still has this resource version."""
        await self._patch(
            "apps/v1", namespace, _make_path("deployments", name), _make_replicas_patch(version, replicas)
        )

    async def set_pacing(
        self,
        namespace: str,
        name: str,
        version: str,
        *,
        minimum: int,
        deadline: int | None,
        annotation: tuple[str, str | None],
    ) -> None:
        """Write what determines when a Deployment's old pods end, if it still has this resource version.

        Args:
            namespace: Where it is.
            name: Its name.
            version: Its resource version.
            minimum: `minReadySeconds`.
            deadline: `progressDeadlineSeconds`, which must be above it; None: it stays as it is.
            annotation: The name of an annotation of the Deployment, and its value; None: it is removed.
        """
        spec = {"minReadySeconds": minimum, **({} if deadline is None else {"progressDeadlineSeconds": deadline})}
        metadata = {"resourceVersion": version, "annotations": dict([annotation])}
        await self._patch("apps/v1", namespace, _make_path("deployments", name), {"metadata": metadata, "spec": spec})

    async def annotate_template(self, namespace: str, name: str, version: str, annotation: str, value: str) -> None:
        """Annotate a Deployment's pod template, which rolls it, if it still has this resource version.

        Args:
            namespace: Where it is.
            name: Its name.
            version: Its resource version.
            annotation: The annotation's name.
            value: The annotation's value; empty: it is removed.
        """
        body = {
            "metadata": {"resourceVersion": version},
            "spec": {"template": {"metadata": {"annotations": {annotation: value or None}}}},
        }
        await self._patch("apps/v1", namespace, _make_path("deployments", name), body)

    async def mark_pod(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
    ) -> None:
        """Set labels and annotations of the pod with this uid; None removes one."""
        metadata: Object = {"uid": uid, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
        await self._patch("v1", namespace, _make_path("pods", name), {"metadata": metadata})

    async def adopt_replicas(self, namespace: str, name: str, version: str, replicas: int) -> None:
        """Fill in a SocketFleet's replicas if it still has this resource version."""
        await self._patch(
            f"{GROUP}/{VERSION}", namespace, _make_path(PLURAL, name), _make_replicas_patch(version, replicas)
        )

    async def version(self) -> Object:
        """The version of Kubernetes, with `gitVersion`."""
        return await self._call("GET", "", None, "", base="/version")

    async def group_version(self, version: str) -> Object:
        """The resources of a group and version. Raises Missing if the API server does not serve it."""
        return await self._call("GET", version, None, "")

    async def definition(self, name: str) -> Object:
        """A CustomResourceDefinition."""
        return await self._call("GET", CRDS, None, _make_path("customresourcedefinitions", name))

    async def apply_definition(self, body: Object) -> None:
        """Apply the CustomResourceDefinition.

        As helm's field manager: since version 4 helm installs it by server-side apply, and refuses to install what
        another manager has applied.
        """
        await self._apply(CRDS, None, "customresourcedefinitions", body, HELM)

    async def has_fleet(self, namespace: str, name: str, uid: str) -> bool:
        """Whether the SocketFleet with this uid exists."""
        try:
            found = await self._get(f"{GROUP}/{VERSION}", namespace, _make_path(PLURAL, name))
        except Missing:
            return False
        return bool(found["metadata"]["uid"] == uid)

    async def set_status(self, namespace: str, name: str, status: Object) -> None:
        """Write a SocketFleet's status."""
        await self._patch(f"{GROUP}/{VERSION}", namespace, f"{_make_path(PLURAL, name)}/status", {"status": status})

    async def apply_config_map(self, namespace: str, body: Object) -> None:
        """Apply a ConfigMap; if `body` has a resource version, only if the ConfigMap still has it."""
        await self._apply("v1", namespace, "configmaps", body, FIELD_MANAGER)

    async def lease(self, namespace: str, name: str) -> Object:
        return await self._get(LEASES, namespace, _make_path("leases", name))

    async def create_lease(self, namespace: str, body: Object) -> Object:
        """Create a Lease and return it. Raises Conflict if there is one."""
        params = {"fieldManager": FIELD_MANAGER}
        return await self._call("POST", LEASES, namespace, "leases", params=params, json=body)

    async def set_lease(self, namespace: str, name: str, version: str, spec: Object) -> Object:
        """Write a Lease if it still has this resource version, and return it."""
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        return await self._patch(LEASES, namespace, _make_path("leases", name), body)

    async def create_event(self, namespace: str, body: Object) -> None:
        await self._call("POST", "v1", namespace, "events", json=body)

    async def _get(self, version: str, namespace: str, url: str, **options: Any) -> Object:
        return await self._call("GET", version, namespace, url, **options)

    async def _patch(self, version: str, namespace: str, url: str, body: Object) -> Object:
        params = {"fieldManager": FIELD_MANAGER}
        return await self._call("PATCH", version, namespace, url, params=params, headers=_MERGE, json=body)

    async def _apply(self, version: str, namespace: str | None, plural: str, body: Object, manager: str) -> None:
        params = {"fieldManager": manager, "force": "true"}
        url = _make_path(plural, body["metadata"]["name"])
        await self._call("PATCH", version, namespace, url, params=params, headers=_APPLY, json=body)

    async def _call(self, method: str, version: str, namespace: str | None, url: str, **options: Any) -> Object:
        with _explain_errors(method, url):
            async with self._api.call_api(method, version=version, namespace=namespace, url=url, **options) as response:
                answer: Object = orjson.loads(response.content)
                return answer


@contextlib.contextmanager
def _explain_errors(method: str, url: str) -> Iterator[None]:
    """Raise the errors of `Kubernetes` for those of the client below."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
    except kr8s.APITimeoutError as error:
        raise httpx.TimeoutException(f"{method} {url}: no answer in time") from error
    except orjson.JSONDecodeError as error:
        raise httpx.DecodingError(f"{method} {url}: no JSON") from error
    except kr8s.ServerError as error:
        if error.response is None:
            raise
        code = error.response.status_code
        if code not in (404, 409):
            raise httpx.HTTPStatusError(str(error), request=error.response.request, response=error.response) from error
    else:
        return
    if code == 404:
        raise Missing(url)
    if code == 409:
        raise Conflict(url)
    raise httpx.HTTPError(f"{method} {url}: {code}")


async def _read_lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The lines of an answer as they come in. Raises httpx.DecodingError if one is too long."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            parts.append(line)
            whole, parts, size = b"".join(parts), [], 0
            if whole.strip():
                yield whole
        parts.append(rest)
        size += len(rest)
        if size > LONGEST_CHANGE:
            raise httpx.DecodingError(f"a change has more than {LONGEST_CHANGE} bytes")


def _make_path(plural: str, name: str) -> str:
    """The path of an object in its namespace. Raises InvalidName."""
    if _NAME.fullmatch(name) is None:
        raise InvalidName(f"{plural}: {name[:80]!r} is not a valid name in Kubernetes")
    return f"{plural}/{name}"


def _make_replicas_patch(version: str, replicas: int) -> Object:
    """A patch that is valid for this resource version only."""
    return {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
