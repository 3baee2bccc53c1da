"""The programs that the watcher is measured beside, and the one that writes what all of them see.

Each is a process that answers a line with a line; see `gomods/pods` and `watch_official`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import orjson

from common.model.errors import PreconditionError
from sandbox import certificates
from sandbox.gobuild import Recipe, Say, build

_MODULES = Path(__file__).with_name("gomods")
_RECIPE = Recipe(
    title="client-go's informer", module="pods", packages=(".",), usually="half a minute"
)


def pods_program(*, say: Say) -> Path:
    """Return the program of `gomods/pods`, built once. Raises PreconditionError."""
    digest = hashlib.sha256()
    for path in sorted((_MODULES / "pods").iterdir()):
        digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "kube-sluice" / "bench" / f"pods-{digest.hexdigest()[:12]}" / "bin"
    build(_RECIPE, folder, say=say, modules=_MODULES)
    return folder / "pods"


class Dialogue:
    """A child that answers lines. Stop it, or use it as a block."""

    def __init__(self, *argv: str) -> None:
        """Start it, and wait until it says that it is in step. Raises PreconditionError."""
        self._name = Path(argv[0]).name
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._expect("synced")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def ask(self, line: str = "") -> str:
        """Send a line and return the answer. Raises PreconditionError when it ended."""
        if self._child.stdin is not None:
            self._child.stdin.write(f"{line}\n")
            self._child.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End it."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def _answer(self) -> str:
        line = self._child.stdout.readline() if self._child.stdout is not None else ""
        if not line:
            raise PreconditionError(f"{self._name} ended with {self._child.wait()}")
        return line.strip()

    def _expect(self, word: str) -> None:
        said = self._answer()
        if said != word:
            raise PreconditionError(f"{self._name} said {said!r}")


def official(kubeconfig: Path) -> Dialogue:
    """Start the bare watch with the official client's models."""
    return Dialogue(sys.executable, "-m", "tests.bench.watch_official", str(kubeconfig))


def informer(program: Path, kubeconfig: Path) -> Dialogue:
    """Start client-go's bare SharedInformer in protobuf."""
    return Dialogue(str(program), "follow", str(kubeconfig))


def writer(program: Path, kubeconfig: Path, namespace: str, *, per_second: float) -> Dialogue:
    """Start what writes the status of the Pods of a namespace."""
    return Dialogue(str(program), "write", str(kubeconfig), namespace, str(per_second))


class Relay(Dialogue):
    """The API server's second front door, which lets Pods' events gather and go at a rate."""

    def __init__(self, program: Path, kubeconfig: Path, folder: Path) -> None:
        """Start it with a certificate in `folder`. Raises PreconditionError."""
        made = certificates.make(folder, names=("IP:127.0.0.1",))
        paths = (kubeconfig, made.server_certificate, made.server_key)
        super().__init__(str(program), "relay", *map(str, paths))
        known = orjson.loads(kubeconfig.read_bytes())
        (cluster,) = known["clusters"]
        cluster["cluster"] = {
            "server": f"https://{self.ask('address')}",
            "certificate-authority-data": base64.b64encode(made.ca.read_bytes()).decode(),
        }
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_bytes(orjson.dumps(known))
