"""Peers that do everything wrong: what is raised is right, and leaving ends, with the stream closed and no task left.

The last three are checked by ``network.visit`` for every row. The rows about connecting are in test_connecting.py.
"""

from __future__ import annotations

import logging
import random
import re
import struct
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from kraken_trio._address import parse_address
from kraken_trio.transport import ConnectionLost, Pings, trio_websocket
from kraken_trio.transport.reading import RECEIVE_BYTES
from tests.transport.conftest import TRANSPORTS, Peer
from tests.transport.frames import BINARY, CLOSE, PING, PONG, TEXT

if TYPE_CHECKING:
    from kraken_trio.transport import Transport
    from tests.transport.conftest import Network, Script


async def until_lost(transport: Transport) -> None:
    while True:
        await transport.receive()


async def lost(network: Network, script: Script) -> ConnectionLost:
    """Visit a peer, read until the connection is lost, and return what was raised. Sending must fail too, then."""

    caught = ConnectionLost("nothing was raised")

    async def body(transport: Transport) -> None:
        nonlocal caught
        with pytest.raises(ConnectionLost) as info:
            await until_lost(transport)
        caught = info.value
        with pytest.raises(ConnectionLost) as again:
            await transport.send("anybody there?")
        assert (again.value.reason, again.value.code) == (caught.reason, caught.code)

    await network.visit(script, body)
    return caught


# -- peers that end it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stays", [True, False])
async def test_sends_close(network: Network, stays: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.close(1001, "CloudFlare WebSocket proxy restarting"))
        assert await peer.next_frame() == (CLOSE, struct.pack("!H", 1001) + b"CloudFlare WebSocket proxy restarting")
        if stays:
            await peer.gone()

    raised = await lost(network, script)
    assert raised.code == 1001
    assert raised.reason == ("the peer closed the connection: 1001 GOING_AWAY: CloudFlare WebSocket proxy restarting")


async def test_sends_close_without_a_code(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.frame(CLOSE))
        await peer.gone()

    raised = await lost(network, script)
    assert (raised.reason, raised.code) == ("the peer closed the connection, without a code", None)


async def test_sends_close_without_a_reason(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.close(4000))
        await peer.gone()

    raised = await lost(network, script)
    assert (raised.reason, raised.code) == ("the peer closed the connection: 4000", 4000)


async def test_close_reason_is_escaped_also_in_the_librarys_log(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.close(1008, "\x1b[2J\r\ngone \u202e"))
        await peer.gone()

    logger = {"trio-websocket": "trio-websocket", "websockets": "kraken_trio.websockets"}[network.transport]
    with caplog.at_level(logging.DEBUG, logger=logger):
        raised = await lost(network, script)
    assert raised.reason.endswith(r"1008 POLICY_VIOLATION: \x1b[2J\r\ngone \u202e")
    assert any("gone" in record.getMessage() for record in caplog.records if record.name == logger)
    assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_messages_before_the_close_are_received(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("1", "2", "3") + peer.close(1000))
        await peer.gone()

    async def body(transport: Transport) -> None:
        messages: list[str | bytes] = []
        with pytest.raises(ConnectionLost):
            while True:
                messages += await transport.receive()
        assert messages == ["1", "2", "3"]

    await network.visit(script, body)


async def test_ends_the_stream_without_close(network: Network) -> None:
    raised = await lost(network, lambda peer: peer.accept())
    assert (raised.reason, raised.code) == ("the peer ended the stream without a WebSocket close", None)


def abort(stream: trio.abc.Stream) -> None:
    """Make closing this socket send RST."""
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_resets_the_connection(loopback: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("one"))
        assert await peer.next_frame() == (TEXT, b"two")
        abort(peer.stream)

    async def body(transport: Transport) -> None:
        assert await transport.receive() == ["one"]
        await transport.send("two")
        with pytest.raises(ConnectionLost, match=r"the connection broke: .*reset") as info:
            await transport.receive()
        assert info.value.code is None
        with pytest.raises(ConnectionLost, match=r"the connection broke: .*reset"):
            await transport.send("three")

    await loopback.visit(script, body)


async def test_resets_while_we_write(loopback: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep(0.02)
        abort(peer.stream)

    async def body(transport: Transport) -> None:
        # The kernel tells of the reset only once, to the reader or to the writer; the other one is told of the end.
        with pytest.raises(ConnectionLost, match=r"the connection broke|the peer ended the stream"):
            while True:
                await transport.send("x" * 1_000_000)

    await loopback.visit(script, body)


async def test_dies_while_we_wait(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep(0.05)

    raised = await lost(network, script)
    assert raised.code is None


# -- peers that break the rules ---------------------------------------------------------------------------------------


BROKEN: dict[str, tuple[bytes, dict[str, str]]] = {
    "an unknown opcode": (b"\x83\x00", {"trio-websocket": "Invalid opcode 0x3", "websockets": "unknown opcode 0x3"}),
    "a masked frame": (
        b"\x81\x81\0\0\0\0a",
        {"trio-websocket": "client received unexpected masked frame", "websockets": "a frame from a server is masked"},
    ),
    "a reserved bit, so compressed": (
        b"\xc1\x01a",
        {"trio-websocket": "Reserved bit set unexpectedly", "websockets": "a reserved bit is set"},
    ),
    "a fragment of a control frame": (
        b"\x09\x00",
        {"trio-websocket": "Invalid attempt to fragment control", "websockets": "a control frame is fragmented"},
    ),
    "a long control frame": (
        b"\x89\x7e\x00\x7e" + b"x" * 126,
        {"trio-websocket": "", "websockets": "a control frame has more than 125 bytes"},
    ),
    "a continuation of nothing": (b"\x80\x01a", {"trio-websocket": "", "websockets": "unexpected continuation frame"}),
    "a message inside another one": (
        b"\x01\x01a\x81\x01b",
        {"trio-websocket": "expected CONTINUATION", "websockets": "expected a continuation frame"},
    ),
    "text that is not UTF-8": (
        b"\x81\x02\xff\xfe",
        {"trio-websocket": "utf-8", "websockets": "a text is not UTF-8"},
    ),
    "fragments of a text that is not UTF-8": (
        b"\x01\x01\xc3\x80\x01a",
        {"trio-websocket": "utf-8", "websockets": "a text is not UTF-8"},
    ),
    "a close code that nobody may send": (
        b"\x88\x02\x03\xee",
        {"trio-websocket": "local-only", "websockets": "invalid status code"},
    ),
    "a close of one byte": (
        b"\x88\x01\x03",
        {"trio-websocket": "1 byte", "websockets": "close frame too short"},
    ),
    "a close whose reason is not UTF-8": (b"\x88\x03\x03\xe8\xff", {"trio-websocket": "utf-8", "websockets": "utf-8"}),
    "a length with the sign bit": (
        b"\x82\xff" + b"\xff" * 8,
        {"trio-websocket": "non-zero MSB", "websockets": "masked"},
    ),
    "a length with the sign bit alone": (
        b"\x82\x7f" + b"\xff" * 8,
        {"trio-websocket": "non-zero MSB", "websockets": "a length has more than 63 bits"},
    ),
    "HTTP again": (b"HTTP/1.1 200 OK\r\n\r\n", {"trio-websocket": "", "websockets": "a reserved bit is set"}),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("then", ["stays", "goes on", "goes"])
async def test_breaks_the_protocol(network: Network, name: str, then: str) -> None:
    wrong, why = BROKEN[name]

    async def script(peer: Peer) -> None:
        await peer.accept(wrong)
        if then == "stays":
            await peer.gone()
        elif then == "goes on":
            await peer.flood(peer.text("still here") * 100)

    raised = await lost(network, script)
    assert raised.code is None, "the peer sent none"
    assert raised.reason.startswith("the peer violated the WebSocket protocol")
    assert why[network.transport].lower() in raised.reason.lower()


@pytest.mark.parametrize("then", ["stays", "goes on", "goes"])
@pytest.mark.parametrize("parts", [1, 3])
async def test_sends_a_message_that_is_too_long(network: Network, then: str, parts: int) -> None:
    long = b"x" * (network.limits.max_frame_bytes + 1)

    async def script(peer: Peer) -> None:
        if parts == 1:
            await peer.accept(peer.frame(TEXT, long))
        else:
            third = len(long) // 3 + 1
            await peer.accept(peer.frame(TEXT, long[:third], fin=False))
            await peer.send(peer.frame(0, long[:third], fin=False) + peer.frame(0, long[:third]))
        if then == "stays":
            await peer.gone()
        elif then == "goes on":
            await peer.flood(peer.text("still here") * 100)

    raised = await lost(network, script)
    assert raised.code is None, "the peer sent none"
    assert raised.reason == "the peer sent a message of more than 10000 bytes"


async def test_fragments_that_kill_the_librarys_reader(network: Network) -> None:
    """Each fragment alone is too long, and they come in one piece: trio-websocket wants to close twice, and fails."""
    said = {
        "trio-websocket": r"the WebSocket reader failed: .*CloseConnection",
        "websockets": "the peer sent a message of more than 10 bytes",
    }[network.transport]
    limits = attrs.evolve(network.limits, max_frame_bytes=10)

    async def script(peer: Peer) -> None:
        await peer.accept(b"".join(peer.frame(opcode, b"x" * 11, fin=False) for opcode in (TEXT, 0, 0)))
        await peer.gone()

    async def body(transport: Transport) -> None:
        with pytest.raises(ConnectionLost):
            await transport.receive()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=said):
                await transport.receive()
            with pytest.raises(ConnectionLost, match=said):
                await transport.send("x")
        assert re.search(said, repr(transport))

    visit = await network.visit(script, body, limits=limits)
    assert visit.leaving < limits.close_timeout, "no reader is left for a close handshake"


async def test_a_message_of_exactly_the_limit_in_fragments_with_pings_between(network: Network) -> None:
    limit = network.limits.max_frame_bytes

    async def script(peer: Peer) -> None:
        ping = peer.frame(PING, b"now")
        await peer.accept(
            peer.frame(TEXT, b"x" * (limit - 1), fin=False)
            + ping
            + peer.frame(0, fin=False)
            + ping
            + peer.frame(0, b"y")
        )
        assert [await peer.next_frame() for _ in range(2)] == [(PONG, b"now")] * 2
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await transport.receive() == ["x" * (limit - 1) + "y"]

    await network.visit(script, body)


async def test_binary_messages_are_handed_on(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.frame(BINARY, b"\x00\xff"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await transport.receive() == [b"\x00\xff"]

    await network.visit(script, body)


# -- peers that will not let go ---------------------------------------------------------------------------------------


async def test_answers_our_close(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.send(peer.close(1000))
        await peer.gone()

    visit = await network.visit(script)
    assert visit.leaving < network.limits.close_timeout


async def test_ignores_our_close(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.gone()

    visit = await network.visit(script)
    assert visit.leaving >= network.limits.close_timeout * 0.9


async def test_pings_after_our_close(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.send(peer.frame(PING, b"?"))
        await peer.gone()

    visit = await network.visit(script)
    if network.transport == "trio-websocket":
        assert visit.leaving < network.limits.close_timeout, "its reader is gone, so there is nothing to wait for"


@pytest.mark.parametrize("unread", [0, 20])
async def test_floods_us_after_our_close(network: Network, unread: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.text(*["unread"] * unread))
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.flood(peer.text("more") * 100)

    async def body(transport: Transport) -> None:
        await trio.testing.wait_all_tasks_blocked()

    await network.visit(script, body)


LONG = "x" * 100_000


async def cancel_a_send(transport: Transport) -> int:
    """To a peer that does not read: send until a send waits, and cancel it. Returns how many were sent before."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            await transport.send(LONG)
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        before = -1
        while before < sent:
            before = sent
            await trio.sleep(0.1)  # TCP may delay its acknowledgements by 0.04 s
        nursery.cancel_scope.cancel()
    return sent


async def test_stops_reading_and_we_leave(loopback: Network) -> None:
    """Not even our CLOSE can be written."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        await loopback.left.wait()

    async def body(transport: Transport) -> None:
        await cancel_a_send(transport)

    visit = await loopback.visit(script, body)
    assert visit.leaving < loopback.limits.close_timeout, "half a frame is on the wire: there is nothing to say"


async def test_stops_reading_and_our_send_is_cancelled(loopback: Network) -> None:
    sent = 0
    may_read = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("a", "b"))
        await may_read.wait()
        whole = 0
        try:
            while True:
                assert await peer.next_frame() == (TEXT, LONG.encode())
                whole += 1
        except EOFError:
            pass
        assert 0 < whole == sent, "and then nothing but the beginning of another one"

    async def body(transport: Transport) -> None:
        nonlocal sent
        assert (await transport.receive())[0] == "a"
        sent = await cancel_a_send(transport)
        may_read.set()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="a send was cancelled"):
                await transport.send("complete")
        with pytest.raises(ConnectionLost, match="a send was cancelled"):
            await transport.receive()

    await loopback.visit(script, body)


async def test_a_cancelled_send_wakes_who_receives(loopback: Network) -> None:
    woken = False

    async def script(peer: Peer) -> None:
        await peer.accept()
        await loopback.left.wait()

    async def receive(transport: Transport) -> None:
        nonlocal woken
        with pytest.raises(ConnectionLost, match="a send was cancelled"):
            await transport.receive()
        woken = True

    async def body(transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, transport)
            await cancel_a_send(transport)

    await loopback.visit(script, body)
    assert woken


async def test_nothing_reaches_the_stream_after_a_write_that_was_cancelled() -> None:
    """Not even from the library's reader, which may be the next in its queue of writers (of PONGs)."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    torn: list[str] = []
    guard = trio_websocket._GuardedStream(ours, parse_address("ws://exchange.test"), lambda: torn.append("told"))
    with trio.move_on_after(0.01):
        await guard.send_all(b"\x81half")
    assert torn == ["told"]
    with pytest.raises(trio.BrokenResourceError, match="an earlier write was cancelled"):
        await guard.send_all(b"\x8apong")
    with trio.move_on_after(0.01) as scope:
        await theirs.receive_some()
        await theirs.receive_some()
    assert scope.cancelled_caught
    await guard.aclose()


async def test_waiting_until_sending_might_not_block_is_the_streams_business() -> None:
    ours, _theirs = trio.testing.memory_stream_pair()
    guard = trio_websocket._GuardedStream(ours, parse_address("ws://exchange.test"), lambda: None)
    with trio.fail_after(1):
        await guard.wait_send_all_might_not_block()
    await guard.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await guard.wait_send_all_might_not_block()


# -- what must work all the same --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 9_000])
async def test_reading_ahead_is_bounded(memory: Network, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody receives: by the number of messages if they are short, else by their bytes."""
    monkeypatch.setattr(TRANSPORTS[memory.transport], "READ_AHEAD_BYTES", 100_000)
    limits = attrs.evolve(memory.limits, queue_frames=1000)
    texts = [f"{number:0{size}}" for number in range(15_000 if size == 10 else 300)]

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(peer.text(*texts))
        await peer.gone()

    async def body(transport: Transport) -> None:
        received: list[str | bytes] = []
        for _ in range(2):
            await trio.sleep(1)
            bound = frame_bytes * len(received) + min(1000 * frame_bytes, 100_000)
            assert memory.opened[0].bytes_read < bound + 2 * RECEIVE_BYTES
            received += await transport.receive()
        assert len(received) < len(texts)
        assert received + await memory.take(transport, len(texts) - len(received)) == texts

    frame_bytes = len(Peer.text(texts[0]))
    await memory.visit(script, body, limits=limits)


async def test_control_frames_do_not_wait_to_be_received(memory: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are answered or mean nothing: after any number of them, reading goes on as before."""
    monkeypatch.setattr(TRANSPORTS[memory.transport], "READ_AHEAD_BYTES", 10_000)

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("waits"))
        for number in range(300):
            await peer.send(peer.frame(PONG, bytes(100)))
            await peer.send(peer.frame(PING, b"%d" % number))
            assert await peer.next_frame() == (PONG, b"%d" % number)
            if number == 200:
                await peer.send(peer.frame(TEXT, b"in ", fin=False) + peer.frame(0, b"parts"))
        asked.set()
        await peer.gone()

    async def body(transport: Transport) -> None:
        await asked.wait()
        assert await memory.take(transport, 2) == ["waits", "in parts"]

    asked = trio.Event()
    await memory.visit(script, body)


async def test_pong_is_sent_while_messages_wait_to_be_received(network: Network) -> None:
    waiting = [str(n) for n in range(network.limits.queue_frames)]

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text(*waiting) + peer.frame(PING, b"still there?"))
        assert await peer.next_frame() == (PONG, b"still there?")
        ponged.set()
        await peer.gone()

    async def body(transport: Transport) -> None:
        await ponged.wait()
        assert await network.take(transport, len(waiting)) == waiting

    ponged = trio.Event()
    await network.visit(script, body)


async def ping(transport: Transport, done: trio.Event | None = None) -> None:
    assert isinstance(transport, Pings)
    await transport.ping()
    if done is not None:
        done.set()


async def receive_for_ever(transport: Transport) -> None:
    with pytest.raises(ConnectionLost):
        await until_lost(transport)


async def test_a_ping_is_over_when_its_pong_has_come(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        seen = set()
        for event in done:
            opcode, payload = await peer.next_frame()
            assert opcode == PING
            assert payload not in seen, "each is another one"
            seen.add(payload)
            await peer.send(peer.frame(PONG, b"another") + peer.text("a"))  # of its own accord: it means nothing
            await trio.sleep(0.01)
            assert not event.is_set()
            await peer.send(peer.frame(PONG, payload))
        await peer.gone()

    async def body(transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_lost, transport)
            for event in done:
                await ping(transport, event)
            nursery.cancel_scope.cancel()

    done = [trio.Event() for _ in range(3)]
    await network.visit(script, body)


async def test_a_ping_that_is_not_answered_harms_nothing(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert (await peer.next_frame())[0] == PING
        opcode, unanswered = await peer.next_frame()
        assert opcode == PING
        await peer.send(peer.text("I talk, and do not listen"))
        assert await peer.next_frame() == (TEXT, b"x")
        await peer.send(peer.frame(PONG, unanswered))  # too late
        await peer.gone()

    async def body(transport: Transport) -> None:
        for _ in range(2):
            with trio.move_on_after(0.02) as scope:
                await ping(transport)
            assert scope.cancelled_caught
        assert await network.take(transport, 1) == ["I talk, and do not listen"]
        await transport.send("x")

    await network.visit(script, body)


async def test_a_ping_amid_what_is_sent(network: Network) -> None:
    count = 100

    async def script(peer: Peer) -> None:
        await peer.accept()
        texts: list[int] = []
        while len(texts) < count:
            opcode, payload = await peer.next_frame()
            if opcode == PING:
                await peer.send(peer.frame(PONG, payload))
            else:
                texts.append(int(payload))
        assert texts == list(range(count))
        await peer.gone()

    async def ping_on(transport: Transport) -> None:
        while True:
            await ping(transport)

    async def body(transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_for_ever, transport)
            nursery.start_soon(ping_on, transport)
            for n in range(count):
                await transport.send(str(n))
            nursery.cancel_scope.cancel()

    await network.visit(script, body)


async def test_a_connection_that_is_lost_cannot_be_asked(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.close(1001, "bye"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        with pytest.raises(ConnectionLost, match="bye"):
            await until_lost(transport)
        with pytest.raises(ConnectionLost, match="bye"):
            await ping(transport)

    await network.visit(script, body)


async def test_both_directions_at_once(network: Network) -> None:
    count = 200

    async def script(peer: Peer) -> None:
        await peer.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, peer.text(*map(str, range(count))))
            assert [await peer.next_frame() for _ in range(count)] == [(TEXT, str(n).encode()) for n in range(count)]
        await peer.gone()

    async def send(transport: Transport) -> None:
        for n in range(count):
            await transport.send(str(n))

    async def body(transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, transport)
            received: list[str | bytes] = []
            while len(received) < count:
                received += await transport.receive()
            assert received == [str(n) for n in range(count)]

    await network.visit(script, body)


async def test_cancelled_receives_lose_nothing(network: Network) -> None:
    count = 500

    async def script(peer: Peer) -> None:
        await peer.accept()
        for n in range(count):
            await peer.send(peer.text(str(n)))
            if not n % 7:
                await trio.sleep(0.0005)
        await peer.gone()

    async def body(transport: Transport) -> None:
        received: list[str | bytes] = []
        cancelled = 0
        dice = random.Random(1)
        while len(received) < count:
            with trio.move_on_after(dice.choice([0.0, 0.0001, 0.001])) as scope:
                while len(received) < count:
                    received += await transport.receive()
            cancelled += scope.cancelled_caught
        assert received == [str(n) for n in range(count)]
        assert cancelled

    await network.visit(script, body)


async def test_after_its_block_a_transport_is_lost(network: Network) -> None:
    kept: Transport | None = None

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("unread"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        nonlocal kept
        kept = transport
        assert "exchange.test:80" in repr(transport)

    await network.visit(script, body)
    assert kept is not None
    with pytest.raises(ConnectionLost, match="its block has been left"):
        await kept.receive()
    with pytest.raises(ConnectionLost, match="its block has been left"):
        await kept.send("x")


# -- what comes out of the block --------------------------------------------------------------------------------------


async def polite(peer: Peer) -> None:
    await peer.accept()
    try:
        opcode, payload = await peer.next_frame()
        await peer.send(peer.frame(opcode, payload))
    except (EOFError, trio.BrokenResourceError):
        pass
    await peer.gone()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        ConnectionLost("mine"),
        KeyboardInterrupt(),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_the_body_raises_comes_out_unchanged(
    network: Network, error: BaseException, cancelled: bool
) -> None:
    async def body(transport: Transport) -> None:
        if cancelled:
            scope.cancel()
        raise error

    scope = trio.CancelScope()
    cause = LookupError()
    error.__context__ = cause
    with pytest.raises(type(error)) as info:
        await network.visit(polite, body, scope=scope)
    assert info.value is error
    assert info.value.__context__ is cause


async def test_a_group_that_the_body_raises_comes_out_with_what_it_holds(network: Network) -> None:
    async def body(transport: Transport) -> None:
        raise ExceptionGroup("mine", held)

    inner = KeyError(2)
    held = [ValueError(1), ExceptionGroup("inner", [inner])]
    with pytest.raises(ExceptionGroup, match="mine") as info:
        await network.visit(polite, body)
    first, second = info.value.exceptions
    assert first is held[0]
    assert isinstance(second, ExceptionGroup)
    assert second.exceptions == (inner,)


async def test_cancelled_from_outside(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8"), "the close handshake takes place all the same"
        await trio.sleep(network.limits.close_timeout / 4)
        await peer.send(peer.close(1000))
        await peer.gone()

    async def body(transport: Transport) -> None:
        scope.cancel()
        await transport.receive()

    scope = trio.CancelScope()
    visit = await network.visit(script, body, scope=scope)
    assert scope.cancelled_caught
    assert network.limits.close_timeout / 5 < visit.leaving < network.limits.close_timeout, (
        "and its answer is waited for"
    )


async def test_cancelled_from_outside_with_a_peer_that_ignores_our_close(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.gone()

    async def body(transport: Transport) -> None:
        scope.cancel()
        await transport.receive()

    scope = trio.CancelScope()
    await network.visit(script, body, scope=scope)
    assert scope.cancelled_caught


async def test_an_error_while_the_connection_is_lost_is_the_bodys(network: Network) -> None:
    async def body(transport: Transport) -> None:
        with pytest.raises(ConnectionLost):
            await transport.receive()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await network.visit(lambda peer: peer.accept(), body)


async def test_a_second_interrupt_in_the_close_handshake_leaves_nothing_open(
    memory: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.text(*["unread"] * 100))  # more than fit: the library's reader waits for us
        await peer.gone()

    async def interrupted(data: bytes) -> None:
        raise KeyboardInterrupt

    async def body(transport: Transport) -> None:
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(memory.opened[0], "send_all", interrupted)
        raise ValueError("mine")

    with pytest.raises(KeyboardInterrupt) as info:
        await memory.visit(script, body)
    assert isinstance(info.value.__context__, ValueError)


async def test_a_stream_that_fails_to_close_does_not_hide_the_bodys_error(
    memory: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(transport: Transport) -> None:
        really = memory.opened[0].aclose

        async def aclose() -> None:
            try:
                await really()
            finally:
                raise OSError("cannot close")

        monkeypatch.setattr(memory.opened[0], "aclose", aclose)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await memory.visit(polite, body)


async def test_a_stream_whose_closing_wakes_nobody_leaves_no_reader(
    memory: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await trio.sleep(1)  # does not end the stream either

    async def aclose() -> None:
        memory.opened[0].closed = True
        await trio.lowlevel.checkpoint()

    async def body(transport: Transport) -> None:
        monkeypatch.setattr(memory.opened[0], "aclose", aclose)

    visit = await memory.visit(script, body)
    assert visit.leaving < 2 * memory.limits.close_timeout
