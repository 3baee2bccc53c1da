"""What a ConfigMap may say never ends who builds itself from it."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from common.settings.operator_keys import MAPS, OPERATOR_MAP, SIMPLE, TRIVY_MAP
from common.settings.overlay import choose
from watcher.compose import fold_options, streams_of, verification
from worker.evidence.image.access import Accesses
from worker.evidence.image.java_database import JavaSource
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.vulnerability_database import DatabaseSource
from worker.filtering import Filtering
from worker.parts import report_kinds, scan_digests, scan_options

NAMES = ("UPPER CASE", "a/b", "r.example:5000/x", "r.example/db:2,ghcr.io/x", "@", "-", "a//b")
text = st.one_of(
    st.sampled_from([*NAMES, "true", "os", "*", "**/[", "a=b", "{}", "CVE-1", "x" * 300]),
    st.text(max_size=20),
)
keys = st.sampled_from(
    [
        *SIMPLE[OPERATOR_MAP],
        *SIMPLE[TRIVY_MAP],
        "trivy.registry.mirror.docker.io",
        "trivy.registry.mirror.ghcr.io/team",
        "trivy.insecureRegistry.a",
        "trivy.nonSslRegistry.b",
        "OPERATOR_EXCLUDE_NAMESPACES",
        "OPERATOR_TARGET_NAMESPACES",
        "OPERATOR_SCANNER_REPORT_TTL",
    ]
)


@given(st.fixed_dictionaries(dict.fromkeys(MAPS, st.dictionaries(keys, text, max_size=8))))
def test_what_is_taken_can_be_built(found: dict[str, dict[str, str]]) -> None:
    """What a format lets through and a constructor refuses would be a crash loop."""
    settings = choose({}, found, namespace="trivy-system").settings
    Accesses.of_settings(settings)
    DatabaseSource.of_settings(settings, HttpRegistry())
    JavaSource.of_settings(settings)
    Filtering(settings).at(time.time())
    scan_digests(scan_options(settings))
    report_kinds(settings)
    options = fold_options(settings)
    assert options.selection is not None
    streams_of(settings)
    verification(settings)
