"""Says when the system takes no more from a WebSocket over TLS, whose layer would keep 80 kB before it does.

An event loop's TLS transport pauses its protocol only when the connection below it is paused, which takes 64 KiB by
default, and neither asyncio nor uvloop lets that be set. So this asks the system itself, once for so many bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Iterable
from typing import Any, Final, Protocol

# A slow client's connection is asked after each small piece: what the system does not take, cannot be replaced.
PIECE: Final = 1_024


class Pausable(Protocol):
    """The protocol of a connection."""

    def pause_writing(self) -> None:
        """The connection takes no more."""
        ...

    def resume_writing(self) -> None:
        """The connection accepts more data, so paused writers may write again."""
        ...


class WriteReadiness:
    """Knows which connections the system takes more from: one epoll for all that are paused.

    Attributes:
        is_supported: Whether the system has it. Else event loops pause protocols, as they do.
    """

    def __init__(self) -> None:
        self.is_supported = hasattr(select, "epoll")
        self._epoll: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, SecuredTransport] = {}

    def __len__(self) -> int:
        """How many connections are waited for."""
        return len(self._waiting)

    def is_ready(self, fd: int) -> bool:
        """Whether the system takes more now."""
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        return bool(poll.poll(0))

    def wait(self, fd: int, transport: SecuredTransport) -> None:
        """Call `on_ready` of a transport once the system takes more."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._epoll.fileno(), self._notify)
        self._waiting[fd] = transport  # in place of a closed one, which may not know yet
        with contextlib.suppress(FileExistsError):
            self._epoll.register(fd, select.EPOLLOUT)

    def forget(self, fd: int, transport: SecuredTransport) -> None:
        """A connection is gone; to be called before its descriptor is used again."""
        if self._waiting.get(fd) is transport:
            self._unregister(fd)

    def close(self) -> None:
        """Wait for none any more."""
        self._waiting.clear()
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _notify(self) -> None:
        ready: Iterable[tuple[int, int]] = self._epoll.poll(0)
        for fd, _ in ready:
            transport = self._waiting.get(fd)
            self._unregister(fd)
            if transport is not None:
                transport.on_ready()

    def _unregister(self, fd: int) -> None:
        self._waiting.pop(fd, None)
        with contextlib.suppress(OSError):  # closed: the system has forgotten it
            self._epoll.unregister(fd)


class SecuredTransport(asyncio.Transport):
    """A connection over TLS that pauses its protocol as soon as the system does not take more.

    Args:
        transport: The connection.
        fd: Its descriptor.
        readiness: Asks the system.
        unsent: Bytes that are written before the system is asked.
    """

    __slots__ = ("_fd", "_is_draining", "_is_waiting", "_protocol", "_readiness", "_transport", "_unsent", "_written")

    def __init__(self, transport: asyncio.Transport, fd: int, readiness: WriteReadiness, unsent: int) -> None:
        super().__init__()
        self._transport = transport
        self._fd = fd
        self._readiness = readiness
        self._unsent = unsent
        self._protocol: Any = None
        self._written = 0
        self._is_waiting = False
        self._is_draining = False

    def write(self, data: Any) -> None:
        """Write, and pause the protocol if the system does not take what was written before."""
        self._transport.write(data)
        self._written += len(data)
        if self._is_waiting:  # an event loop's own resuming says nothing here
            self._protocol.pause_writing()
        elif self._is_draining:
            # What was just written may not be with the system before the next turn of the event loop.
            if self._written >= PIECE:
                self._pause(soon=True)
        elif self._written >= self._unsent:
            if self._transport.is_closing() or self._readiness.is_ready(self._fd):
                self._written = 0
            else:
                self._pause(soon=False)

    def on_ready(self) -> None:
        """The system takes more: so does the protocol, in small pieces."""
        self._is_waiting = False
        self._written = 0
        if self._transport.is_closing():
            return
        self._is_draining = True
        self._protocol.resume_writing()
        self._is_draining = False

    def forget(self) -> None:
        """The connection is lost."""
        self._is_waiting = False
        self._readiness.forget(self._fd, self)

    def _pause(self, *, soon: bool) -> None:
        self._is_waiting = True
        self._protocol.pause_writing()
        if soon:
            asyncio.get_running_loop().call_soon(self._check)
        else:
            self._readiness.wait(self._fd, self)

    def _check(self) -> None:
        if not self._is_waiting or self._transport.is_closing():
            return
        if self._readiness.is_ready(self._fd):
            self.on_ready()
        else:
            self._readiness.wait(self._fd, self)

    # -- as the connection does it

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.Transport`."""
        self._protocol = protocol
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.Transport`."""
        return self._transport.get_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.Transport`."""
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """See `asyncio.Transport`."""
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.Transport`."""
        self._transport.set_write_buffer_limits(high, low)

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        """See `asyncio.Transport`."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """See `asyncio.Transport`."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.Transport`."""
        self._transport.resume_reading()

    def can_write_eof(self) -> bool:
        """See `asyncio.Transport`."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """See `asyncio.Transport`."""
        self._transport.write_eof()

    def close(self) -> None:
        """See `asyncio.Transport`."""
        self._transport.close()

    def abort(self) -> None:
        """See `asyncio.Transport`."""
        self._transport.abort()


def secure_transport(transport: asyncio.Transport, readiness: WriteReadiness, unsent: int) -> asyncio.Transport:
    """A connection as WebSockets need it: itself, where nothing is kept between it and the system."""
    below = transport.get_extra_info("socket")
    if transport.get_extra_info("ssl_object") is None or below is None or not readiness.is_supported:
        return transport
    return SecuredTransport(transport, below.fileno(), readiness, unsent)
