"""A real Prometheus and its promtool, which judge our metrics, alerts and dashboard in tests.

PATH's, where both are there; else Debian's or Ubuntu's package, unpacked into the user's cache.
Nothing is installed, no service starts, and root is not needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sandbox.debian import Debian
from sandbox.gobuild import Say
from sandbox.place import Place
from sandbox.processes import POLL_S, Command, Process, Stack
from sandbox.programs import sources

PROGRAMS = ("prometheus", "promtool")
REMEDY = (
    "put prometheus and promtool in PATH (macOS: brew install prometheus), or have a package "
    "mirror in reach on Debian or Ubuntu"
)
_READY_S = 60.0
_ASK_S = 30.0


def programs(*, say: Say) -> Mapping[str, Path]:
    """Return both programs, fetching them when they are not there yet; `say` tells progress.

    Raises PreconditionError with the remedy.
    """
    found = {name: shutil.which(name) for name in PROGRAMS}
    if all(found.values()):
        return {name: Path(path) for name, path in found.items() if path}
    folder = _cached()
    if not folder.exists():
        say("fetching Prometheus from the distribution's packages (once, 60 MB)")
        _fetch(folder)
    return {name: folder / "usr" / "bin" / name for name in PROGRAMS}


def _cached() -> Path:
    """Return where the package is unpacked, or will be: one a release of the distribution."""
    release: dict[str, str] = {}
    with contextlib.suppress(OSError):  # another system: PATH must have it
        release = platform.freedesktop_os_release()
    told = f"{release.get('ID', 'none')}{release.get('VERSION_ID', '')}-{platform.machine()}"
    return sources(os.environ).cache.parent / f"prometheus-{told}"


def _fetch(folder: Path) -> None:
    """Unpack the package into `folder`, which appears as a whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch, "made")
        packages = Debian(Path(scratch), remedy=REMEDY)
        packages.download(["prometheus"])  # static programs: nothing that it depends on is needed
        packages.unpack(made)
        try:
            made.replace(folder)
        except OSError:  # another process was quicker
            if not folder.exists():
                raise


class Prometheus:
    """A server that scrapes some pages every second, in one place."""

    def __init__(
        self,
        place: Place,
        stack: Stack,
        *,
        jobs: Mapping[str, Sequence[str]],
        labels: Mapping[str, str],
        rules: Sequence[Path] = (),
    ) -> None:
        """Nothing runs before `start`.

        `jobs` are the pages' hosts and ports by job, `labels` what every target gets besides.
        """
        self._stack = stack
        self._port = place.port()
        folder = place.sub("prometheus")
        targets = [
            {
                "job_name": job,
                "honor_labels": True,
                "static_configs": [{"targets": list(hosts), "labels": dict(labels)}],
            }
            for job, hosts in jobs.items()
        ]
        told = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": targets,
        }
        config = folder / "prometheus.yml"
        config.write_text(json.dumps(told), encoding="utf-8")  # JSON is YAML
        self._process = Process(
            Command(
                name="prometheus",
                argv=(
                    str(programs(say=lambda _text: None)["prometheus"]),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ),
                log=place.log("prometheus"),
            )
        )

    def start(self) -> Self:
        """Start it; return when it answers."""
        self._stack.push(self)
        self._process.start()
        deadline = time.monotonic() + _READY_S
        while True:
            with contextlib.suppress(OSError):
                self._get("/-/ready")
                return self
            if not self._process.alive or time.monotonic() > deadline:
                raise self._process.failure("does not answer")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def query(self, text: str) -> list[Any]:
        """Return the series of an instant query; raises ValueError with what it says is wrong."""
        try:
            answer = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': text})}")
        except urllib.error.HTTPError as error:
            raise ValueError(f"{text}: {error.read().decode(errors='replace')}") from error
        found = json.loads(answer)["data"]
        return [found["result"]] if found["resultType"] == "scalar" else list(found["result"])

    def alerts(self) -> list[Any]:
        """Return the alerts that are pending or firing."""
        return list(json.loads(self._get("/api/v1/alerts"))["data"]["alerts"])

    def _get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(url, timeout=_ASK_S) as answer:  # loopback HTTP
            return bytes(answer.read())
