"""What evidence is made with: Trivy, its database, the registry that the database comes from."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.parse
import urllib.request

from common.model.finding import Fault, Finding, Good, Notice
from common.ops.trivy_program import OLDEST, Trivy, is_supported
from common.overview.ages import STALE_S, database_age_s
from common.overview.words import age
from common.settings.value import Settings
from common.state.database import DatabaseRow

# Trivy's own default since 0.56.
_DEFAULT_DB = "mirror.gcr.io/aquasec/trivy-db:2"
_DATABASE = "database"  # the topic
_HTTP_S = 10.0
# A registry answers /v2/ with 200, or 401 to strangers; both prove that it is one.
_REGISTRY_ANSWERS = frozenset({200, 401})


def judge_trivy(found: Trivy) -> Finding:
    """Return whether the program is new enough. Pure."""
    if not is_supported(found.version):
        return Fault(
            topic="Trivy",
            said=f"{found.path} is {found.version}, older than {'.'.join(map(str, OLDEST))}",
            remedy="install a newer one, or set SLUICE_TRIVY_PATH to one",
        )
    return Good(topic="Trivy", said=f"{found.version} at {found.path}")


def judge_database(row: DatabaseRow | None, *, now_s: float) -> Finding:
    """Return what is to say about the published database. Pure."""
    if row is None:
        return Fault(
            topic=_DATABASE,
            said="no matcher has published a vulnerability database",
            remedy="start one: `sluice worker --pool match`; its log says more",
        )
    age_s = database_age_s(row.version, now_s)
    if age_s is not None and age_s > STALE_S:
        return Fault(
            topic=_DATABASE,
            said=f"version {row.version} is {age(age_s)} old",
            remedy="run `sluice database check`; the matcher's log says why it finds no newer one",
        )
    return Good(topic=_DATABASE, said=f"version {row.version}, {age(age_s)} old")


def check_match_server(url: str) -> Finding:
    """Return whether the match server answers."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_HTTP_S):  # noqa: S310 # http(s), from our own table
            return Good(topic="match server", said=url)
    except (OSError, ValueError) as exc:
        return Notice(
            topic="match server",
            said=f"{url} does not answer from here ({type(exc).__name__}); "
            "as it should be if only pods can reach it",
        )


def registry_of(repository: str) -> str:
    """Return the host (and port) that serves the database. Pure."""
    host, slash, _ = (repository or _DEFAULT_DB).split(",")[0].strip().partition("/")
    is_host = slash and ("." in host or ":" in host or host == "localhost")
    return host if is_host else "index.docker.io"


def excused(settings: Settings, host: str) -> tuple[bool, bool]:
    """Return whether the databases' registry may use plain HTTP, and any certificate. Pure."""
    chosen = settings.registries
    insecure = settings.trivy.insecure or chosen.insecure_databases
    return (
        insecure or chosen.all_plain or host in chosen.plain_registries,
        insecure or host in chosen.insecure_registries,
    )


def check_registry(host: str, *, plain: bool, unverified: bool) -> Finding:
    """Return whether the database's registry answers; plain HTTP is tried only where allowed."""
    schemes = ("https", "http") if plain else ("https",)
    said = ""
    for scheme in schemes:
        said = _ask(f"{scheme}://{host}/v2/", unverified=unverified)
        if not said:
            return Good(topic="registry", said=f"{host} answers over {scheme}")
    return Fault(
        topic="registry",
        said=f"{host}, where the database comes from: {said}",
        remedy="open the network to it, set HTTPS_PROXY, or set TRIVY_DB_REPOSITORY to a mirror"
        " (SLUICE_DB_REPOSITORY_INSECURE=true for plain HTTP, or a certificate of your own)",
    )


def is_fresh_database(finding: Finding) -> bool:
    """Return whether a finding says that a database is in use that is not old. Pure."""
    return isinstance(finding, Good) and finding.topic == _DATABASE


def eased(finding: Finding) -> Finding:
    """Return the registry's fault as a notice: the matcher, who alone needs it, reaches it. Pure.

    The matcher has its own settings and stands elsewhere in the network.
    """
    if not isinstance(finding, Fault):
        return finding
    return Notice(
        topic=finding.topic,
        said=f"{finding.said} from here; the matcher got a fresh database all the same",
    )


def _ask(url: str, *, unverified: bool = False) -> str:
    """Return why a registry's front door is closed; empty: it is open."""
    context = ssl.create_default_context()
    if unverified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_S, context=context) as answer:  # noqa: S310 # http(s), built above
            status = answer.status
    except urllib.error.HTTPError as exc:
        with exc:
            status = exc.code
    except (OSError, ValueError) as exc:
        return str(getattr(exc, "reason", exc)) or type(exc).__name__
    return "" if status in _REGISTRY_ANSWERS else f"status {status}"
