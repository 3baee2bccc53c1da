"""Properties of the pure parts of the door to the API server."""

from __future__ import annotations

import email.utils
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from common.kube.errors import Call, api_error, decode_status
from common.kube.paths import object_path
from common.kube.retry_after import CAP_S, parse_retry_after
from common.kube.wire import Status
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


class TestPaths:
    """`object_path` keeps names apart."""

    @given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
    def test_no_name_can_leave_its_place_in_the_path(self, namespace: str, name: str) -> None:
        """A name with a slash or a question mark must not reach another object."""
        parts = object_path("/api/v1", "pods", namespace=namespace, name=name).split("/")
        assert [unquote(part) for part in parts[4:]] == [namespace, "pods", name]
        assert len(parts) == 7
