"""Finds the owner of a connection, and makes the head of a request to it."""

from __future__ import annotations

from collections.abc import Sequence

from tradecast.engine.http.request import Header, Request
from tradecast.polling_relay.addresses import AddressUnavailable, ServerAddresses
from tradecast.polling_relay.owner.http_client import Route
from tradecast.polling_relay.owner.http_heads import BadHead, read_refusal, request_head
from tradecast.polling_relay.refusals import owner_refused, owner_unknown, owner_untrusted, request_invalid
from tradecast.polling_relay.sids import boot_of
from tradecast.polling_relay.signatures import sign_request
from tradecast.polling_relay.tls import InternalTls


class Owners:
    """The other servers, as owners of connections.

    Args:
        addresses: Where they are.
        tls: For those that speak TLS; None: there is no TLS between servers.
    """

    def __init__(self, addresses: ServerAddresses, tls: InternalTls | None = None) -> None:
        self._addresses = addresses
        self._tls = tls

    def find_boot(self, sid: str) -> str | None:
        """The boot id of the other server that made this sid; None: this server, or none of the fleet."""
        boot = boot_of(sid, self._addresses.keys)
        return None if boot == self._addresses.boot else boot

    async def find_route(self, boot: str) -> Route | None:
        """How the server with this boot id is reached; None: it is gone.

        Raises:
            RelayFailed: Its address is unknown, or it has no TLS where that is required.
        """
        try:
            address = await self._addresses.find(boot)
        except AddressUnavailable:
            raise owner_unknown() from None
        if address is None or self._tls is None:
            return None if address is None else Route(address)
        secured = self._addresses.find_secured(boot)
        if secured is None and self._tls.required:
            raise owner_untrusted("it speaks no TLS, which INTERNAL_REQUIRE_TLS wants")
        return Route(address) if secured is None else Route(secured, self._tls)

    def make_head(self, boot: str, request: Request, body_size: int = 0) -> bytes:
        """The signed head of the request to the owner.

        Raises:
            RelayFailed: The request has a head that cannot be relayed.
        """
        known = self._addresses
        signature = sign_request(known.keys[0], request.method, request.target, boot, known.now())
        try:
            return request_head(request, signature, body_size)
        except BadHead:
            raise request_invalid("The request cannot be passed on") from None

    def is_gone(self, boot: str, headers: Sequence[Header]) -> bool:
        """Whether an answer shows that another server is at the owner's address by now.

        Raises:
            RelayFailed: The owner does not take requests from this server.
        """
        reason = read_refusal(headers)
        if reason == "boot":
            self._addresses.forget(boot)
            return True
        if reason is not None:
            raise owner_refused()
        return False
