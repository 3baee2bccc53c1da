"""The Trivy program: how each of its commands is called.

Commands are values; nothing here starts a scan. The child's environment is built from nothing:
what is not named below, above all the worker's own secrets, never reaches it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.ops.trivy_program import Trivy
from worker.evidence.image.options import ScanOptions

# What a proxy or a private certificate authority needs, and nothing else of ours.
_INHERITED = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
# Never look for updates, never call home, never ask a container daemon. Every Trivy flag has such
# a name, and a newer Trivy ignores those it dropped, which it does not do with flags.
_QUIET = {
    "TRIVY_SKIP_VERSION_CHECK": "true",
    "TRIVY_DISABLE_TELEMETRY": "true",
    "TRIVY_NO_PROGRESS": "true",
}
_OFFLINE = {
    "TRIVY_SKIP_DB_UPDATE": "true",
    "TRIVY_SKIP_JAVA_DB_UPDATE": "true",
    "TRIVY_SKIP_CHECK_UPDATE": "true",
    "TRIVY_SKIP_VEX_REPO_UPDATE": "true",
    "TRIVY_OFFLINE_SCAN": "true",
}


def child_environment(
    ours: Mapping[str, str],
    home: Path,
    *,
    offline: bool = True,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment of a Trivy process; `home` takes its temporary files too."""
    inherited = {name: ours[name] for name in _INHERITED if name in ours}
    place = {"HOME": str(home), "TMPDIR": str(home)}
    return inherited | _QUIET | (_OFFLINE if offline else {}) | place | dict(more or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCommand:
    """What `trivy image` needs to know about one job."""

    reference: str
    platform: str  # `linux-amd64`
    options: ScanOptions
    server_url: str
    cache_dir: Path
    output: Path
    timeout_s: float
    insecure: bool
    max_bytes: int = 0  # 0: no limit. Trivy fetches even known layers to find out
    config: Path | None = None  # None: none, and never one that lies about


def mirror_config(registry: str, mirror: str) -> bytes:
    """Return a configuration by which Trivy pulls from `mirror` what it calls `registry`'s.

    There is no flag for it. The names in the report are not touched by it.
    """
    return json.dumps({"registry": {"mirrors": {registry: [mirror]}}}).encode()


def image_argv(trivy: Trivy, command: ImageCommand) -> tuple[str, ...]:
    """Return the arguments of an inventory run; its report goes to the output file."""
    options = command.options
    return (
        trivy.path,
        "image",
        *((f"--config={command.config}",) if command.config is not None else ()),
        f"--server={command.server_url}",
        f"--cache-dir={command.cache_dir}",
        "--image-src=remote",
        "--format=json",
        f"--output={command.output}",
        f"--scanners={','.join(options.scanners)}",
        "--list-all-pkgs",
        *(("--image-config-scanners=secret",) if "secret" in options.scanners else ()),
        *(f"--skip-files={pattern}" for pattern in options.skip_files),
        *(f"--skip-dirs={pattern}" for pattern in options.skip_dirs),
        f"--platform={command.platform.replace('-', '/')}",
        f"--timeout={max(1, round(command.timeout_s))}s",
        *(("--insecure",) if command.insecure else ()),
        *((f"--max-image-size={command.max_bytes}B",) if command.max_bytes else ()),
        "--",
        command.reference,
    )


def convert_argv(trivy: Trivy, report: Path, output: Path) -> tuple[str, ...]:
    """Return the arguments that turn a JSON report into a CycloneDX document."""
    return (trivy.path, "convert", "--format=cyclonedx", f"--output={output}", "--", str(report))


def download_argv(
    trivy: Trivy, cache_dir: Path, *, repository: str, java: bool, insecure: bool
) -> tuple[str, ...]:
    """Return the arguments that download a database; an empty repository means Trivy's own."""
    prefix = "java-db" if java else "db"
    return (
        trivy.path,
        "image",
        f"--cache-dir={cache_dir}",
        f"--download-{prefix}-only",
        *((f"--{prefix}-repository={repository}",) if repository else ()),
        *(("--insecure",) if insecure else ()),
    )


def server_argv(trivy: Trivy, cache_dir: Path, *, listen: str) -> tuple[str, ...]:
    """Return the arguments of the match server; it never looks for a newer database itself."""
    return (
        trivy.path,
        "server",
        f"--cache-dir={cache_dir}",
        f"--listen={listen}",
        "--skip-db-update",
    )
