"""What every pool of a worker shares: Redis, API server, policies, credentials, one clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, TypeVar

from common.kube.credentials import Credentials
from common.kube.identity import own_namespace
from common.kube.session import Api, Session
from common.model.circuit import changed_circuits
from common.model.errors import DatabaseNotReadyError
from common.model.policies import changed_policies
from common.model.workload import WorkloadRow
from common.ops.match_token import TokenFile, token_file
from common.reports.catalog import EXPOSED_SECRET_REPORT, SBOM_REPORT, VULNERABILITY_REPORT
from common.settings.value import Settings
from common.state.budget import BudgetTable
from common.state.circuits import CircuitTable
from common.state.clock import RedisClock
from common.state.connect import Client
from common.state.database import DatabaseTable
from common.state.epoch import EpochTable, Generation, Published, digest_at
from common.state.names import Names
from worker.evidence.image.access import Accesses
from worker.evidence.image.credential_provider import ExecProviders, load
from worker.evidence.image.credentials import Keyring, KeyringConfig, NoProviders, Providers
from worker.evidence.image.options import ScanOptions
from worker.guard import Guard, GuardedApi
from worker.judge import Judge

# How old a value that all keys share may be: the epoch and the match server's address change a
# few times a day, and a key that meets an old one is corrected by the next sweep.
_SHARED_S = 1.0

T = TypeVar("T")
# Where the tables are: a client and the names of one cluster in it.
Store: TypeAlias = tuple[Client, Names]


def recent(
    read: Callable[[], T], *, clock: Callable[[], float] = time.monotonic
) -> Callable[[], T]:
    """Return `read` with its last answer kept for a second; threads may read twice at once.

    None is not kept: what waits for the first answer is woken by it, and must see it then.
    """
    kept: tuple[float, T] | None = None

    def get() -> T:
        nonlocal kept
        now = clock()
        if kept is None or kept[1] is None or now - kept[0] > _SHARED_S:
            kept = (now, read())
        return kept[1]

    return get


def published(read: Callable[[], Published]) -> Callable[[], Published]:
    """Return `read` with its last answer kept, once there is one.

    The first rows come right behind the first epoch: who still believes that there is none would
    settle them under 0, and the next sweep would run them once more.
    """

    def known() -> Published | None:
        found = read()
        return found if found.number else None

    get = recent(known)
    return lambda: get() or Published(0, "")


def scan_options(settings: Settings) -> ScanOptions:
    """Return what Trivy looks for; one value for the whole cluster."""
    scanners = ("vuln", "secret") if settings.scanners.exposed_secret else ("vuln",)
    return ScanOptions(
        scanners=scanners,
        skip_files=settings.reports.skip_files,
        skip_dirs=settings.reports.skip_dirs,
        sbom=settings.scanners.sbom,
    )


def scan_digests(options: ScanOptions) -> Callable[[WorkloadRow], str]:
    """Return what tells the options' digest for a workload, whose annotations count."""
    plain = options.digest()

    def digest(row: WorkloadRow) -> str:
        if row.skips is None:
            return plain
        return options.chosen_digest(row.skips.files, row.skips.dirs)

    return digest


def report_kinds(settings: Settings) -> frozenset[str]:
    """Return the kinds that are switched on."""
    switches = {
        VULNERABILITY_REPORT: settings.scanners.vulnerability,
        EXPOSED_SECRET_REPORT: settings.scanners.exposed_secret,
        SBOM_REPORT: settings.scanners.sbom,
    }
    return frozenset(kind for kind, on in switches.items() if on)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What both pools share: one Redis, one API server, one policy, one clock."""

    settings: Settings
    store: Store
    session: Session
    draw: Callable[[], float]  # in [0, 1)
    environ: Mapping[str, str] = field(default_factory=dict)  # for programs that we start

    @cached_property
    def circuits(self) -> CircuitTable:
        """Return the circuits that all workers share."""
        changes = self.settings.pipeline.circuit_policies
        return CircuitTable(*self.store, policies=changed_circuits(changes))

    @cached_property
    def guard(self) -> Guard:
        """Return what stands before every source."""
        return Guard(circuits=self.circuits)

    @cached_property
    def budgets(self) -> BudgetTable:
        """Return how much registries may be asked for."""
        return BudgetTable(*self.store, self.settings.limits, draw=self.draw)

    @cached_property
    def judge(self) -> Judge:
        """Return what decides about failed runs."""
        return Judge(
            circuits=self.circuits,
            draw=self.draw,
            policies=changed_policies(self.settings.pipeline.error_policies),
        )

    @cached_property
    def api(self) -> Api:
        """Return the API server under its circuit."""
        return GuardedApi(api=self.session, guard=self.guard)

    @cached_property
    def generation(self) -> Generation:
        """Return the generation that this worker belongs to."""
        digest = digest_at(self.settings, RedisClock(*self.store))
        return Generation(published(EpochTable(*self.store).published), recent(digest))

    @cached_property
    def accesses(self) -> Accesses:
        """Return how registries are reached."""
        return Accesses.of_settings(self.settings)

    @cached_property
    def keyring(self) -> Keyring:
        """Return the pull credentials of this cluster."""
        chosen = self.settings.credentials
        return Keyring(
            Credentials(self.api),
            KeyringConfig(
                accesses=self.accesses,
                shared=dict(chosen.registry_secrets),
                operator_namespace=own_namespace(chosen.everybodys_namespace),
                workload_secrets=chosen.workload_secrets,
            ),
            self.providers,
        )

    @cached_property
    def providers(self) -> Providers:
        """Return the programs that give credentials; raises SettingsError."""
        chosen = self.settings.credentials
        if not chosen.provider_config:
            return NoProviders()
        found = load(chosen.provider_config, chosen.provider_bin_dir)
        return ExecProviders(found, self.environ)


def match_token(settings: Settings) -> TokenFile:
    """Return where the match server's token is."""
    trivy = settings.trivy
    return token_file(trivy.token_file, settings.ops.data_dir, foreign=bool(trivy.server_url))


def match_server(settings: Settings, store: Store) -> Callable[[], str]:
    """Return how to find the match server: the setting, else what the matcher announced."""
    if settings.trivy.server_url:
        return lambda: settings.trivy.server_url
    read = recent(DatabaseTable(*store).current)

    def find() -> str:
        row = read()
        if row is None:
            raise DatabaseNotReadyError(
                "no match server has announced a vulnerability database yet; "
                "is a worker of pool `match` running?"
            )
        return row.server_url

    return find
