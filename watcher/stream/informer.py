"""One thread per resource that does what the reflector's machine says.

Everything is decided in `reflector.advance`; here are the socket, clock, dice and queue. Changes go
into the caller's bounded queue; while it is full the stream is not read, and the server's own
limits apply. `stop` interrupts every wait, the queue's and the socket's too.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field

from common.kube.errors import ApiError, IdleStreamError
from common.kube.negotiate import Codec, Offer, codec_of, offers
from common.kube.protobuf.messages import IS_NATIVE
from common.kube.protobuf.read import has_schema
from common.model.errors import SluiceError, TransientError
from watcher.stream.ask import Scope, list_query, watch_query
from watcher.stream.catalog import Row
from watcher.stream.change import Change
from watcher.stream.codec import TOO_LONG, EventDecoder, decoder_for, splitter_for
from watcher.stream.decode import GarbledError
from watcher.stream.meter import Meter, NoMeter, Trouble
from watcher.stream.pace import Pace
from watcher.stream.phases import Listing, Syncing, Watching, initial
from watcher.stream.reflector import advance
from watcher.stream.signals import (
    Action,
    At,
    Broken,
    Due,
    Ended,
    Note,
    Opened,
    OpenList,
    OpenWatch,
    Output,
    Refused,
    Signal,
    Silent,
    Started,
    Wait,
)
from watcher.stream.source import Chunks, Source

# Two of the server's bookmarks, which come every minute, and half of one more.
IDLE_TIMEOUT_S = 150.0
# A page is read from etcd or the cache before the first byte comes; then it flows.
_LIST_IDLE_S = 60.0
_QUEUE_POLL_S = (
    0.2  # how late a stop may be noticed by a thread that waits for room, or for its turn
)
_EXPIRED = ("Expired", "Gone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """What informers share: where changes go, whose turn it is to read everything, who counts."""

    changes: queue.Queue[Change]
    turns: threading.Semaphore  # 2 permits: more first readings at once make all of them slow
    meter: Meter = field(default_factory=NoMeter)


class Informer:
    """Follows one resource in one scope, from `start` to `stop`."""

    def __init__(
        self,
        row: Row,
        scope: Scope,
        *,
        source: Source,
        outlet: Outlet,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        """Nothing happens before `start`. `idle_timeout_s` must pass two bookmark intervals."""
        self._row = row
        self._scope = scope
        self._source = source
        self._outlet = outlet
        self._idle_timeout_s = idle_timeout_s
        self._offers = offers(
            metadata_only=row.metadata_only, protobuf=IS_NATIVE and has_schema(row.message)
        )
        self._decoders: dict[Codec, EventDecoder] = {}
        inside = (scope.namespace or "") if row.namespaced else ""
        self._state = initial(row.resource, scope=inside, offers=len(self._offers))
        self._heard_at_s = time.monotonic()
        self._stop = threading.Event()
        self._stream: Chunks | None = None
        self._error: SluiceError | None = None  # of the last try; None: nobody said anything
        self._told = ""  # why the last try failed
        self._has_turn = False
        self._thread = threading.Thread(
            target=self._run, name=f"informer-{row.resource}", daemon=True
        )

    @property
    def resource(self) -> str:
        """The resource's plural name."""
        return self._row.resource

    @property
    def alive(self) -> bool:
        """Whether the thread runs; False after `start` and before `stop` means a defect."""
        return self._thread.is_alive()

    @property
    def synced(self) -> bool:
        """Whether everything that existed was said at least once."""
        return self._state.memory.synced

    @property
    def heard_at_s(self) -> float:
        """When the server said anything last (monotonic); before that, when this was made."""
        return self._heard_at_s

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def signal_stop(self) -> None:
        """Interrupt the thread without waiting for it."""
        self._stop.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the thread; True if it ended in time. One that opens a request may need 30 s."""
        self.signal_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- The thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            action = self._feed(Started(at=_at()))
            while action is not None and not self._stop.is_set():
                action = self._perform(action)
        finally:
            self._end_turn()

    def _perform(self, action: Action) -> Action | None:
        """Do what the machine asked for until it asks for something else; None: stopped."""
        with contextlib.closing(self._signals(action)) as signals:
            for signal in signals:
                following = self._feed(signal)
                if following is not None or self._stop.is_set():
                    return following
        return None

    def _feed(self, signal: Signal) -> Action | None:
        """Take one step; say what there is to say; return what to do next, if that changes."""
        self._state, outputs = advance(self._state, signal)
        action = self._deliver(outputs) if outputs else None
        if self._has_turn and not isinstance(self._state.phase, Syncing | Listing):
            self._end_turn()
        return action

    def _deliver(self, outputs: tuple[Output, ...]) -> Action | None:
        action: Action | None = None
        for output in outputs:
            match output:
                case Change():
                    self._put(output)
                case Note():
                    self._outlet.meter.noted(self.resource, output)
                case _:
                    action = output
        return action

    def _put(self, change: Change) -> None:
        while not self._stop.is_set():
            try:
                self._outlet.changes.put(change, timeout=_QUEUE_POLL_S)
            except queue.Full:
                continue
            return

    # --- Turns ----------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        while not self._has_turn and not self._stop.is_set():
            self._has_turn = self._outlet.turns.acquire(timeout=_QUEUE_POLL_S)

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._outlet.turns.release()

    # --- What happens outside -------------------------------------------------------------------

    def _signals(self, action: Action) -> Generator[Signal]:
        match action:
            case Wait():
                yield from self._wait(action)
            case OpenWatch() | OpenList():
                self._error = None
                try:
                    yield from self._read(action)
                except GarbledError:
                    yield Broken(reason="Garbled", at=_at(), unreadable=True)
                except TOO_LONG:
                    yield Broken(reason="EventTooLong", at=_at(), unreadable=True)
                except IdleStreamError:
                    yield Silent(at=_at())
                except ApiError as exc:
                    self._error = exc
                    yield _refused(exc)
                except SluiceError as exc:
                    self._error = exc
                    yield Broken(reason=exc.reason, at=_at())

    def _wait(self, wait: Wait) -> Generator[Signal]:
        if wait.failures:
            is_news = wait.failures == 1 or wait.reason != self._told
            self._told = wait.reason
            self._outlet.meter.failing(
                self.resource,
                Trouble(
                    reason=wait.reason,
                    error=self._error,
                    failures=wait.failures,
                    wait_s=wait.seconds,
                    is_news=is_news,
                ),
            )
        if not self._stop.wait(wait.seconds):
            yield Due(at=_at())

    def _read(self, action: OpenWatch | OpenList) -> Generator[Signal]:
        """Open what was asked for and tell what comes; raises what the session raises."""
        offer = self._offers[action.offer]
        if isinstance(self._state.phase, Syncing | Listing):  # everything is read
            self._take_turn()
        if self._stop.is_set():
            return
        match action:
            case OpenWatch():
                yield from self._watch(action, offer)
            case OpenList():
                yield from self._list(action, offer)

    def _open(self, query: list[tuple[str, str]], accept: str, idle_timeout_s: float) -> Chunks:
        stream = self._source.stream(
            self._row.path(self._scope.namespace),
            query=[*self._scope.query, *query],
            accept=accept,
            idle_timeout_s=idle_timeout_s,
        )
        self._stream = stream
        if self._stop.is_set():  # stop() may have come before there was something to close
            stream.close()
        return stream

    def _watch(self, action: OpenWatch, offer: Offer) -> Generator[Signal]:
        pace = Pace()
        waited_s, size_bytes = 0.0, 0  # for and of the event that is being read
        with self._open(watch_query(action), offer.watch, self._idle_timeout_s) as stream:
            codec = codec_of(stream.content_type, asked=offer.codec)
            splitter, decoder = splitter_for(codec), self._decoder(codec)
            yield Opened(at=_at())
            asked_s = time.monotonic()
            for chunk in stream:
                heard_s = self._heard_at_s = time.monotonic()
                waited_s, size_bytes = waited_s + heard_s - asked_s, size_bytes + len(chunk)
                events = splitter.feed(chunk)
                if events:  # else in the middle of one: most frames come in two chunks
                    self._outlet.meter.received(
                        self.resource, events=len(events), size_bytes=size_bytes
                    )
                    at = _at()
                    for event in events:
                        if event and event != b"\n":
                            yield decoder.event(event, at)
                    rest_s = pace.after(size_bytes, waited_s=waited_s)
                    waited_s, size_bytes = 0.0, 0
                    if rest_s and isinstance(self._state.phase, Watching):
                        self._stop.wait(rest_s)
                asked_s = time.monotonic()
        if splitter.unfinished_bytes:
            yield Broken(reason=splitter.torn, at=_at())
        else:
            yield Ended(at=_at())

    def _list(self, action: OpenList, offer: Offer) -> Generator[Signal]:
        with self._open(list_query(action), offer.list, _LIST_IDLE_S) as stream:
            body = b"".join(stream)
        if self._stop.is_set():
            return
        codec = codec_of(stream.content_type, asked=offer.codec)
        page = self._decoder(codec).page(body, _at())
        self._heard_at_s = page.at.now
        self._outlet.meter.received(self.resource, events=len(page.items), size_bytes=len(body))
        yield page

    def _decoder(self, codec: Codec) -> EventDecoder:
        decoder = self._decoders.get(codec)
        if decoder is None:
            decoder = self._decoders[codec] = decoder_for(codec, self._row)
        return decoder


def _at() -> At:
    return At(time.monotonic(), random.random())  # noqa: S311 - spreads load, guards nothing


def _refused(error: ApiError) -> Refused:
    retry_after_s = error.retry_after_s if isinstance(error, TransientError) else None
    return Refused(code=error.code, reason=error.reason, at=_at(), retry_after_s=retry_after_s)
