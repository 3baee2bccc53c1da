"""Which Trivy program would be used, and its version; for commands that only want to know."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.model.errors import PreconditionError

# The oldest version whose report and server protocol we read; 0.76 is what the tests run.
OLDEST = (0, 70)
_VERSION_S = 30.0  # 0.06 s when the file is in memory; a cold disk reads 174 MB
_REMEDY = "install trivy (pip install 'kube-sluice[local]') or set SLUICE_TRIVY_PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivyProgram:
    """A program that answered."""

    path: str
    version: str


class _Answer(msgspec.Struct, frozen=True, rename={"version": "Version"}):
    version: str = ""


def find_trivy(configured: str, search_path: str) -> TrivyProgram:
    """Return the Trivy that is configured, else that of `search_path`, else the wheel's.

    Raises PreconditionError with the remedy if there is none that works.
    """
    beside = Path(sys.executable).with_name("trivy")  # where the wheel puts it
    path = configured or shutil.which("trivy", path=search_path) or str(beside)
    # In an empty folder: Trivy reads configuration files from where it stands.
    with tempfile.TemporaryDirectory() as empty:
        environ = {"HOME": empty, "TRIVY_SKIP_VERSION_CHECK": "true"}
        try:
            done = subprocess.run(
                [path, "version", "--format", "json"],
                env=environ,
                cwd=empty,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=_VERSION_S,
            )
            version = msgspec.json.decode(done.stdout, type=_Answer).version
        except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as exc:
            raise PreconditionError(
                f"no usable Trivy at {path} ({type(exc).__name__}); {_REMEDY}"
            ) from exc
    return TrivyProgram(path=path, version=version)
