"""What a client has got, and another Redis in charge that knows of less."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from kit.delivery.hub_clients import NO_LIMIT, Kinds, NullObserver, reserve_anything
from tradecast.delivery.clients.resumption import Resumed
from tradecast.delivery.envelope import encode_envelope
from tradecast.delivery.hub import Hub, HubOptions
from tradecast.delivery.ids import Offset, write_offset
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.recovery import Request
from tradecast.delivery.retention import Retention
from tradecast.engine.message import Message
from tradecast.engine.transports.backlog import DrainWaiter
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet


class Engine:
    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.made = 0

    def generate_id(self) -> str:
        self.made += 1
        return f"sid{self.made}"

    def close_transport(self, eio_sid: str) -> None: ...
    def report_too_slow(self, eio_sid: str) -> None: ...
    def notify_drained(self, eio_sid: str, waiter: DrainWaiter) -> None: ...
    def is_backed_up(self, eio_sid: str) -> bool:
        return False

    def discard(self, eio_sid: str, left: Collection[str], still_in: Collection[str]) -> None: ...

    def deliver(self, eio_sids: Iterable[str], message: Message) -> int:
        recipients = list(eio_sids)
        self.delivered += [str(message.parts[0])] * len(recipients)
        return len(recipients)


class FakeSocketServer:
    packet_class = Packet

    def __init__(self) -> None:
        self.eio = Engine()


class SwitchHarness:
    """A hub over memory, in which a client comes back."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(Retention(window=60, dead_after=5, refresh=15, events_per_room=100))
        self.server = FakeSocketServer()
        self.manager = LocalManager()
        self.manager.set_server(self.server)
        options = HubOptions(recovery=True, window=60, refresh=15, buffer_limit=100, replay_limit=10_000)
        self.hub = Hub(
            *(self.broker, self.manager, self.server.eio, self, NullObserver(), options),
            kinds=Kinds(),
            limiter=NO_LIMIT,
            lines=ThrottledLog(),
        )

    async def displace(self, sid: str) -> None: ...

    async def new(self) -> str:
        """A client that is in a room, and goes; its pid."""
        sid = await self.manager.pre_connect("eio1", "/") or ""
        pid = await self.hub.admit(sid, "eio1", "u", "c", ["room"], Request(wanted=True))
        assert pid is not None
        self.hub.start_delivery(sid)
        self.hub.forget(sid, final=False)
        return pid

    async def back(self, pid: str, offset: str) -> Resumed | None:
        sid = await self.manager.pre_connect("eio2", "/") or ""
        resumed = await self.hub.resume(
            sid, "eio2", Request(True, pid, offset), "u", lambda room: True, reserve_anything
        )
        if resumed is not None:
            self.hub.start_delivery(resumed.sid)
        return resumed

    @property
    def got(self) -> list[str]:
        return [text.partition('["')[2].partition('"')[0] for text in self.server.eio.delivered]


@pytest.fixture
async def stage() -> Any:
    made = SwitchHarness()
    await made.hub.start()
    yield made
    await made.hub.close()


async def test_what_came_by_replay_does_not_come_again_when_the_server_goes_back(stage: SwitchHarness) -> None:
    pid = await stage.new()
    begin = stage.broker.positions[0]
    await stage.hub.emit("missed", [1], ["room"])
    assert await stage.back(pid, write_offset(stage.broker.epoch or "", [begin]))
    assert stage.got == ["missed"]
    top = stage.broker.positions[0]
    missed = encode_envelope("missed", [1], ["room"], "C")
    missed.id = top
    stage.broker.positions[0] = begin  # this server was behind what it read for the client
    stage.hub.on_epoch_change(0, top)
    stage.broker.positions[0] = top
    stage.hub.deliver(missed)
    assert stage.got == ["missed"]
    await stage.hub.emit("next", [2], ["room"])
    assert stage.got == ["missed", "next"]


async def test_offsets_of_events_that_were_held_back_do_not_go_beyond_what_is_left(stage: SwitchHarness) -> None:
    pid = await stage.new()
    begin = stage.broker.positions[0]
    sid = await stage.manager.pre_connect("eio2", "/") or ""
    offset = write_offset(stage.broker.epoch or "", [begin])
    resumed = await stage.hub.resume(sid, "eio2", Request(True, pid, offset), "u", lambda room: True, reserve_anything)
    assert resumed is not None
    await stage.hub.emit("held", [1], ["room"])
    stage.hub.on_epoch_change(0, begin)
    stage.hub.start_delivery(resumed.sid)
    assert stage.got == ["held"]
    assert stage.server.eio.delivered[0].endswith(f'"{offset}"]')


@pytest.mark.parametrize(("seen", "again", "recovered"), [(2, True, False), (2, False, True), (1, True, True)])
async def test_what_was_published_again_is_not_replayed_to_who_may_have_it(
    stage: SwitchHarness, monkeypatch: pytest.MonkeyPatch, seen: int, again: bool, recovered: bool
) -> None:
    pid = await stage.new()
    await stage.hub.emit("kept", [1], ["room"])
    top = stage.broker.positions[0]
    new = encode_envelope("new", [2], ["room"], "C")
    new.again = again
    await stage.hub.broker.publish(new)
    # In an earlier epoch, of which this one knows up to the first event, the client had seen so many.
    monkeypatch.setattr(
        stage.broker, "translate_offset", lambda offset: Offset(stage.broker.epoch or "", (min(offset.ids[0], top),))
    )
    offset = write_offset("earlier", [top + seen - 1])
    assert bool(await stage.back(pid, offset)) is recovered
    assert stage.got == (["new"] if recovered else [])
