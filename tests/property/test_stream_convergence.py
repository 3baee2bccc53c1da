"""Whatever happens on the way, the machine ends up with what the server has.

A small server in memory (writes, watches from a version, compaction, initial events, pages) answers
the machine's requests; faults cut, refuse, tear and silence the answers at random places; then the
server is healthy and the folds' view must be the server's.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from common.kube.wire import Pod
from watcher.stream.change import Change, Op
from watcher.stream.decode import Decoder, GarbledError
from watcher.stream.lines import LineSplitter
from watcher.stream.phases import State, Watching, initial
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
    Refused,
    Signal,
    Silent,
    Started,
    Wait,
)

NAMES = ("a", "b", "c", "d")
PAGE = 2
DECODER = Decoder(Pod)

Write: TypeAlias = tuple[str, str]  # verb, name


@dataclass
class Server:
    """An API server's view of one resource."""

    initial_events: bool = True
    version: int = 100
    oldest: int = 0
    objects: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> (uid, version)
    history: list[tuple[int, str, str, str]] = field(default_factory=list)

    def write(self, verb: str, name: str) -> None:
        """Create, change, delete, or make again with another uid."""
        if verb == "compact":
            self.oldest = self.version
            self.history.clear()
            return
        if verb in ("delete", "remake") and name in self.objects:
            uid, _ = self.objects.pop(name)
            self._note("DELETED", name, uid)
        if verb in ("put", "remake"):
            uid = self.objects[name][0] if name in self.objects else f"{name}@{self.version}"
            self._note("MODIFIED", name, uid)
            self.objects[name] = (uid, self.version)

    def _note(self, event: str, name: str, uid: str) -> None:
        self.version += 1
        self.history.append((self.version, event, name, uid))

    def lines(self, since: int | None) -> list[bytes]:
        """Return what a watch would send, as far as the server knows now."""
        if since is not None:
            return [
                line(event, name, uid, version)
                for version, event, name, uid in self.history
                if version > since
            ]
        existing = sorted(self.objects.items())
        return [
            *(line("ADDED", name, uid, version) for name, (uid, version) in existing),
            line(
                "BOOKMARK", "", "", self.version, annotations={"k8s.io/initial-events-end": "true"}
            ),
        ]


def line(event: str, name: str, uid: str, version: int, **extra: object) -> bytes:
    """Return one event as bytes."""
    meta = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version), **extra}
    return orjson.dumps({"type": event, "object": {"metadata": meta}}) + b"\n"


@dataclass(frozen=True)
class Fault:
    """What happens to one answer."""

    kind: str  # none, refuse, error, tear, end, silence, break
    after: int  # lines that come through
    code: int


class World:
    """The machine, a server, and the wire between them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.state: State = initial("pods", offers=3)
        self.now = 1000.0
        self.view: dict[str, str] = {}  # key -> uid, as folds see it
        self.synced = False
        self.action: Action | None = self._feed(Started(at=self._at))

    @property
    def _at(self) -> At:
        return At(self.now, 0.0)

    def _feed(self, signal: Signal) -> Action | None:
        self.state, outputs = advance(self.state, signal)
        action = None
        for output in outputs:
            match output:
                case Change():
                    self._fold(output)
                case Wait() | OpenWatch() | OpenList():
                    action = output
                case Note():
                    pass
        return action

    def _fold(self, change: Change) -> None:
        match change.op:
            case Op.UPSERT:
                self.view[change.key] = change.uid
            case Op.DELETE:
                self.view.pop(change.key, None)
            case Op.SYNCED | Op.RELISTED:
                assert (change.op is Op.RELISTED) == self.synced
                assert change.seen is not None
                self.view = {key: uid for key, uid in self.view.items() if key in change.seen}
                self.synced = True
            case Op.UNDECODABLE:
                raise AssertionError(change)

    def step(self, fault: Fault) -> None:
        """Do what the machine asked for, as well as the fault lets."""
        action = self.action
        match action:
            case Wait():
                self.now += action.seconds
                self.action = self._feed(Due(at=self._at))
            case OpenWatch():
                self.action = self._watch(action, fault)
            case OpenList():
                self.action = self._list(action, fault)
            case None:
                raise AssertionError("nothing to do: the informer would end here")

    def _watch(self, action: OpenWatch, fault: Fault) -> Action | None:
        since = None if action.resource_version is None else int(action.resource_version)
        if fault.kind == "refuse":
            return self._refuse(fault.code)
        if fault.kind == "break":
            return self._feed(Broken(reason="x", at=self._at))
        if since is None and not self.server.initial_events:
            return self._refuse(422)
        self._feed(Opened(at=self._at))
        if since is not None and since < self.server.oldest:
            return self._refuse(410)
        lines = self.server.lines(since)
        whole = fault.kind == "none"
        body = b"".join(lines if whole else lines[: fault.after])
        if fault.kind == "tear" and len(lines) > fault.after:
            body += lines[fault.after][:-2]
        return self._read(body, fault)

    def _read(self, body: bytes, fault: Fault) -> Action | None:
        splitter = LineSplitter()
        for start in range(0, len(body), 97):
            for text in splitter.feed(body[start : start + 97]):
                action = self._feed(DECODER.event(text, self._at))
                if action is not None:
                    return action
        self.now += 5.0
        if splitter.unfinished_bytes:
            return self._feed(Broken(reason="TornLine", at=self._at))
        match fault.kind:
            case "error":
                return self._refuse(fault.code)
            case "silence":
                return self._feed(Silent(at=self._at))
            case _:
                return self._feed(Ended(at=self._at))

    def _list(self, action: OpenList, fault: Fault) -> Action | None:
        if fault.kind == "refuse":
            return self._refuse(fault.code)
        if fault.kind != "none":
            return self._feed(Broken(reason="x", at=self._at))
        # The cursor is the version and the place: pages of another version are expired.
        version, place = map(int, (action.cursor or f"{self.server.version}/0").split("/"))
        if version != self.server.version:
            return self._refuse(410)
        names = sorted(self.server.objects)
        stop = place + PAGE if action.limit else len(names)
        meta = {"resourceVersion": str(version)}
        if stop < len(names):
            meta["continue"] = f"{version}/{stop}"
        items = [
            orjson.loads(line("", name, *self.server.objects[name]))["object"]
            for name in names[place:stop]
        ]
        body = orjson.dumps({"metadata": meta, "items": items})
        return self._feed(DECODER.page(body, self._at))

    def _refuse(self, code: int) -> Action | None:
        return self._feed(Refused(code=code, reason="x", at=self._at))

    def settle(self) -> None:
        """Let the server be healthy until the machine is in step."""
        healthy = Fault(kind="none", after=0, code=0)
        for _ in range(30):
            before = self.now
            self.step(healthy)
            phase = self.state.phase
            if isinstance(phase, Watching) and int(phase.resource_version) >= self.server.version:
                return
            assert self.now <= before + 300
        raise AssertionError(f"not in step: {self.state.phase}")


writes = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "delete", "remake", "compact")),
        st.sampled_from(NAMES),
    ),
    max_size=6,
)
faults = st.builds(
    Fault,
    kind=st.sampled_from(("none", "none", "refuse", "error", "tear", "end", "silence", "break")),
    after=st.integers(0, 5),
    code=st.sampled_from((400, 401, 403, 406, 410, 410, 415, 422, 429, 500, 503, 504)),
)
schedules = st.lists(st.tuples(writes, faults), max_size=12)


class TestConvergence:
    """The first sentence of this module."""

    @given(writes, schedules, st.booleans())
    def test_any_schedule_of_writes_and_faults_ends_with_the_servers_objects(
        self,
        before: list[Write],
        schedule: list[tuple[list[Write], Fault]],
        initial_events: bool,  # noqa: FBT001 - hypothesis passes it
    ) -> None:
        """Missed deletes, replays, new uids, torn lines: the folds never see a lie that lasts."""
        server = Server(initial_events=initial_events)
        for write in before:
            server.write(*write)
        world = World(server)
        for writing, fault in schedule:
            for write in writing:
                server.write(*write)
            world.step(fault)
        world.settle()
        assert world.view == {f"n/{name}": uid for name, (uid, _) in server.objects.items()}
        assert world.synced

    @given(writes, schedules, writes, st.integers(0, 4))
    def test_a_server_that_was_restored_to_an_older_state_is_read_again(
        self,
        before: list[Write],
        schedule: list[tuple[list[Write], Fault]],
        after: list[Write],
        down: int,
    ) -> None:
        """A restored etcd counts from before, and nobody says 410 to a version that is to come."""
        server = Server()
        for write in before:
            server.write(*write)
        old = copy.deepcopy(server)
        world = World(server)
        for writing, fault in schedule:
            for write in writing:
                server.write(*write)
            world.step(fault)
        world.server = old
        reached = int(getattr(world.state.phase, "resource_version", None) or 0)  # 0: it reads all
        for _ in range(1 + down):  # every connection broke
            world.step(Fault(kind="break", after=0, code=0))
        for write in after:
            old.write(*write)
        for _ in range(20):
            world.step(Fault(kind="none", after=0, code=0))
        if old.version < reached or not reached:  # else no number tells it from the one before
            assert world.view == {f"n/{name}": uid for name, (uid, _) in old.objects.items()}

    @given(schedules)
    def test_every_answer_leads_to_a_request_or_a_bounded_wait(
        self, schedule: list[tuple[list[Write], Fault]]
    ) -> None:
        """No fault may leave the machine with nothing to do: that would be a silent death."""
        server = Server()
        world = World(server)
        for writing, fault in schedule:
            for write in writing:
                server.write(*write)
            world.step(fault)
            assert world.action is not None
            if isinstance(world.action, Wait):
                assert 0 <= world.action.seconds <= 120


ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "type",
                    "object",
                    "metadata",
                    "name",
                    "namespace",
                    "labels",
                    "spec",
                    "status",
                    "items",
                )
            ),
            inner,
        )
    ),
    max_leaves=12,
)


class TestDecoding:
    """`Decoder` is total."""

    @given(st.binary(max_size=60) | ODD_VALUES.map(msgspec.json.encode))
    def test_any_line_is_an_event_or_garbled(self, text: bytes) -> None:
        """No bytes, whoever sent them, may end an informer's thread."""
        with contextlib.suppress(GarbledError):
            DECODER.event(text, At(0.0, 0.0))
        with contextlib.suppress(GarbledError):
            DECODER.page(text, At(0.0, 0.0))

    @given(st.sampled_from(("ADDED", "DELETED", "BOOKMARK", "ERROR", "X")), ODD_VALUES)
    def test_any_object_is_an_event(self, kind: str, value: object) -> None:
        """An envelope that holds makes an event, whatever it holds; only a Status is garbled."""
        try:
            DECODER.event(msgspec.json.encode({"type": kind, "object": value}), At(0.0, 0.0))
        except GarbledError:
            assert kind == "ERROR"


class TestLines:
    """`LineSplitter` depends on the bytes alone, not on how they were cut."""

    @given(st.binary(max_size=200).map(lambda data: data.replace(b"\x00", b"\n")), st.data())
    def test_any_cutting_gives_the_same_lines(self, body: bytes, data: st.DataObject) -> None:
        """Proxies, TLS records and kernels cut where they like."""
        splitter = LineSplitter()
        lines: list[bytes] = []
        rest = body
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            lines += [each.rstrip(b"\n") for each in splitter.feed(rest[:size])]
            rest = rest[size:]
        *expected, unfinished = body.split(b"\n")
        assert lines == expected
        assert splitter.unfinished_bytes == len(unfinished)
