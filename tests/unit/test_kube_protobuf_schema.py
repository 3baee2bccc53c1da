"""Our field numbers, against the files in which Kubernetes fixes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from common.kube.negotiate import JSON
from common.kube.protobuf.messages import IS_NATIVE
from common.kube.protobuf.read import has_schema
from common.kube.protobuf.schema import MESSAGES, SOURCES, TEXT_MAP, VIEWS
from watcher.stream.catalog import ROWS

_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(
    r"^  (?:(optional|repeated) )?(map<[\w.]+, [\w.]+>|[\w.]+) (\w+) = (\d+);", re.MULTILINE
)


class Line(NamedTuple):
    """One field of a `.proto` file."""

    number: int
    type: str  # without its package
    repeated: bool


def parsed(text: str) -> dict[str, dict[str, Line]]:
    """Return the messages of a `.proto` file as the generator of Kubernetes writes it."""
    return {
        name: {
            field: Line(int(number), _short(type_), label == "repeated")
            for label, type_, field, number in _FIELD.findall(body)
        }
        for name, body in _MESSAGE.findall(text)
    }


def _short(type_: str) -> str:
    return type_ if type_.startswith("map<") else type_.rpartition(".")[2]


@pytest.fixture(scope="session")
def staging() -> Path:
    """Give the folder of the Go module cache that has the sandbox's sources of `k8s.io`."""
    cache = os.environ.get("GOMODCACHE")
    go = shutil.which("go")
    if not cache and go:
        cache = subprocess.run(
            [go, "env", "GOMODCACHE"], capture_output=True, text=True, check=True
        ).stdout.strip()
    folder = Path(cache or Path.home() / "go" / "pkg" / "mod") / "k8s.io"
    if not list(folder.glob("api@*")):
        if os.environ.get("CI"):
            pytest.fail(f"CI builds the sandbox first, and its sources are not in {folder}")
        pytest.skip(f"no sources of Kubernetes in {folder}; `python -m sandbox build` gets them")
    return folder


def _proto_files(staging: Path, source: str) -> list[Path]:
    """Return the file of every version that was ever fetched."""
    module, _, rest = source.partition("/")
    return list(staging.glob(f"{module}@*/{rest}/generated.proto"))


@pytest.mark.parametrize("source", SOURCES)
def test_every_field_has_the_number_and_type_that_kubernetes_gives_it(
    staging: Path, source: str
) -> None:
    """A wrong number reads another field, or nothing, and no parser complains."""
    files = _proto_files(staging, source)
    assert files
    for file in files:
        known = parsed(file.read_text(encoding="utf-8"))
        for message, fields in SOURCES[source].items():
            for name, field in fields.items():
                repeated = field.repeated and field.type != TEXT_MAP
                expected = Line(field.number, field.type, repeated)
                assert known[message][name] == expected, f"{message}.{name} in {file}"


def test_every_list_has_its_parts_where_the_view_of_lists_looks(staging: Path) -> None:
    """One view reads the pages of all kinds."""
    view = VIEWS["AnyList"]
    found = 0
    for source in SOURCES:
        for file in _proto_files(staging, source):
            for name, fields in parsed(file.read_text(encoding="utf-8")).items():
                if has_schema(name.removesuffix("List")) and name.endswith("List"):
                    found += 1
                    assert fields["metadata"][:2] == view["metadata"][:2]
                    assert fields["items"].number == view["items"].number
                    assert fields["items"].repeated
    assert found >= len({row.message for row in ROWS})


def test_the_view_of_a_name_reads_the_fields_of_metadata() -> None:
    """It is the same message with less in it."""
    whole, part = MESSAGES["ObjectMeta"], VIEWS["NameMeta"]
    assert {name: whole[name] for name in part} == part
    assert VIEWS["Named"]["metadata"].number == MESSAGES["Pod"]["metadata"].number


def test_no_two_sources_share_a_message() -> None:
    """All stand in one package, so one would hide the other."""
    names = [name for messages in (*SOURCES.values(), VIEWS) for name in messages]
    assert len(names) == len(set(names))


def test_every_row_of_the_catalog_can_be_read_in_protobuf() -> None:
    """None is left to JSON by oversight."""
    assert all(has_schema(row.message) for row in ROWS)


def test_the_parser_is_the_one_in_c() -> None:
    """The wheel of this platform has it."""
    assert IS_NATIVE


_ASKED = """
import queue, threading
from watcher.stream.ask import Scope
from watcher.stream.catalog import ROWS
from watcher.stream.informer import Informer, Outlet

class Source:
    def stream(self, path, *, query, accept, idle_timeout_s):
        print(accept)
        asked.set()
        raise SystemExit

asked = threading.Event()
outlet = Outlet(changes=queue.Queue(), turns=threading.Semaphore(1))
informer = Informer(ROWS[0], Scope(), source=Source(), outlet=outlet)
informer.start()
asked.wait(30)
informer.stop()
"""


@pytest.mark.parametrize(
    ("parser", "asked"), [("upb", "application/vnd.kubernetes.protobuf"), ("python", JSON)]
)
def test_without_the_parser_in_c_json_is_asked_for(parser: str, asked: str) -> None:
    """The one in Python costs us more than JSON costs the API server."""
    environ = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": parser}
    run = subprocess.run(
        [sys.executable, "-c", _ASKED], env=environ, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == asked
