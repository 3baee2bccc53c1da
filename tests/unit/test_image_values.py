"""What is stored about images outlives releases: older records decode, and mean the same."""

from __future__ import annotations

import msgspec
import pytest

from common.model.image import ImageUse, Match

# As the first release wrote them.
USE = (
    b'{"workload":"workload/Pod/shop/web","reference":"app:1","namespace":"shop",'
    b'"service_account":"default","pull_secrets":[],"kubelet_ran_it":false}'
)
MATCH = (
    b'{"db_version":"1","findings":[{"vulnerability_id":"CVE-1","resource":"zlib",'
    b'"installed_version":"1.0","severity":"HIGH"}]}'
)
MATCH_HASH = "975d873f89fac4b97e9f70f505b22307"


def test_an_older_use_decodes_and_is_the_same_use() -> None:
    """Redis holds one for each image of each workload."""
    found = msgspec.json.decode(USE, type=ImageUse)
    assert found == ImageUse(workload="workload/Pod/shop/web", reference="app:1", namespace="shop")
    assert (found.skip_files, found.skip_dirs) == (None, None)


def test_an_older_match_decodes_and_hashes_as_it_did() -> None:
    """Another hash would wake every workload of the cluster for nothing."""
    found = msgspec.json.decode(MATCH, type=Match)
    assert msgspec.json.encode(found) == MATCH
    assert found.findings_hash == MATCH_HASH
    assert (found.findings[0].own_severity, found.findings[0].status) == ("", "")


@pytest.mark.parametrize(
    "more", [{"own_severity": "LOW"}, {"status": "affected"}, {"cwe_ids": ("CWE-79",)}]
)
def test_what_a_filter_goes_by_is_part_of_the_findings_hash(more: dict[str, str]) -> None:
    """A finding that became `will_not_fix` may leave the report: the workload must hear of it."""
    (finding,) = msgspec.json.decode(MATCH, type=Match).findings
    changed = Match(db_version="1", findings=(msgspec.structs.replace(finding, **more),))
    assert changed.findings_hash != MATCH_HASH
    assert msgspec.json.decode(msgspec.json.encode(changed), type=Match) == changed
