"""What must be seen nowhere, where it could be seen, and whether it is.

A secret counts as seen in any of its usual spellings, inside compressed texts too.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from common.state.connect import Client

_PROC = Path("/proc")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_GZIP = re.compile(rb"\x1f\x8b\x08")
_LOOK_S = 0.02  # a Trivy run lasts ten times that; looking more often would slow the others
_PACKED_LIMIT_BYTES = 256 * 1024  # no record of a test is larger; a slice is a copy
_INFLATED_LIMIT_BYTES = 16 * 1024 * 1024


def made_up(what: str) -> str:
    """Return a secret that stands nowhere else; letters and digits, as tokens have them."""
    return f"planted{what}{secrets.token_hex(10)}"


def spellings(secret: str) -> tuple[bytes, ...]:
    """Return the secret plain, in hex, and in base64 wherever it may begin in a longer text."""
    plain = secret.encode()
    found = [plain, plain.hex().encode()]
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + plain).rstrip(b"=")
        # The first and the last letters depend on the neighbours.
        inner = coded[(8 * offset + 5) // 6 : (len(plain) + offset) * 8 // 6]
        found += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return tuple(dict.fromkeys(found))


def inflated(content: bytes) -> Iterator[bytes]:
    """Yield the content, and whatever it holds that zlib or gzip packed."""
    yield content
    for pattern, window in ((_ZLIB, 15), (_GZIP, 31)):
        for found in pattern.finditer(content):
            with contextlib.suppress(zlib.error):
                packed = content[found.start() : found.start() + _PACKED_LIMIT_BYTES]
                unpacked = zlib.decompressobj(window).decompress(packed, _INFLATED_LIMIT_BYTES)
                if unpacked:
                    yield unpacked


def holds(content: bytes, secret: str) -> bool:
    """Say whether the secret can be read from the content."""
    wanted = spellings(secret)
    return any(spelling in part for part in inflated(content) for spelling in wanted)


def leaks(planted: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Return `what: where` of every secret that is seen; `planted` are secrets by what they are."""
    wanted = {what: spellings(secret) for what, secret in planted.items()}
    return sorted(
        {
            f"{what}: {place}"
            for place, content in places.items()
            for part in inflated(content)
            for what, texts in wanted.items()
            if any(text in part for text in texts)
        }
    )


# --- where to look --------------------------------------------------------------------------------


def keys_of(client: Client) -> dict[str, bytes]:
    """Return the content of every key, in all databases' current one."""
    return {
        f"Redis {key.decode(errors='replace')}": b"\n".join([key, *_flat(_value(client, key))])
        for key in client.scan_iter(count=1000)
    }


def _value(client: Client, key: bytes) -> Any:  # whatever the type holds
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1),
        b"stream": client.xrange,
    }
    read = readers.get(bytes(client.type(key)))  # type: ignore[arg-type] # bytes, by our client
    return None if read is None else read(key)  # None: gone meanwhile


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Mapping):
        yield from _flat(list(value.items()))
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for each in value:
            yield from _flat(each)


def files_of_redis(client: Client) -> dict[str, bytes]:
    """Return its snapshot, made now and not compressed, and its log with every write."""
    client.config_set("rdbcompression", "no")
    client.save()
    folder = Path(str(client.config_get("dir")["dir"]))
    return files_below(folder)


def files_below(folder: Path, *, but: Iterable[str] = ()) -> dict[str, bytes]:
    """Return every file of a folder by path, but for those below paths of it that begin so."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            name = str(path.relative_to(folder))
            if path.is_file() and not name.startswith(tuple(but)):
                found[f"file {path}"] = path.read_bytes()
    return found


class Watched:
    """The processes of this machine while the block runs: every command line that was ever seen.

    And the environments of the scanner's processes below `ancestor`, its Trivys included.
    """

    def __init__(self, ancestor: int) -> None:
        self._ancestor = ancestor
        self.arguments: set[bytes] = set()
        self.environments: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="leaks")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            lines, parents = _processes()
            self.arguments |= set(lines.values())
            scanners = {
                pid
                for pid, line in lines.items()
                if b"scanner" in line and self._ancestor in _above(pid, parents)
            }
            for pid in lines:
                if scanners & {pid, *_above(pid, parents)}:
                    with contextlib.suppress(OSError):
                        self.environments.add((_PROC / str(pid) / "environ").read_bytes())


def _processes() -> tuple[dict[int, bytes], dict[int, int]]:
    """Return command lines and parents by process; our own is none of the product's."""
    lines: dict[int, bytes] = {}
    parents: dict[int, int] = {}
    for entry in os.scandir(_PROC):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                lines[pid] = Path(entry.path, "cmdline").read_bytes()
                stat = Path(entry.path, "stat").read_text(errors="replace")
                parents[pid] = int(stat.rpartition(")")[2].split()[1])
    return lines, parents


def _above(pid: int, parents: Mapping[int, int]) -> set[int]:
    found: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in found:
        found.add(pid)
    return found
