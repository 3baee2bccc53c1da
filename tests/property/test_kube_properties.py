"""Properties of the pure parts of the door to the API server."""

from __future__ import annotations

import contextlib
import email.utils
from urllib.parse import unquote

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from common.kube.deep import DEPTH_LIMIT, decode, pruned
from common.kube.envelopes import Status
from common.kube.errors import Call, api_error, decode_status
from common.kube.paths import object_path
from common.kube.retry_after import CAP_S, parse_retry_after
from common.model.errors import SluiceError


class TestErrors:
    """`api_error` is total."""

    @given(st.integers(300, 699), st.text(max_size=2000), st.text(max_size=20))
    def test_any_answer_becomes_an_error_of_bounded_length(
        self, code: int, message: str, reason: str
    ) -> None:
        """No answer, however strange, may end a thread or flood a log."""
        error = api_error(
            Call(verb="GET", path="/x"), code, Status(message=message, reason=reason[:20])
        )
        assert isinstance(error, SluiceError)
        assert error.code == code
        assert len(str(error)) <= 256 + len("GET /x: 000 ")

    @given(st.binary(max_size=4096))
    def test_any_body_becomes_a_status(self, body: bytes) -> None:
        """Bodies of failures come from proxies too."""
        assert len(decode_status(body).message) <= 4096


class TestRetryAfter:
    """`parse_retry_after` is total and bounded."""

    @given(st.text(max_size=40), st.floats(0, 4e9))
    def test_any_header_gives_nothing_or_a_bounded_wait(self, header: str, now: float) -> None:
        """A proxy with a broken clock must not send us to sleep for a day."""
        wait_s = parse_retry_after(header, now=now)
        assert wait_s is None or 0 <= wait_s <= CAP_S

    @given(st.integers(0, 4_000_000_000), st.integers(-10_000, 10_000))
    def test_a_date_is_the_time_until_then(self, now: int, ahead_s: int) -> None:
        """HTTP allows both forms."""
        header = email.utils.formatdate(max(0, now + ahead_s), usegmt=True)
        expected = min(max(max(0, now + ahead_s) - now, 0), CAP_S)
        assert parse_retry_after(header, now=float(now)) == expected


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\\\[]{}é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{", max_size=3), inner),
    max_leaves=20,
)


def nested(value: object, depth: int) -> object:
    """Return the value inside so many arrays and objects."""
    for level in range(depth):
        value = [value, level] if level % 2 else {"k": value, "l": level}
    return value


def cut(value: object, depth: int = 1) -> object:
    """Return what is left of a value: the specification, on values instead of bytes."""
    if not isinstance(value, list | dict):
        return value
    if depth > DEPTH_LIMIT:
        return None
    if isinstance(value, list):
        return [cut(each, depth + 1) for each in value]
    return {key: cut(each, depth + 1) for key, each in value.items()}


class TestDepth:
    """`pruned` cuts what is too deep, and nothing else."""

    @given(JSON_VALUES, st.integers(0, 2 * DEPTH_LIMIT), st.booleans())
    def test_what_is_left_is_what_was_not_too_deep(
        self,
        value: object,
        depth: int,
        spaced: bool,  # noqa: FBT001 - hypothesis passes it
    ) -> None:
        """Brackets and quotes in strings are none."""
        whole = nested(value, depth)
        text = orjson.dumps(whole, option=orjson.OPT_INDENT_2 if spaced else 0)
        assert orjson.loads(pruned(text)) == cut(whole)

    @given(st.text('ab"\\\\[]{}:,1', max_size=200), st.integers(0, 3000))
    def test_no_text_ends_a_thread(self, text: str, depth: int) -> None:
        """What is no JSON is refused as such."""
        data = b"[" * depth + text.encode()
        decoder = msgspec.json.Decoder(list[msgspec.Raw])
        with contextlib.suppress(msgspec.DecodeError):
            decode(decoder, data)


class TestPaths:
    """`object_path` keeps names apart."""

    @given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
    def test_no_name_can_leave_its_place_in_the_path(self, namespace: str, name: str) -> None:
        """A name with a slash or a question mark must not reach another object."""
        parts = object_path("/api/v1", "pods", namespace=namespace, name=name).split("/")
        assert [unquote(part) for part in parts[4:]] == [namespace, "pods", name]
        assert len(parts) == 7
