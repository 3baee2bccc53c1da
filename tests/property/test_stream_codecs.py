"""What both encodings promise for every object, every cutting and every sequence of changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kube.protobuf.schema import MESSAGES, TEXT_MAP, Field
from tests.codecs import SPEAKERS, Json, Protobuf, Speaker
from tests.fakes.kube_protobuf import framed
from tests.folding import empty, whole_state
from tests.property.test_fold_properties import changes
from watcher.stream.catalog import BY_RESOURCE, ROWS, Row
from watcher.stream.change import Change
from watcher.stream.decode import GarbledError
from watcher.stream.frames import FRAME_LIMIT_BYTES, FrameSplitter, FrameTooLongError
from watcher.stream.signals import Added, At

AT = At(0.0, 0.0)
JSON, PROTOBUF = Json(), Protobuf()
PODS = BY_RESOURCE["pods"]


# --- Objects as Go writes them: what is empty is left out -----------------------------------------


def _moment(value: datetime) -> str:
    return f"{value.isoformat(timespec='seconds')}Z"


# One to four bytes long in UTF-8, and what JSON escapes; few, so that drawing an object is quick.
_TEXT = st.text('a/\x00"\\<é\u2028\U0001f600', max_size=4)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "Time": st.datetimes().map(_moment),
    TEXT_MAP: st.dictionaries(_TEXT, _TEXT, min_size=1, max_size=3),
}


def _values(field: Field) -> st.SearchStrategy[Any]:
    one = _SCALARS.get(field.type)
    if one is None:
        one = objects(field.type)
    return st.lists(one, min_size=1, max_size=2) if field.repeated else one


def objects(message: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw an object with any of the fields that we read, as JSON has them."""
    if message == "EphemeralContainer":  # its first field stands in the middle of it in JSON
        return objects("EphemeralContainerCommon")
    fields = MESSAGES[message].items()
    return st.fixed_dictionaries({}, optional={name: _values(field) for name, field in fields})


_ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    row.message: objects(row.message) for row in ROWS
}
# One row of each message: the report kinds differ in their names alone.
_DISTINCT = list({row.message: row for row in ROWS}.values())


class TestObjects:
    """Who reads them cannot tell which encoding brought them."""

    @pytest.mark.parametrize("row", _DISTINCT, ids=lambda row: row.message)
    @given(data=st.data())
    def test_any_object_is_the_same_struct_in_both_encodings(
        self, row: Row, data: st.DataObject
    ) -> None:
        """In an event and in a page: so no fold, row or fingerprint can differ."""
        found = data.draw(_ROWS[row.message])
        read: list[object] = []
        for speaker in SPEAKERS:
            decoder = speaker.decoder(row)
            signal = decoder.event(speaker.event("ADDED", row, found), AT)
            page = decoder.page(speaker.page(row, {"resourceVersion": "1"}, found), AT)
            assert isinstance(signal, Added)
            assert page.items == (signal.item,)
            read.append(signal.item)
        assert read[0] == read[1]


class TestDecoding:
    """`ProtobufDecoder` is total."""

    @given(st.binary(max_size=60))
    def test_any_bytes_are_an_event_or_garbled(self, data: bytes) -> None:
        """No bytes, whoever sent them, may end an informer's thread."""
        self.read(data)

    @given(st.sampled_from(("ADDED", "DELETED", "BOOKMARK", "ERROR", "X")), st.data())
    def test_a_true_event_with_false_bytes_in_it_is_an_event_or_garbled(
        self, kind: str, data: st.DataObject
    ) -> None:
        """Bits turn, proxies cut and repeat."""
        event = bytearray(PROTOBUF.event(kind, PODS, data.draw(_ROWS["Pod"])))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(event) - 1))
            event[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
            event = event or bytearray(b"x")
        self.read(bytes(event))

    def read(self, data: bytes) -> None:
        """Read it as either of the two things that come, of two kinds."""
        for row in (PODS, BY_RESOURCE["vulnerabilityreports"]):
            decoder = PROTOBUF.decoder(row)
            for reading in (decoder.event, decoder.page):
                with contextlib.suppress(GarbledError):
                    reading(data, AT)


class TestFrames:
    """`FrameSplitter` depends on the bytes alone, not on how they were cut."""

    @given(st.lists(st.binary(max_size=40), max_size=6), st.binary(max_size=3), st.data())
    def test_any_cutting_gives_the_same_frames(
        self, frames: list[bytes], rest: bytes, data: st.DataObject
    ) -> None:
        """Proxies, TLS records and kernels cut where they like, and in the length, too."""
        body = b"".join(map(framed, frames)) + rest
        splitter = FrameSplitter()
        cut = [frame for piece in pieces(body, data) for frame in splitter.feed(piece)]
        assert cut == frames
        assert splitter.unfinished_bytes == len(rest)

    @given(st.binary(min_size=1, max_size=60), st.data())
    def test_a_body_that_ends_early_loses_its_last_frame_alone(
        self, frame: bytes, data: st.DataObject
    ) -> None:
        """The torn one is noticed, those before it are whole."""
        body = framed(frame) + framed(frame)
        end = data.draw(st.integers(len(frame) + 5, len(body) - 1))
        splitter = FrameSplitter()
        cut = [each for piece in pieces(body[:end], data) for each in splitter.feed(piece)]
        assert cut == [frame]
        assert splitter.unfinished_bytes == end - len(frame) - 4

    @given(st.integers(FRAME_LIMIT_BYTES + 1, 2**32 - 1), st.binary(max_size=20))
    def test_a_length_that_no_object_has_ends_the_stream_at_once(
        self, size: int, before: bytes
    ) -> None:
        """Not after 4 GB were kept to see whether it is true; JSON begins with 2 billion."""
        splitter = FrameSplitter()
        assert list(splitter.feed(framed(before))) == [before]
        with pytest.raises(FrameTooLongError):
            splitter.feed(size.to_bytes(4, "big"))
        with pytest.raises(FrameTooLongError):
            FrameSplitter().feed(b'{"type":"ADDED"')

    def test_the_largest_frame_passes(self) -> None:
        """The limit is the last length that is one."""
        frame = bytes(FRAME_LIMIT_BYTES)
        assert list(FrameSplitter().feed(framed(frame))) == [frame]


def pieces(body: bytes, data: st.DataObject) -> Iterable[bytes]:
    """Cut a body at random."""
    while body:
        size = data.draw(st.integers(1, len(body)))
        yield body[:size]
        body = body[size:]


class TestFolds:
    """A fall-back to another encoding re-runs nothing."""

    @given(changes)
    def test_any_sequence_of_changes_folds_to_the_same_state(self, sequence: list[Change]) -> None:
        """Facts, rows, fingerprints and what was told of them, to the last field."""
        states = []
        for speaker in SPEAKERS:
            cluster = empty()
            told = [cluster.apply([_said_in(speaker, change)]) for change in sequence]
            states.append((told, whole_state(cluster)))
        assert states[0] == states[1]

    @given(changes, st.data())
    def test_a_change_of_encoding_in_mid_stream_tells_nothing(
        self, sequence: list[Change], data: st.DataObject
    ) -> None:
        """406 on a Tuesday, protobuf again after the upgrade."""
        cluster, same = empty(), empty()
        for change in sequence:
            speaker = data.draw(st.sampled_from(SPEAKERS))
            assert cluster.apply([_said_in(speaker, change)]) == same.apply([change])
        assert whole_state(cluster) == whole_state(same)


def _said_in(speaker: Speaker, change: Change) -> Change:
    """Return the change as it comes out of an encoding."""
    if change.object is None:
        return change
    row = BY_RESOURCE[change.resource]
    found = msgspec.to_builtins(change.object, builtin_types=())
    decoder = speaker.decoder(row)
    signal = decoder.event(speaker.event("ADDED", row, _without_nulls(found)), AT)
    assert isinstance(signal, Added)
    return msgspec.structs.replace(change, object=signal.item.object)


def _without_nulls(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _without_nulls(value) for key, value in found.items() if value is not None}
    return [_without_nulls(each) for each in found] if isinstance(found, list | tuple) else found
