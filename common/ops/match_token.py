"""The token that guards the match server: one file, read by all who talk to it.

Whoever may store layers there could hide findings from the whole cluster. The token is in that file
alone: never in Redis, on a command line, in a log or in an error's text.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError

_BYTES = 32
_LIMIT_BYTES = 4096
# Below the data folder, where `sluice run` and all its children look.
_PLACE = Path("match") / "token"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """Where the token is. It is read at each use, for a Secret that is mounted may change."""

    path: Path | None  # None: the server is somebody else's, and no token was named

    def read(self) -> str | None:
        """Return the token, or None while there is none.

        Raises PreconditionError for a file that cannot be read, or holds what is no token.
        """
        if self.path is None:
            return None
        try:
            with self.path.open("rb") as file:
                content = file.read(_LIMIT_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise PreconditionError(
                f"the match server's token cannot be read from {self.path}: {exc.strerror}"
            ) from None
        token = content.strip()
        # Printable ASCII without spaces: what a header can carry, and http.client quotes no other.
        if len(content) > _LIMIT_BYTES or not all(0x20 < byte < 0x7F for byte in token):  # noqa: PLR2004
            raise PreconditionError(
                f"{self.path} holds no token: printable ASCII without spaces, at most "
                f"{_LIMIT_BYTES} bytes"
            )
        return token.decode() or None

    def read_or_draw(self) -> str | None:
        """Return the token; where there is none yet, draw it and write the file.

        For its user only, or for the group of a folder that hands its group on: one that is shared.

        Raises PreconditionError when it cannot be written.
        """
        known = self.read()
        if known is not None or self.path is None:
            return known
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _place(self.path, secrets.token_urlsafe(_BYTES))
        except OSError as exc:
            raise PreconditionError(
                f"no token for the match server can be written to {self.path}: {exc.strerror}; "
                "SLUICE_TRIVY_TOKEN_FILE names the file"
            ) from None
        return self.read()


def _place(path: Path, token: str) -> None:
    """Write a whole file at once; whoever came first wins, as both will read the same one."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if path.parent.stat().st_mode & stat.S_ISGID:
                os.fchmod(file.fileno(), 0o640)
            file.write(token)
        try:
            os.link(fresh, path)
        except FileExistsError:
            if path.stat().st_size == 0:  # an empty one is none
                fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def token_file(configured: str, data_dir: str, *, foreign: bool) -> TokenFile:
    """Return where the token is: as set, else in the data folder.

    `foreign`: the server is somebody else's, who shall not be told the token of ours. Pure.
    """
    if configured:
        return TokenFile(path=Path(configured))
    return TokenFile(path=None if foreign else Path(data_dir) / _PLACE)
