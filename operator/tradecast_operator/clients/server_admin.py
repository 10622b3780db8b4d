"""The operator's requests to a server's admin port.

A pod may be anybody's, or have got another pod's address. So nothing is sent that its receiver could use elsewhere (see
`signature`), the whole request has a deadline, the answer has a maximum size, and each of its values is checked.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from tradecast_operator.clients.pod_http import Answer, AnswerInvalid, PodClient
from tradecast_operator.clients.signature import read_next_nonce, read_offered_nonce, sign_request
from tradecast_operator.model.answers import parse_json, read_boolean, read_integer, read_number, read_object
from tradecast_operator.model.observation import Outcomes, Stats
from tradecast_operator.model.spec import HIGHEST_RATE, LONGEST_DRAIN

# Seconds for the whole request, from the connection to the last byte of the answer.
LONGEST: Final = 5.0
# Concurrent requests of all fleets of a namespace.
CONCURRENT_REQUESTS: Final = 50
# More clients than a server can have: an answer with more is rejected.
MOST_CONNECTIONS: Final = 1_000_000
# Seconds for which servers keep a drain that is not renewed, at most.
LONGEST_RENEWAL: Final = 3_600.0
# More than a server can have done since its start; a number in JSON is exact up to here.
MOST_OUTCOMES: Final = 2**53
# The servers' rate has no upper bound; above this a higher one makes no difference.
FASTEST: Final = 1e9
# Status codes.
SUCCESS: Final = 200
REDIRECT: Final = 300
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403


class ServerSilent(Exception):
    """A server did not answer, or refused; the text says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """The pod that a request is sent to.

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
    """State of a fleet's servers that is kept from round to round.

    Attributes:
        nonces: The nonce that each offered last, by the pod's uid.
        signing: ReplicaSets of which a server has accepted a signed request: their servers no longer get the token
            itself, whatever they answer.
        tokens: The token that each has accepted last, by the pod's uid, if it was not the first one.
    """

    nonces: dict[str, str] = field(default_factory=dict)
    signing: set[str] = field(default_factory=set)
    tokens: dict[str, str] = field(default_factory=dict)

    def keep(self, uids: Collection[str], revisions: Collection[str]) -> None:
        """Forget all other pods and ReplicaSets."""
        self.nonces = {uid: nonce for uid, nonce in self.nonces.items() if uid in uids}
        self.tokens = {uid: token for uid, token in self.tokens.items() if uid in uids}
        self.signing &= set(revisions)


class ServerAdmin:
    """The admin ports of a fleet's servers.

    Attributes:
        refused: Whether a server rejected the operator's credentials.
        bearers: Uids of the pods that were sent the token itself.
        behind: Uids of the pods that accepted another token than the first one.

    Args:
        client: Makes the requests.
        port: The admin port.
        tokens: The servers' ADMIN_TOKEN, then those that servers of before may still have; they are not logged.
        known: What was remembered of them.
        limit: Bounds the concurrent requests.
        bearer: Whether servers of the previous version, which accept no signed requests, are sent the token.
    """

    def __init__(
        self,
        client: PodClient,
        port: int,
        tokens: tuple[str, ...],
        known: KnownServers | None = None,
        limit: asyncio.Semaphore | None = None,
        *,
        bearer: bool = False,
    ) -> None:
        self._client = client
        self.refused = False
        self.bearers: set[str] = set()
        self.behind: set[str] = set()
        self._port = port
        self._tokens = tokens
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

    async def drain(
        self,
        target: Target,
        rate: float,
        within: float | None,
        *,
        renew_within: float | None = None,
        ends_within: float | None = None,
    ) -> None:
        """Drain the server, or renew or hurry its drain. Raises ServerSilent.

        Servers of earlier versions refuse a request with any of the last two.

        Args:
            target: The server.
            rate: Clients disconnected per second.
            within: Seconds after which the remaining clients are closed at once; None: by the server's settings.
            renew_within: Seconds after which the drain expires unless it is renewed; None: never.
            ends_within: Seconds until the server's process is killed; None: unknown.
        """
        body = {"rate": min(rate, HIGHEST_RATE)}
        if within is not None:
            body["timeout"] = min(within, LONGEST_DRAIN)
        if renew_within is not None:
            body["renewWithin"] = min(renew_within, LONGEST_RENEWAL)
        if ends_within is not None:
            body["endsWithin"] = min(ends_within, LONGEST_DRAIN)
        await self._ask("POST", target, "/admin/drain", body)

    async def cancel_drain(self, target: Target) -> None:
        """Have the server accept clients again. Raises ServerSilent."""
        await self._ask("DELETE", target, "/admin/drain")

    async def shed(self, target: Target, count: int, rate: float) -> None:
        """Have the server disconnect `count` clients, `rate` per second. Raises ServerSilent."""
        await self._ask("POST", target, "/admin/shed", {"count": count, "rate": min(rate, HIGHEST_RATE)})

    async def _ask(self, method: str, target: Target, path: str, body: Any = None) -> Any:
        try:
            async with self._limit, asyncio.timeout(LONGEST):
                return await self._attempt(method, target, path, b"" if body is None else json.dumps(body).encode())
        except TimeoutError:
            raise ServerSilent(f"no answer within {LONGEST:g} s") from None
        except AnswerInvalid as invalid:
            raise ServerSilent(f"no valid answer: {invalid}") from None
        except (OSError, ValueError) as error:
            raise ServerSilent(f"no answer: {type(error).__name__}") from None

    async def _attempt(self, method: str, target: Target, path: str, body: bytes) -> Any:
        """Send the request without credentials, then with a signature, or with the token where that is allowed.

        A server reads its tokens when it starts, so it may know another one than the Secret has now. What is refused
        with a nonce that was offered a moment ago was signed with a wrong token: the next one is tried.
        """
        nonce = self._known.nonces.pop(target.uid, None)
        tokens = self._order_tokens(target)
        signed = nonce is not None and bool(tokens)
        authorization = (
            sign_request(tokens[0], method, path, target.uid, nonce, body) if nonce is not None and tokens else None
        )
        answer = await self._send(method, target.address, path, body, authorization)
        is_fresh = False
        while answer.status == UNAUTHORIZED:
            nonce = read_offered_nonce(answer.headers.get("www-authenticate", ""))
            if nonce is not None and tokens[int(is_fresh) :]:
                tokens = tokens[int(is_fresh) :]
                signed = is_fresh = True
                authorization = sign_request(tokens[0], method, path, target.uid, nonce, body)
            else:
                plain = None if nonce is not None else self._plain(target, authorization)
                if plain is None:
                    break
                signed, authorization = False, plain
            answer = await self._send(method, target.address, path, body, authorization)
        if answer.status in (UNAUTHORIZED, FORBIDDEN):
            self.refused = True
        if not SUCCESS <= answer.status < REDIRECT:
            raise ServerSilent(f"it answers {answer.status}")
        if signed:
            self._remember(target, tokens[0], read_next_nonce(answer.headers.get("authentication-info", "")))
        return parse_json(answer.body)

    def _order_tokens(self, target: Target) -> tuple[str, ...]:
        """The tokens; the one that this server has accepted last comes first."""
        last = self._known.tokens.get(target.uid)
        if last is None or last not in self._tokens:
            return self._tokens
        return (last, *(token for token in self._tokens if token != last))

    def _remember(self, target: Target, token: str, nonce: str | None) -> None:
        """A server has accepted a signature with this token."""
        self._known.signing.add(target.revision)
        self._known.tokens.pop(target.uid, None)
        if token != self._tokens[0]:
            self._known.tokens[target.uid] = token
            self.behind.add(target.uid)
        if nonce is not None:
            self._known.nonces[target.uid] = nonce

    def _plain(self, target: Target, before: str | None) -> str | None:
        """The token itself, for a server that is not known to be of this version; None: not for this server.

        The pod's own word does not count: whoever answers in its place could claim to be of the previous version.
        """
        new = target.signs or target.revision in self._known.signing
        if not self._tokens or not self._bearer or new or not target.revision or before is not None:
            return None
        self.bearers.add(target.uid)
        return f"Bearer {self._tokens[0]}"

    async def _send(self, method: str, address: str, path: str, body: bytes, authorization: str | None) -> Answer:
        headers = {"content-type": "application/json"} if body else {}
        if authorization is not None:
            headers["authorization"] = authorization
        return await self._client.request(method, address, self._port, path, headers, body)


def read_stats(answer: Any) -> Stats:
    """Parse the answer of `/admin/stats`. Raises KeyError or ValueError."""
    data = read_object(answer)
    drain, websocket = read_object(data["drain"]), read_object(data["websocket"])
    here = read_integer(websocket["totalConnections"], MOST_CONNECTIONS)
    adapter = data.get("adapter")
    return Stats(
        connections=max(here, read_integer(drain["remaining"], MOST_CONNECTIONS)),
        draining=read_boolean(drain["active"]),
        shedding=read_boolean(drain["shedding"]),
        adapter=None if adapter is None else read_object(adapter),
        # Servers of earlier versions do not report these.
        drain_rate=min(_read_optional(drain, "connectionsPerSecond"), FASTEST),
        drain_time=min(_read_optional(drain, "timeoutSeconds"), LONGEST_DRAIN),
        renewable="renewWithin" in drain and "endsIn" in drain,
        rate=min(_read_optional(drain, "rate"), FASTEST),
        ends_in=None if drain.get("endsIn") is None else min(_read_optional(drain, "endsIn"), LONGEST_DRAIN),
        urgent=read_boolean(drain.get("urgent", False)),
        outcomes=None if data.get("outcomes") is None else _read_outcomes(read_object(data["outcomes"])),
    )


def _read_outcomes(outcomes: dict[str, Any]) -> Outcomes:
    names = ("connects", "connectFailures", "events", "eventErrors")
    return Outcomes(*(read_integer(outcomes[name], MOST_OUTCOMES) for name in names))


def _read_optional(drain: dict[str, Any], name: str) -> float:
    value = drain.get(name)
    return 0.0 if value is None else float(read_number(value, 0, sys.float_info.max))
