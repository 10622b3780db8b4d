"""Holding the Lease of a fleet: acquires it, renews it, releases it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import httpx
import structlog

from tradecast_operator.kube.client import FORBIDDEN, GROUP, VERSION, Conflict, Kubernetes, Missing, Object
from tradecast_operator.kube.lease import RETRY, NotHeld, Record, Tenure, claim_lease

# Seconds that an attempt may take.
ATTEMPT: Final = 5.0
# Seconds until the next attempt after a refusal: with each refusal the client logs in again.
FORBIDDEN_RETRY: Final = 60.0
log = structlog.stdlib.get_logger("tradecast.operator")


class LeaseListener(Protocol):
    """Is notified when the Lease is acquired or lost."""

    def lease_changed(self) -> None:
        """`holds` has another value now."""


class Leaseholder:
    """A candidate for a fleet's Lease, `<fleet>-operator` in its namespace.

    Attributes:
        forbidden: Whether Kubernetes does not let this operator have the Lease: the fleet is another operator's.

    Args:
        kubernetes: The API.
        body: The SocketFleet, which owns the Lease.
        clock: Monotonic, in seconds.
    """

    def __init__(self, kubernetes: Kubernetes, body: Object, clock: Callable[[], float] = time.monotonic) -> None:
        metadata = body["metadata"]
        self.forbidden = False
        self._kubernetes = kubernetes
        self._namespace: str = metadata["namespace"]
        self._fleet: str = metadata["name"]
        self._name = f"{self._fleet}-operator"
        self._owner = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "SocketFleet",
            "name": self._fleet,
            "uid": metadata["uid"],
        }
        self._clock = clock
        # Not the host's name alone: a restarted process must not take itself for the one before.
        self._tenure = Tenure(f"{socket.gethostname()}_{uuid.uuid4()}")
        self._terms = 0

    async def run(self, listener: LeaseListener) -> None:
        """Acquire the Lease or renew it, for ever.

        Args:
            listener: Is notified of changes.
        """
        held, reported = False, ""
        while True:
            try:
                await self.attempt()
            except (Conflict, Missing):
                log.debug("Lease changed meanwhile", fleet=self._fleet, namespace=self._namespace)
            except (httpx.HTTPError, TimeoutError, OSError) as error:
                self._failed(error)
            except Exception:
                # A task that ended here would stand by for ever.
                log.exception("Lease not acquired or renewed", fleet=self._fleet, namespace=self._namespace)
            if self.holds() != held:
                held = not held
                log.info("Lease acquired" if held else "Lease lost", fleet=self._fleet, namespace=self._namespace)
                listener.lease_changed()
            record = self._tenure.record
            holder = "" if held or record is None else record.holder
            if holder and holder != reported:
                log.info("waiting for the Lease", fleet=self._fleet, namespace=self._namespace, holder=holder)
            reported = holder
            # Several candidates do not try at the same moment.
            pause = FORBIDDEN_RETRY if self.forbidden else RETRY
            await asyncio.sleep(pause * random.uniform(1, 1.2))  # noqa: S311 no secret

    def _failed(self, error: Exception) -> None:
        forbidden = isinstance(error, httpx.HTTPStatusError) and error.response.status_code == FORBIDDEN
        if forbidden and not self.forbidden:
            log.warning(
                "Lease forbidden by Kubernetes: this operator ignores the fleet",
                lease=self._name,
                fleet=self._fleet,
                namespace=self._namespace,
            )
        elif not forbidden:
            log.warning("Lease not acquired or renewed", fleet=self._fleet, error=type(error).__name__)
        self.forbidden = forbidden

    async def attempt(self) -> None:
        """Renew the Lease, or acquire it if it is free.

        Raises:
            Conflict: Somebody else has changed it meanwhile.
            Missing: Somebody has deleted it meanwhile.
            TimeoutError: The attempt took too long.
            httpx.HTTPError: Kubernetes refuses.
        """
        async with asyncio.timeout(ATTEMPT):
            if self._tenure.renewed is None:
                await self._read()
            if not self._tenure.may_take(self._clock()):
                return
            try:
                await self._take()
            except (Conflict, Missing):
                # Read the present holder at once: else this operator would act for up to the deadline.
                await self._read()
                if self._tenure.record is None or self._tenure.record.holder == self._tenure.me:
                    await self._take()

    async def _read(self) -> None:
        record: Record | None = None
        with contextlib.suppress(Missing):
            record = Record.of(await self._kubernetes.lease(self._namespace, self._name))
        self.forbidden = False
        self._tenure = self._tenure.observe(record, self._clock())

    async def _take(self) -> None:
        began = self._clock()
        spec = claim_lease(self._tenure, _format_now())
        known = self._tenure.record
        if known is None:
            metadata = {"name": self._name, "namespace": self._namespace, "ownerReferences": [self._owner]}
            body = await self._kubernetes.create_lease(self._namespace, {"metadata": metadata, "spec": spec})
        else:
            body = await self._kubernetes.set_lease(self._namespace, self._name, known.version, spec)
        self._terms += self._tenure.renewed is None
        self._tenure = self._tenure.acquire(Record.of(body), began)

    def holds(self) -> bool:
        """Whether anything may be begun."""
        return self._tenure.holds(self._clock())

    @property
    def term(self) -> int | None:
        """The number of the present term, which begins when the Lease is acquired; None: nothing may be begun.

        Within one term nobody else acts.
        """
        return self._terms if self.holds() else None

    @contextlib.asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """Act once on the fleet. Raises NotHeld: the action may not begin, or has not ended in time."""
        now = self._clock()
        if not self._tenure.holds(now):
            raise NotHeld
        try:
            async with asyncio.timeout(self._tenure.left(now)):
                yield
        except TimeoutError:
            raise NotHeld from None

    async def release(self) -> None:
        """Release the Lease, so that another operator need not wait. If that fails, the Lease expires."""
        tenure, self._tenure = self._tenure, Tenure(self._tenure.me)
        if tenure.renewed is None or tenure.record is None:
            return
        try:
            async with asyncio.timeout(ATTEMPT):
                try:
                    await self._write_nobody(tenure.record.version)
                except Conflict:
                    # A renewal was under way when this operator was asked to stop: Kubernetes has carried it out.
                    record = Record.of(await self._kubernetes.lease(self._namespace, self._name))
                    if record.holder == tenure.me:
                        await self._write_nobody(record.version)
        except (Conflict, Missing, httpx.HTTPError, TimeoutError, OSError) as error:
            log.info("Lease not released, it will expire", fleet=self._fleet, error=type(error).__name__)

    async def _write_nobody(self, version: str) -> None:
        now = _format_now()
        nobody = {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
        await self._kubernetes.set_lease(self._namespace, self._name, version, nobody)


def _format_now() -> str:
    """Now, as a MicroTime."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
