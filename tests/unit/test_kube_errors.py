"""The meaning of the API server's answers."""

from __future__ import annotations

import pytest

from common.kube.envelopes import Status, StatusCause, StatusDetails
from common.kube.errors import (
    AlreadyExistsError,
    ApiError,
    Call,
    DeniedError,
    ExpiredError,
    InvalidError,
    NotAcceptableError,
    NotFoundError,
    OversizeError,
    ThrottledError,
    UnavailableError,
    VersionConflictError,
    api_error,
    decode_status,
)
from common.model.errors import (
    ConflictError,
    GoneError,
    RateLimitedError,
    SourceUnavailableError,
    TerminalError,
    TooLargeError,
    TransientError,
)

CALL = Call(verb="PUT", path="/api/v1/namespaces/shop/pods/web")


@pytest.mark.parametrize(
    ("code", "api_class", "domain_class"),
    [
        (400, InvalidError, TerminalError),
        (401, DeniedError, TransientError),
        (403, DeniedError, TransientError),
        (404, NotFoundError, GoneError),
        (405, InvalidError, TerminalError),
        (406, NotAcceptableError, TerminalError),
        (409, VersionConflictError, ConflictError),
        (410, ExpiredError, TransientError),
        (413, OversizeError, TooLargeError),
        (415, NotAcceptableError, TerminalError),
        (422, InvalidError, TerminalError),
        (429, ThrottledError, RateLimitedError),
        (500, UnavailableError, SourceUnavailableError),
        (503, UnavailableError, SourceUnavailableError),
        (504, UnavailableError, SourceUnavailableError),
    ],
)
def test_every_status_has_a_class_that_says_what_to_do(
    code: int, api_class: type[ApiError], domain_class: type[Exception]
) -> None:
    """Callers retry, wait, rest or give up by class alone."""
    error = api_error(CALL, code, Status())
    assert type(error) is api_class
    assert isinstance(error, domain_class)
    assert error.code == code


def test_a_taken_name_is_a_conflict_of_its_own() -> None:
    """A create that finds its name taken reads again; a lost race does the same, but says so."""
    assert type(api_error(CALL, 409, Status(reason="AlreadyExists"))) is AlreadyExistsError


def test_a_terminating_namespace_is_gone_not_forbidden() -> None:
    """Trap 34, at the edge: a result for a namespace that is going away is dropped, not retried."""
    details = StatusDetails(causes=(StatusCause(reason="NamespaceTerminating"),))
    error = api_error(CALL, 403, Status(reason="Forbidden", details=details))
    assert isinstance(error, GoneError)


@pytest.mark.parametrize(
    "message", ["404 page not found\n", "the server could not find the requested resource"]
)
def test_a_kind_that_is_not_served_is_retried_not_taken_for_a_vanished_object(
    message: str,
) -> None:
    """Somebody deletes the definitions: every result would be dropped without a word."""
    error = api_error(CALL, 404, Status(message=message))
    assert isinstance(error, TransientError)
    assert not isinstance(error, GoneError)
    assert error.reason == "DefinitionMissing"


@pytest.mark.parametrize(
    "message",
    [
        "etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max",
    ],
)
def test_etcds_size_limit_is_too_large_although_it_comes_as_a_500(message: str) -> None:
    """A 500 would be retried for ever; a smaller report is what helps."""
    assert isinstance(api_error(CALL, 500, Status(message=message)), TooLargeError)


def test_unauthorized_and_forbidden_have_reasons_of_their_own() -> None:
    """Facts and metrics must tell a dead token from a missing rule."""
    assert api_error(CALL, 401, Status()).reason == "Unauthorized"
    assert api_error(CALL, 403, Status()).reason == "Forbidden"


def test_the_header_decides_how_long_to_wait_and_the_body_where_it_is_silent() -> None:
    """A server may say it in either place."""
    status = Status(details=StatusDetails(retry_after_seconds=7))
    by_header = api_error(CALL, 429, status, retry_after_s=3.0)
    by_body = api_error(CALL, 429, status)
    assert isinstance(by_header, TransientError)
    assert isinstance(by_body, TransientError)
    assert (by_header.retry_after_s, by_body.retry_after_s) == (3.0, 7)


def test_a_message_names_verb_object_status_and_what_the_server_said_shortened() -> None:
    """The one line in the log must be enough to look further, and no body."""
    text = str(api_error(CALL, 422, Status(message="spec.x: " + "wrong " * 500)))
    assert text.startswith("PUT /api/v1/namespaces/shop/pods/web: 422 spec.x: wrong")
    assert len(text) < 350


def test_a_body_that_is_no_status_becomes_its_message() -> None:
    """Proxies answer in HTML, or with nothing."""
    assert decode_status(b"<html>bad gateway</html>").message == "<html>bad gateway</html>"
    assert decode_status(b"") == Status()
    assert decode_status(b"\xff\xfe").message
    assert "no message" in str(api_error(CALL, 502, Status()))
