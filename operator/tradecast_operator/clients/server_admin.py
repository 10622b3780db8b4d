"""The operator's requests to a server's admin port.

A pod may be anybody's, or have got another pod's address. So nothing is sent that its receiver could use elsewhere (see
`signature`), the whole request has a deadline, the answer has a maximum size, and each of its values is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from tradecast_operator.clients.signature import SCHEME, following, offered, sign
from tradecast_operator.model.answers import fields, number, parse, truth, whole
from tradecast_operator.model.observation import Stats
from tradecast_operator.model.spec import HIGHEST_RATE, LONGEST_DRAIN

# Seconds for the whole request, from the connection to the last byte of the answer.
LONGEST: Final = 5.0
# Bytes of an answer; a server's statistics take some 20 kB.
LARGEST: Final = 512 * 1024
# Concurrent requests of all fleets of a namespace.
CONCURRENT_REQUESTS: Final = 50
# More clients than a server can have: an answer with more is rejected.
MOST_CONNECTIONS: Final = 1_000_000
# The servers' rate has no upper bound; above this a higher one makes no difference.
FASTEST: Final = 1e9
# The first answer is a 401 with a nonce, the second one may be, if the nonce was used up meanwhile.
ATTEMPTS: Final = 3


class ServerSilent(Exception):
    """A server did not answer, or refused; the text says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that is asked.

    Attributes:
        uid: The pod's uid, for which a signature is valid.
        address: Its IP address.
        revision: The uid of the ReplicaSet that owns it, whose pods run one version.
        signs: Whether its template declares that the server accepts signed requests.
    """

    uid: str
    address: str
    revision: str = ""
    signs: bool = False


@dataclass(slots=True)
class KnownServers:
    """What is remembered of a fleet's servers from round to round.

    Attributes:
        nonces: The nonce that each offered last, by the pod's uid.
        signing: ReplicaSets of which a server has accepted a signed request: their servers no longer get the token
            itself, whatever they answer.
    """

    nonces: dict[str, str] = field(default_factory=dict)
    signing: set[str] = field(default_factory=set)

    def keep(self, uids: Collection[str], revisions: Collection[str]) -> None:
        """Forget all other pods and ReplicaSets."""
        self.nonces = {uid: nonce for uid, nonce in self.nonces.items() if uid in uids}
        self.signing &= set(revisions)


def make_client() -> httpx.AsyncClient:
    """A client for requests to pods: it uses no proxy, keeps no cookies and follows no redirects."""
    return httpx.AsyncClient(
        timeout=LONGEST,
        # Bounded by CONCURRENT_REQUESTS: one fleet could use up a limit that all share.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tradecast-operator"},
    )


class ServerAdmin:
    """The admin ports of a fleet's servers.

    Attributes:
        refused: Whether a server rejected the operator's credentials.
        bearers: Uids of the pods that were sent the token itself.

    Args:
        client: Makes the requests.
        port: The admin port.
        token: The servers' ADMIN_TOKEN; it is not logged.
        known: What was remembered of them.
        limit: Bounds the concurrent requests.
        bearer: Whether servers of the previous version, which accept no signed requests, are sent the token.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        port: int,
        token: str,
        known: KnownServers | None = None,
        limit: asyncio.Semaphore | None = None,
        *,
        bearer: bool = False,
    ) -> None:
        self._client = client
        self.refused = False
        self.bearers: set[str] = set()
        self._port = port
        self._token = token
        self._known = known or KnownServers()
        self._limit = limit or asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._bearer = bearer

    async def stats(self, target: Target) -> Stats:
        """A server's statistics. Raises ServerSilent."""
        answer = await self._ask("GET", target, "/admin/stats")
        try:
            return read_stats(answer)
        except (KeyError, ValueError) as error:
            raise ServerSilent(f"its statistics are invalid: {type(error).__name__}") from None

    async def drain(self, target: Target, rate: float, within: float) -> None:
        """Drain the server, which is idempotent. Raises ServerSilent.

        Args:
            target: The server.
            rate: Clients disconnected per second.
            within: Seconds after which the remaining clients are closed at once.
        """
        body = {"rate": min(rate, HIGHEST_RATE), "timeout": min(within, LONGEST_DRAIN)}
        await self._ask("POST", target, "/admin/drain", body)

    async def cancel_drain(self, target: Target) -> None:
        """Have the server accept clients again. Raises ServerSilent."""
        await self._ask("DELETE", target, "/admin/drain")

    async def shed(self, target: Target, count: int, rate: float) -> None:
        """Have the server disconnect so many clients, so many per second. Raises ServerSilent."""
        await self._ask("POST", target, "/admin/shed", {"count": count, "rate": min(rate, HIGHEST_RATE)})

    async def _ask(self, method: str, target: Target, path: str, body: Any = None) -> Any:
        try:
            async with self._limit, asyncio.timeout(LONGEST):
                return await self._attempt(method, target, path, b"" if body is None else json.dumps(body).encode())
        except TimeoutError:
            raise ServerSilent(f"no answer within {LONGEST:g} s") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ValueError) as error:
            raise ServerSilent(f"no answer: {type(error).__name__}") from None

    async def _attempt(self, method: str, target: Target, path: str, body: bytes) -> Any:
        """Send the request without credentials, then with a signature, or with the token where that is allowed."""
        nonce = self._known.nonces.pop(target.uid, None)
        authorization = self._signature(method, target, path, nonce, body)
        for _ in range(ATTEMPTS):
            response, answer = await self._send(method, target.address, path, body, authorization)
            signed = authorization is not None and authorization.startswith(SCHEME)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                break
            nonce = offered(response.headers.get("www-authenticate", ""))
            following_one = self._signature(method, target, path, nonce, body)
            if following_one is None:
                following_one = self._plain(target, authorization)
            if following_one is None:
                break
            authorization = following_one
        if response.status_code in (401, 403):
            self.refused = True
        if not response.is_success:
            raise ServerSilent(f"it answers {response.status_code}")
        if signed:
            self._known.signing.add(target.revision)
            nonce = following(response.headers.get("authentication-info", ""))
            if nonce is not None:
                self._known.nonces[target.uid] = nonce
        return parse(answer)

    def _signature(self, method: str, target: Target, path: str, nonce: str | None, body: bytes) -> str | None:
        if not self._token or nonce is None:
            return None
        return sign(self._token, method, path, target.uid, nonce, body)

    def _plain(self, target: Target, before: str | None) -> str | None:
        """The token itself, for a server that is not known to be of this version; None: not for this server.

        The pod's own word does not count: whoever answers in its place could claim to be of the previous version.
        """
        new = target.signs or target.revision in self._known.signing
        if not self._token or not self._bearer or new or not target.revision or before is not None:
            return None
        self.bearers.add(target.uid)
        return f"Bearer {self._token}"

    async def _send(
        self, method: str, address: str, path: str, body: bytes, authorization: str | None
    ) -> tuple[httpx.Response, bytes]:
        host = f"[{address}]" if ":" in address else address
        headers = [(b"Content-Type", b"application/json")] if body else []
        if authorization is not None:
            headers.append((b"Authorization", authorization.encode()))
        url = f"http://{host}:{self._port}{path}"
        async with self._client.stream(method, url, content=body or None, headers=headers) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("compressed")  # a small body may be large when it is decompressed
            with contextlib.suppress(ValueError):
                if int(response.headers.get("content-length", "0")) > LARGEST:
                    raise ServerSilent(f"its answer has more than {LARGEST} bytes")
            answer = bytearray()
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > LARGEST:
                    raise ServerSilent(f"its answer has more than {LARGEST} bytes")
            return response, bytes(answer)


def read_stats(answer: Any) -> Stats:
    """Parse the answer of `/admin/stats`. Raises KeyError or ValueError."""
    data = fields(answer)
    drain, websocket = fields(data["drain"]), fields(data["websocket"])
    here = whole(websocket["totalConnections"], MOST_CONNECTIONS)
    adapter = data.get("adapter")
    return Stats(
        connections=max(here, whole(drain["remaining"], MOST_CONNECTIONS)),
        draining=truth(drain["active"]),
        shedding=truth(drain["shedding"]),
        adapter=None if adapter is None else fields(adapter),
        # Servers of earlier versions do not report these.
        drain_rate=min(_read_optional(drain, "connectionsPerSecond"), FASTEST),
        drain_time=min(_read_optional(drain, "timeoutSeconds"), LONGEST_DRAIN),
    )


def _read_optional(drain: dict[str, Any], name: str) -> float:
    value = drain.get(name)
    return 0.0 if value is None else float(number(value, 0, sys.float_info.max))
