"""How each kind of value is written: what is taken, what is refused, what equal wishes share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SettingsError
from common.model.redis_address import RedisAddress, parse_redis_url
from common.settings import formats, known
from common.settings.formats import BindAddress, Format
from common.settings.parse import parse
from common.settings.setting import Setting

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        # Go's strconv.ParseBool takes exactly these twelve.
        *((formats.FLAG, text, True) for text in ("1", "t", "T", "TRUE", "true", "True")),
        *((formats.FLAG, text, False) for text in ("0", "f", "F", "FALSE", "false", "False")),
        (formats.NAMES, "a, b,,a , c", ("a", "b", "c")),
        (formats.NAMES, "", ()),
        (formats.LABELS, "b=2,a=1,a=3", (("a", "3"), ("b", "2"))),
        (formats.LABELS, "team=", (("team", ""),)),
        (formats.LABELS, "example.com/team=red", (("example.com/team", "red"),)),
        (formats.LABEL_KEYS, "team,example.com/x_y.z", ("team", "example.com/x_y.z")),
        (formats.SEVERITY_LIST, "critical,LOW,low", ("LOW", "CRITICAL")),
        (formats.SEVERITY_LIST, ",".join(SEVERITIES), SEVERITIES),
        (formats.KIND_LIST, "cronjob,POD", ("Pod", "CronJob")),
        (formats.POOL_LIST, "match,scan", ("scan", "match")),
        (formats.FIELD_LIST, "CVSS,Description", ("Description", "CVSS")),
        (formats.BIND, ":8080", BindAddress(host="", port=8080)),
        (formats.BIND, "127.0.0.1:0", BindAddress(host="127.0.0.1", port=0)),
        (formats.BIND, "[::1]:80", BindAddress(host="::1", port=80)),
        (formats.HTTP_URL, "http://trivy:4954/", "http://trivy:4954"),
        (formats.HTTP_URL, "", ""),
        (formats.CLUSTER, "prod-1", "prod-1"),
        (formats.DURATION, "1h30m", 5_400.0),
        (formats.DURATION, "0", 0.0),
        (formats.OPTIONAL_DURATION, "", None),
        (formats.whole(1, 9), "9", 9),
        (formats.number(0, 9), "0.25", 0.25),
        (formats.choice("auto", "json"), "JSON", "json"),
        (formats.REDIS_URL, "", None),
    ],
)
def test_a_value_is_read(form: Format[Any], text: str, value: object) -> None:
    """Each form once, in the ways that people write it."""
    assert form.read(text) == value


@pytest.mark.parametrize(
    ("form", "text"),
    [
        *((formats.FLAG, text) for text in ("yes", "on", "TrUe", "2", "")),
        *((formats.LABELS, text) for text in ("a", "=x", "a=b c", "a/=b", "-a=b", "a=b-")),
        *((formats.LABEL_KEYS, text) for text in ("/a", "a b", "x/" + "y" * 64)),
        (formats.SEVERITY_LIST, "HIGHEST"),
        (formats.KIND_LIST, "Deployment"),
        (formats.FIELD_LIST, "cvss"),
        *((formats.BIND, text) for text in ("8080", "host", ":http", ":-1", ":65536", "::1:80")),
        *((formats.HTTP_URL, text) for text in ("trivy", "ftp://x", "http://x/y", "http://a@b")),
        *((formats.CLUSTER, text) for text in ("A", "-a", "a-", "a_b", "a" * 64)),
        *((formats.DURATION, text) for text in ("5", "5 m", "m", "1d", "-1s", "", "1e3s", "٣s")),
        *((formats.whole(1, 9), text) for text in ("0", "10", "1.0", "-1", "", "٣", "1_0")),
        *((formats.number(0, 9), text) for text in ("10", "nan", "inf", "-1", "1e0", ".5", "")),
        (formats.choice("auto", "json"), "xml"),
    ],
)
def test_what_is_none_is_refused_with_a_form_that_is_one(form: Format[Any], text: str) -> None:
    """The message must say what to write instead, not only that it was wrong."""
    with pytest.raises(ValueError, match=r"(write|known are|no |stands in|negative)"):
        form.read(text)


@given(st.text(max_size=40))
@pytest.mark.parametrize(
    "form", [value for value in vars(formats).values() if isinstance(value, Format)]
)
def test_reading_ends_in_a_value_or_a_value_error(form: Format[Any], text: str) -> None:
    """Any other exception would end the start with a traceback."""
    said = ""
    try:
        form.read(text)
    except ValueError as error:
        said = str(error)
    assert len(said) < 700


@given(st.booleans(), st.integers(0, 65_535), st.sampled_from(["", "10.0.0.1", "::", "node"]))
def test_an_address_reads_as_it_is_written(strip: bool, port: int, host: str) -> None:  # noqa: FBT001 # drawn
    """`sluice run` hands addresses to its children as text."""
    address = BindAddress(host=host, port=port)
    text = f" {address} " if strip else str(address)
    assert formats.BIND.read(text.strip()) == address


# --- Redis addresses

hosts = st.sampled_from(["cache", "10.0.0.1", "::1", "redis.example.com"])
addresses = st.one_of(
    st.builds(
        lambda scheme, host, port, db: RedisAddress(scheme=scheme, hosts=((host, port),), db=db),
        st.sampled_from(["redis", "rediss"]),
        hosts,
        st.integers(1, 65_535),
        st.integers(0, 99),
    ),
    st.builds(
        lambda scheme, found, db: RedisAddress(
            scheme=scheme, hosts=tuple(found), service="main", db=db
        ),
        st.sampled_from(["redis+sentinel", "rediss+sentinel"]),
        st.lists(st.tuples(hosts, st.integers(1, 65_535)), min_size=1, max_size=3),
        st.integers(0, 99),
    ),
    st.builds(
        lambda name, db: RedisAddress(scheme="unix", path=f"/run/{name}.sock", db=db),
        st.sampled_from(["valkey", "a-b", "x.y"]),
        st.integers(0, 99),
    ),
)


@given(addresses)
def test_an_address_that_is_shown_means_the_same_address(address: RedisAddress) -> None:
    """What a message shows can be copied into the setting."""
    assert parse_redis_url(address.shown) == address


@given(addresses, st.text(min_size=1, max_size=12))
def test_user_and_password_change_nothing_but_themselves(
    address: RedisAddress, password: str
) -> None:
    """Percent signs, colons and slashes in a password are what generators love."""
    quoted = "".join(f"%{byte:02X}" for byte in password.encode(errors="ignore"))
    url = address.shown.replace("://", f"://ada:{quoted}@", 1)
    found = parse_redis_url(url)
    assert found.username == "ada"
    assert found.password == password.encode(errors="ignore").decode()
    assert found.shown == address.shown


# --- settings that are known and not honoured

_OTHER = {
    formats.FLAG.shown: ("true", "false"),
    formats.DURATION.shown: ("7m", "8m"),
    formats.OPTIONAL_DURATION.shown: ("7m", "8m"),
    formats.TEXT.shown: ("other", "another"),
    formats.whole(0, 1_000_000).shown: ("77", "78"),
}


def _another(row: Setting[Any]) -> str:
    """Return a value that parses and is not the default."""
    default = row.format.read(row.default)
    return next(text for text in _OTHER[row.format.shown] if row.format.read(text) != default)


@pytest.mark.parametrize("row", known.ROWS, ids=lambda row: row.name)
def test_each_setting_that_is_not_honoured_says_so_when_it_is_used(row: Setting[Any]) -> None:
    """A user who moves over must learn which of his wishes this version does not know."""
    (warning,) = parse({row.name: _another(row)}).warnings
    assert warning.startswith(f"{row.name} is trivy-operator's and not honoured")
    assert row.instead in warning
    assert parse({row.name: row.default}).warnings == ()


@pytest.mark.parametrize("row", known.ROWS, ids=lambda row: row.name)
def test_no_warning_quotes_a_value(row: Setting[Any]) -> None:
    """Web-hook headers and registry passwords are among them."""
    marked = "q9hunter2z7"
    try:
        said = "".join(parse({row.name: marked}).warnings)
    except SettingsError as error:
        assert not row.secret
        said = str(error).replace(repr(marked), "")
    assert marked not in said


def test_sentinels_may_have_addresses_of_version_6_after_names() -> None:
    """Newer Pythons' `urlsplit` (from 3.11.4, and Debian's 3.11.2) refuses such a list."""
    address = parse_redis_url("redis+sentinel://ada:x@cache:1,[::1]:2/main/0")
    assert address.hosts == (("cache", 1), ("::1", 2))
