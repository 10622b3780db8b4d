"""The options of one run of `tradecast load`, and whether they are valid."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlsplit

from tradecast.config.settings import Settings
from tradecast.load.backoff import Backoff
from tradecast.load.client import Credential
from tradecast.load.packets import socket_url
from tradecast.load.streams import KINDS, EventKind

MAX_CLIENTS = 20_000
MAX_CONNECT_RATE = 5_000.0
MAX_DURATION = 24 * 3_600.0
MAX_RATE = 10_000.0
MAX_SYMBOLS = 500
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # token: RFC 9110, section 5.6.2
DEFAULT_MIX: Mapping[EventKind, float] = MappingProxyType({"watchlist:quote": 8, "trade:executed": 2})


class OptionsError(ValueError):
    """Invalid options.

    Attributes:
        problems: The option and what is wrong with it, for each.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{option}: {problem}" for option, problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """One run. Times are in seconds, rates per second.

    Attributes:
        url: The server's public URL, such as http://127.0.0.1:8000.
        path: Socket.IO's at that URL.
        credentials: Sessions to connect with; clients take turns with them.
        token: Bearer token for `emit_url`. Not shown.
        emit_url: `POST /api/emit`; None takes it from `url`.
        redis: Settings with REDIS_URL: publish through Redis instead.
        clients: How many connect.
        connect_rate: New connections per second.
        duration: How long events are published.
        rate: Events published per second, before they fan out; 0 publishes nothing.
        symbols: Symbols that quotes are published for.
        symbols_per_client: How many of them each client watches, in turn; None for all.
        mix: Weights of the kinds of event. A kind without weight is neither published nor subscribed to.
        settle: Longest wait for connections and subscriptions after the last client has started.
        drain: Longest wait for deliveries after the last event was published.
        reconnect: Reconnect as standard Socket.IO clients do, with this back-off; None: a lost connection stays lost.
        allow_remote: Allow servers that are not on this machine.
        headers: Sent with each handshake and each post, as a proxy before the server would add them.
        verify_tls: Verify the server's certificate.
    """

    url: str
    credentials: Sequence[Credential]
    token: str = field(default="", repr=False)
    path: str = "/socket.io/"
    emit_url: str | None = None
    redis: Settings | None = field(default=None, repr=False)
    clients: int = 100
    connect_rate: float = 200
    duration: float = 10
    rate: float = 10
    symbols: Sequence[str] = ("AAPL", "GOOG", "IBM", "MSFT", "FB")
    symbols_per_client: int | None = 1
    mix: Mapping[EventKind, float] = field(default_factory=lambda: DEFAULT_MIX)
    settle: float = 60
    drain: float = 10
    reconnect: Backoff | None = None
    allow_remote: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify_tls: bool = True

    @property
    def publish_url(self) -> str:
        """Where events are posted."""
        return self.emit_url or self.url.rstrip("/") + "/api/emit"

    def check(self) -> None:
        """Raise `OptionsError` with everything that is wrong."""
        wrong = [*self._find_wrong_urls(), *self._find_wrong_events(), *self._find_wrong_numbers()]
        wrong.extend(
            ("headers", f"{name!r} is not the name of a header, or its value has a line break")
            for name, value in self.headers.items()
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable()
        )
        if wrong:
            raise OptionsError(wrong)

    def _find_wrong_urls(self) -> Iterator[tuple[str, str]]:
        try:
            socket_url(self.url, self.path)
        except ValueError as error:
            yield "url", str(error)
        if self.rate and self.redis is None and urlsplit(self.publish_url).scheme not in ("http", "https"):
            yield ("url" if self.emit_url is None else "emit_url"), "must start with http:// or https://"
        if self.allow_remote:
            return
        for name, url in (("url", self.url), ("emit_url", self.emit_url)):
            if url is not None and not _is_loopback(url):
                host = urlsplit(url).hostname or "no host"
                yield name, f"{host} is not this machine; --allow-remote (allow_remote) allows others"

    def _find_wrong_events(self) -> Iterator[tuple[str, str]]:
        if not self.credentials:
            yield "credentials", "at least one session is needed"
        if not self.symbols or len(self.symbols) > MAX_SYMBOLS:
            yield "symbols", f"must be from 1 to {MAX_SYMBOLS}"
        if self.symbols_per_client is not None and not 1 <= self.symbols_per_client <= len(self.symbols):
            yield "symbols_per_client", "must be from 1 to the number of symbols"
        if unknown := sorted(set(self.mix) - set(KINDS)):
            yield "mix", f"no event {', '.join(unknown)}; there are {', '.join(KINDS)}"
        weights = self.mix.values()
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights):
            yield "mix", "weights must be 0 or more, and not all 0"

    def _find_wrong_numbers(self) -> Iterator[tuple[str, str]]:
        for name, value, low, high in (
            ("clients", float(self.clients), 1.0, float(MAX_CLIENTS)),
            ("connect_rate", self.connect_rate, 0.1, MAX_CONNECT_RATE),
            ("duration", self.duration, 0.0, MAX_DURATION),
            ("rate", self.rate, 0.0, MAX_RATE),
            ("settle", self.settle, 0.0, MAX_DURATION),
            ("drain", self.drain, 0.0, MAX_DURATION),
        ):
            if not low <= value <= high:
                yield name, f"must be from {low:g} to {high:g}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may point anywhere
