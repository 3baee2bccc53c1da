"""Where the Java index comes from, as a worker tells it to the scanner with each job.

The scanner cannot follow a setting that changes in the cluster: it has neither token nor Redis. The
login is its own, from its own files, for the registry that it is told.
"""

from __future__ import annotations

import msgspec

from common.model.refs import parse_reference
from common.settings.value import Settings
from worker.evidence.image.access import Accesses
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.vulnerability_database import DatabaseSource


class JavaOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Names and transport only."""

    repository: str = ""  # empty: Trivy's default
    insecure: bool = False
    registry: str = ""  # of the repository
    login_registry: str = ""  # the one that the databases' login is for

    @classmethod
    def of_settings(cls, settings: Settings) -> JavaOrigin:
        """Return where the settings say; raises BadReferenceError."""
        text = settings.trivy.java_db_repository
        accesses = Accesses.of_databases(settings)
        if not text:
            return cls(insecure=accesses.insecure)
        reference = parse_reference(text.partition(",")[0].strip())
        return cls(
            repository=text,
            insecure=accesses.of(reference).insecure,
            registry=reference.registry,
            login_registry=DatabaseSource.of_settings(settings, HttpRegistry()).first_registry,
        )
