"""What the operator asks of a server, at its admin port."""

from __future__ import annotations

from typing import Any

import httpx

from tradecast_operator.observation import Stats


class ServerSilent(Exception):
    """A server did not answer, or refused; the text says how."""


class Servers:
    """The admin ports of a fleet's servers.

    Attributes:
        refused: Whether any of them did not take the token.

    Args:
        client: Makes the requests.
        port: The admin port.
        token: The bearer token that it wants; it is not logged.
    """

    def __init__(self, client: httpx.AsyncClient, port: int, token: str) -> None:
        self._client = client
        self.refused = False
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def stats(self, address: str) -> Stats:
        """What a server says of itself. Raises ServerSilent."""
        answer = await self._ask("GET", address, "/admin/stats")
        try:
            drain = answer["drain"]
            return Stats(
                connections=max(int(answer["websocket"]["totalConnections"]), int(drain["remaining"])),
                draining=bool(drain["active"]),
                shedding=bool(drain["shedding"]),
                adapter=answer.get("adapter"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ServerSilent(f"it tells no connections: {type(error).__name__}") from None

    async def drain(self, address: str, rate: float, within: float) -> None:
        """Send all clients away, so many per second, for so many seconds; those left then are closed at once.

        Repeating it changes nothing. Raises ServerSilent.
        """
        await self._ask("POST", address, "/admin/drain", {"rate": rate, "timeout": within})

    async def cancel_drain(self, address: str) -> None:
        """Take clients again. Raises ServerSilent."""
        await self._ask("DELETE", address, "/admin/drain")

    async def shed(self, address: str, count: int, rate: float) -> None:
        """Send so many clients away, so many per second. Raises ServerSilent."""
        await self._ask("POST", address, "/admin/shed", {"count": count, "rate": rate})

    async def _ask(self, method: str, address: str, path: str, body: Any = None) -> Any:
        host = f"[{address}]" if ":" in address else address
        try:
            response = await self._client.request(
                method, f"http://{host}:{self._port}{path}", json=body, headers=self._headers
            )
            response.raise_for_status()
            return response.json()
        except httpx.HTTPStatusError as error:
            self.refused |= error.response.status_code in (401, 403)
            raise ServerSilent(f"it answers {error.response.status_code}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise ServerSilent(f"it does not answer: {type(error).__name__}") from None
