"""What the operator asks of a server, at its admin port.

A pod may be anybody's, or be taken for another one whose address it has by now. So nothing is sent by which its
receiver could open anything else (see `signature`), the whole request has a deadline, the answer a size, and each of
its values is looked at.
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

# Seconds for all of a request, from the connection to the last byte of the answer.
LONGEST: Final = 5.0
# Bytes of an answer; a server's figures are some 20 kB.
LARGEST: Final = 512 * 1024
# Requests at a time, of all fleets of a namespace together.
AT_ONCE: Final = 50
# More clients than a server can have: a number above it is not believed.
MOST_CONNECTIONS: Final = 1_000_000
# Their own rate has no bound; above this none makes a difference.
FASTEST: Final = 1e9
# A 401 with a nonce, and one more where that was used up meanwhile.
ATTEMPTS: Final = 3


class ServerSilent(Exception):
    """A server did not answer, or refused; the text says how."""


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that is asked.

    Attributes:
        uid: The pod's; a signature holds for it alone.
        address: Its IP address.
        revision: The uid of the ReplicaSet that owns it: its pods run one version.
        signs: Whether its template says that its server takes signed requests.
    """

    uid: str
    address: str
    revision: str = ""
    signs: bool = False


@dataclass(slots=True)
class Known:
    """What is remembered of a fleet's servers from round to round.

    Attributes:
        nonces: What each offered last, by the pod's uid.
        signing: ReplicaSets of which a server has taken a signed request: none of them gets the token itself any more,
            whatever it says.
    """

    nonces: dict[str, str] = field(default_factory=dict)
    signing: set[str] = field(default_factory=set)

    def keep(self, uids: Collection[str], revisions: Collection[str]) -> None:
        """Forget the pods and ReplicaSets that are not there any more."""
        self.nonces = {uid: nonce for uid, nonce in self.nonces.items() if uid in uids}
        self.signing &= set(revisions)


def make_client() -> httpx.AsyncClient:
    """For requests to pods: no proxy is asked, no cookie is kept, no other address is gone to."""
    return httpx.AsyncClient(
        timeout=LONGEST,
        # Bounded by AT_ONCE: a limit for all fleets together would have one of them take all of it.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tradecast-operator"},
    )


class Servers:
    """The admin ports of a fleet's servers.

    Attributes:
        refused: Whether any of them did not take what shows who asks.
        bearers: Uids of pods that were sent the token itself.

    Args:
        client: Makes the requests.
        port: The admin port.
        token: The servers' ADMIN_TOKEN; it is not logged.
        known: What was remembered of them.
        at_once: Bounds the requests at a time.
        bearer: Whether servers of the version before, which take no signed requests, are sent the token.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        port: int,
        token: str,
        known: Known | None = None,
        at_once: asyncio.Semaphore | None = None,
        *,
        bearer: bool = False,
    ) -> None:
        self._client = client
        self.refused = False
        self.bearers: set[str] = set()
        self._port = port
        self._token = token
        self._known = known or Known()
        self._at_once = at_once or asyncio.Semaphore(AT_ONCE)
        self._bearer = bearer

    async def stats(self, target: Target) -> Stats:
        """What a server says of itself. Raises ServerSilent."""
        answer = await self._ask("GET", target, "/admin/stats")
        try:
            return read_stats(answer)
        except (KeyError, ValueError) as error:
            raise ServerSilent(f"it tells no connections: {type(error).__name__}") from None

    async def drain(self, target: Target, rate: float, within: float) -> None:
        """Send all clients away, so many per second, for so many seconds; those left then are closed at once.

        Repeating it changes nothing. Raises ServerSilent.
        """
        body = {"rate": min(rate, HIGHEST_RATE), "timeout": min(within, LONGEST_DRAIN)}
        await self._ask("POST", target, "/admin/drain", body)

    async def cancel_drain(self, target: Target) -> None:
        """Take clients again. Raises ServerSilent."""
        await self._ask("DELETE", target, "/admin/drain")

    async def shed(self, target: Target, count: int, rate: float) -> None:
        """Send so many clients away, so many per second. Raises ServerSilent."""
        await self._ask("POST", target, "/admin/shed", {"count": count, "rate": min(rate, HIGHEST_RATE)})

    async def _ask(self, method: str, target: Target, path: str, body: Any = None) -> Any:
        try:
            async with self._at_once, asyncio.timeout(LONGEST):
                return await self._attempt(method, target, path, b"" if body is None else json.dumps(body).encode())
        except TimeoutError:
            raise ServerSilent(f"it does not answer: not within {LONGEST:g} s") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ValueError) as error:
            raise ServerSilent(f"it does not answer: {type(error).__name__}") from None

    async def _attempt(self, method: str, target: Target, path: str, body: bytes) -> Any:
        """Without anything that shows who asks, then with a signature, or with the token where that is allowed."""
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
        """The token itself, for a server that nothing says to be of this version; None: not for this one.

        What the pod says alone does not count: whoever answers in its place could say that it is old.
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
                raise ValueError("packed")  # a small one may be large when it is unpacked
            with contextlib.suppress(ValueError):
                if int(response.headers.get("content-length", "0")) > LARGEST:
                    raise ServerSilent(f"it answers more than {LARGEST} bytes")
            answer = bytearray()
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > LARGEST:
                    raise ServerSilent(f"it answers more than {LARGEST} bytes")
            return response, bytes(answer)


def read_stats(answer: Any) -> Stats:
    """What `/admin/stats` says. Raises KeyError or ValueError."""
    said = fields(answer)
    drain, websocket = fields(said["drain"]), fields(said["websocket"])
    here = whole(websocket["totalConnections"], MOST_CONNECTIONS)
    adapter = said.get("adapter")
    return Stats(
        connections=max(here, whole(drain["remaining"], MOST_CONNECTIONS)),
        draining=truth(drain["active"]),
        shedding=truth(drain["shedding"]),
        adapter=None if adapter is None else fields(adapter),
        # Servers of earlier versions do not tell them.
        drain_rate=min(_told(drain, "connectionsPerSecond"), FASTEST),
        drain_time=min(_told(drain, "timeoutSeconds"), LONGEST_DRAIN),
    )


def _told(drain: dict[str, Any], name: str) -> float:
    value = drain.get(name)
    return 0.0 if value is None else float(number(value, 0, sys.float_info.max))
