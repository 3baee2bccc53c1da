"""The forwarder joins two networks: what goes in comes out, ends are passed on, errors too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from sandbox.node_forward import serve

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_WITHIN_S = 10.0


async def _echo_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer when the client has said everything."""
    writer.write(b"heard: " + await reader.read())
    writer.close()
    await writer.wait_closed()


@contextlib.asynccontextmanager
async def _forwarded(talk: Talk) -> AsyncIterator[int]:
    """Give a port that is forwarded to a server that does `talk`."""
    far = await asyncio.start_server(talk, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    forwarder = asyncio.create_task(serve(listener, far.sockets[0].getsockname()[1]))
    try:
        yield port
    finally:
        forwarder.cancel()
        await asyncio.gather(forwarder, return_exceptions=True)
        far.close()
        await far.wait_closed()


async def _say(port: int, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), _WITHIN_S)
    writer.close()
    await writer.wait_closed()
    return answer


def test_the_end_of_one_side_reaches_the_other_while_its_answer_still_comes() -> None:
    """A client that sends everything and then listens must get its answer."""

    async def case() -> bytes:
        async with _forwarded(_echo_at_the_end) as port:
            return await _say(port, b"hello")

    assert asyncio.run(case()) == b"heard: hello"


def test_many_connections_stay_apart() -> None:
    """Every client of the API server comes through one forwarder."""

    async def case() -> list[bytes]:
        async with _forwarded(_echo_at_the_end) as port:
            return await asyncio.gather(*(_say(port, f"{n}".encode()) for n in range(20)))

    assert asyncio.run(case()) == [f"heard: {n}".encode() for n in range(20)]


def test_more_than_any_buffer_holds_passes_whole() -> None:
    """An image layer is 60 MB."""
    size = 5_000_000

    async def case() -> bytes:
        async with _forwarded(_echo_at_the_end) as port:
            return await _say(port, b"x" * size)

    assert len(asyncio.run(case())) == size + len(b"heard: ")


def test_a_server_that_hangs_up_is_seen_by_the_client() -> None:
    """A watch of a killed API server must break, not sleep."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async def case() -> bytes:
        async with _forwarded(hang_up) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = await asyncio.wait_for(reader.read(), _WITHIN_S)
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(case()) == b""


def test_nobody_at_the_far_end_closes_the_connection() -> None:
    """Before the API server listens, clients must see a failure and try again."""

    async def case() -> bytes:
        listener = socket.create_server(("127.0.0.1", 0))
        with socket.create_server(("127.0.0.1", 0)) as other:
            nobody = other.getsockname()[1]
        forwarder = asyncio.create_task(serve(listener, nobody))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        answer = await asyncio.wait_for(reader.read(), _WITHIN_S)
        writer.close()
        await writer.wait_closed()
        forwarder.cancel()
        await asyncio.gather(forwarder, return_exceptions=True)
        return answer

    assert asyncio.run(case()) == b""
