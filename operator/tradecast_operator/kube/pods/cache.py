"""The pods that a label selector matches, as they are now, however many there are.

Few pods are listed in each round. Many are listed once, page by page, and watched from then on: a list of 4,000 is some
50 MB, which would take the API server and the operator a second or more in each round.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

import httpx
import structlog

from tradecast_operator.kube.client import FORBIDDEN, Kubernetes, Object

# Up to so many pods are listed in each round.
FEW: Final = 250
# Seconds after which pods are listed again if there are others than the Deployment's controller counts.
LIST_AGAIN: Final = 60.0
# Seconds for which the right to watch is not tried again after a refusal.
REFUSED_FOR: Final = 600.0
# Seconds until the next watch after one has ended.
PAUSE: Final = 1.0
ENDED: Final = ("Succeeded", "Failed")
log = structlog.stdlib.get_logger("tradecast.operator")


class WatchLost(Exception):
    """The API server no longer knows the changes since the last list: the pods have to be listed again."""


class PodCache:
    """The pods of one fleet.

    Args:
        kubernetes: The API.
        namespace: Where they are.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._selector = self._version = ""
        self._pods: dict[str, Object] = {}
        self._count = 0
        self._listed_at = 0.0
        self._refused_at = -REFUSED_FOR
        self._watching: asyncio.Task[None] | None = None

    async def read(self, selector: str, expected: int) -> Sequence[Object]:
        """The pods, with the fields of `reduce_pod`.

        Args:
            selector: The label selector.
            expected: So many pods there are, as far as the Deployment's controller knows.

        Raises:
            httpx.HTTPError: Kubernetes refuses, or does not answer in time.
        """
        if max(expected, self._count) <= FEW:
            await self.close()
            pods = await self._kubernetes.pods(self._namespace, selector)
            self._count = len(pods)
            return pods
        if selector != self._selector or not self._is_current(expected):
            await self._list(selector)
        self._count = len(self._pods)
        return list(self._pods.values())

    async def close(self) -> None:
        """End the watch, and forget the pods."""
        watching, self._watching = self._watching, None
        self._pods, self._selector = {}, ""
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _is_current(self, expected: int) -> bool:
        """Whether the known pods are up to date with the watch."""
        if self._watching is None or self._watching.done():
            return False
        # A connection that is dead and does not say so reports nothing. The controller has a watch of its own.
        alive = sum(
            "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ENDED
            for pod in self._pods.values()
        )
        return alive == expected or time.monotonic() - self._listed_at < LIST_AGAIN

    async def _list(self, selector: str) -> None:
        await self.close()
        pods, self._version = await self._kubernetes.list_pods(self._namespace, selector)
        self._pods = {str(pod["metadata"]["uid"]): pod for pod in pods}
        self._selector, self._listed_at = selector, time.monotonic()
        if time.monotonic() - self._refused_at >= REFUSED_FOR:
            watching = self._watch(self._pods, selector)
            self._watching = asyncio.create_task(watching, name=f"pods {self._namespace}")

    async def _watch(self, pods: dict[str, Object], selector: str) -> None:
        """Keep the pods up to date until the watch fails; then they are listed again."""
        try:
            while True:
                with contextlib.suppress(httpx.TimeoutException):  # it was silent for too long: perhaps it is dead
                    await self._follow(pods, selector)
                await asyncio.sleep(PAUSE)
        except WatchLost:
            log.info("pods are listed again: the API server has forgotten the changes", namespace=self._namespace)
        except httpx.HTTPError as error:
            code = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
            if code == FORBIDDEN:
                self._refused_at = time.monotonic()
                log.warning(
                    "pods may not be watched: give the operator's Role the verb watch for pods, since a list of many "
                    "pods in each round takes much CPU time",
                    namespace=self._namespace,
                )
            else:
                log.info("pods are listed again: the watch failed", namespace=self._namespace, status=code)
        except Exception:
            log.exception("the watch of pods failed", namespace=self._namespace)

    async def _follow(self, pods: dict[str, Object], selector: str) -> None:
        """Follow one watch to its end. Raises WatchLost."""
        watch = self._kubernetes.watch_pods(self._namespace, selector, self._version)
        async with contextlib.aclosing(watch) as changes:
            async for kind, pod in changes:
                metadata = pod["metadata"]
                match kind:
                    case "ADDED" | "MODIFIED":
                        pods[str(metadata["uid"])] = pod
                    case "DELETED":
                        pods.pop(str(metadata["uid"]), None)
                    case "ERROR":
                        raise WatchLost
                self._version = metadata.get("resourceVersion") or self._version
