"""Answers that are no JSON of ours: what reads them says so in one of its own errors."""

from __future__ import annotations

from typing import Any

import pytest

from common.kube.errors import decode_status
from common.kube.lease import Lease, LeasePlace
from common.kube.session import Reply
from common.model.errors import SourceUnavailableError

GARBLED = (
    *(b"", b"<html>", b"\xff", b'{"spec":{"holderIdentity":"\xff"},"message":"\xff"}'),
    b'{"metadata":{},"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
)


class _Api:
    """Gives one answer to everything."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def request(self, *_place: str, **_how: Any) -> Reply:
        return Reply(status=200, headers={}, body=self._body)


@pytest.mark.parametrize("body", GARBLED, ids=lambda body: repr(body[:16]))
def test_an_answer_that_is_no_lease_is_an_outage(body: bytes) -> None:
    """Any other error would end the candidate's thread, and with it the watcher."""
    lease = Lease(_Api(body), LeasePlace(namespace="ours", name="sluice"), request_s=1.0)
    with pytest.raises(SourceUnavailableError, match="no Lease"):
        lease.read()


@pytest.mark.parametrize("body", GARBLED, ids=lambda body: repr(body[:16]))
def test_a_status_that_cannot_be_read_is_shown_as_it_is(body: bytes) -> None:
    """It is read while another error is told of."""
    assert decode_status(body).code == 0
