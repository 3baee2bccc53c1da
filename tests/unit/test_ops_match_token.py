"""The match server's token: one file, drawn once, told to nobody."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from common.ops.match_token import TokenFile, token_file


def test_a_drawn_token_is_long_stays_and_is_for_its_user_only(tmp_path: Path) -> None:
    """All who are started later must read the same one."""
    file = TokenFile(path=tmp_path / "match" / "token")
    assert file.read() is None
    token = file.read_or_draw()
    assert token is not None
    assert len(token) >= 32
    assert file.read() == file.read_or_draw() == token
    assert stat.S_IMODE((tmp_path / "match" / "token").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "match").iterdir()] == ["token"]


def test_a_folder_that_hands_its_group_on_lets_the_group_read(tmp_path: Path) -> None:
    """Matcher and scanner are two users in containers that share a volume."""
    tmp_path.chmod(0o2750)
    TokenFile(path=tmp_path / "token").read_or_draw()
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o640


def test_two_that_draw_at_once_get_one_token(tmp_path: Path) -> None:
    """A matcher that is replaced draws while the one before still does."""
    file = TokenFile(path=tmp_path / "token")
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: file.read_or_draw(), range(32)))
    assert len(set(drawn)) == 1


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    """A server with an empty token lets everybody in."""
    (tmp_path / "token").write_text("\n")
    assert TokenFile(path=tmp_path / "token").read() is None
    (tmp_path / "token").write_text("")
    assert TokenFile(path=tmp_path / "token").read_or_draw()


def test_a_file_that_ends_its_line_is_read_as_written_by_hand(tmp_path: Path) -> None:
    """`openssl rand -hex 24 > token` ends it."""
    (tmp_path / "token").write_text("abc\n")
    assert TokenFile(path=tmp_path / "token").read() == "abc"


@pytest.mark.parametrize("content", [b"a b", b"a\nb", b"\xff", b"x" * 5000], ids=repr)
def test_what_no_header_can_carry_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    """The error reaches logs; what is in the file may be a token all the same."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(PreconditionError) as caught:
        TokenFile(path=tmp_path / "token").read()
    assert content.decode(errors="replace") not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_cannot_be_written_is_named_with_the_setting(tmp_path: Path) -> None:
    """Where a Secret was meant to be mounted and is not, nothing can be drawn either."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PreconditionError, match="SLUICE_TRIVY_TOKEN_FILE"):
        TokenFile(path=tmp_path / "file" / "token").read_or_draw()


def test_our_token_is_not_told_to_a_server_of_somebody_else() -> None:
    """Theirs must be named; ours stands in the data folder."""
    assert token_file("", "/data", foreign=True).path is None
    assert token_file("/t", "/data", foreign=True).path == Path("/t")
    assert token_file("", "/data", foreign=False).path == Path("/data/match/token")
