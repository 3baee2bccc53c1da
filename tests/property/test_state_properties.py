"""Names and records hold for every value, not only for the examples."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from common.model.image import ImageRecord
from common.model.key import WORKLOAD_KINDS, ClusterKey, ImageKey, WorkKey, WorkloadKey
from common.state.images import pack, unpack_record
from common.state.names import Names
from common.state.settled import SettledRow, decode_settled
from tests.queue_values import inventory, match

text = st.text(
    st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["Cs"]), min_size=1
)
keys: st.SearchStrategy[WorkKey] = st.one_of(
    st.builds(WorkloadKey, kind=st.sampled_from(WORKLOAD_KINDS), namespace=text, name=text),
    st.builds(
        ImageKey,
        digest=st.integers(0, 2**256 - 1).map(lambda number: f"sha256:{number:064x}"),
        platform=st.sampled_from(["linux-amd64", "linux-arm-v7", "windows-amd64"]),
        options=text,
    ),
    st.builds(ClusterKey, what=text),
)
NAMES = Names("c1")


@given(keys)
def test_every_key_survives_its_job_id(key: WorkKey) -> None:
    """A key that came back different would be another workload's."""
    job = NAMES.job_id(key)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", job)
    assert NAMES.key_of(job) == key


@given(keys, keys)
def test_two_keys_never_share_a_job(one: WorkKey, other: WorkKey) -> None:
    """Sharing would be Trap 7 in the queue: two workloads that run as one."""
    assert (NAMES.job_id(one) == NAMES.job_id(other)) == (one == other)


@given(st.lists(st.text(max_size=20), max_size=20), st.text(max_size=50))
def test_a_record_survives_its_stored_form(ids: list[str], target: str) -> None:
    """What is stored compressed is what was found."""
    stored = unpack_record(pack(inventory(target)), pack(match(*ids)), b"")
    assert stored == ImageRecord(inventory=inventory(target), match=match(*ids))


@given(st.floats(0, 1e10), st.integers(0, 2**53))
def test_a_settled_row_survives_its_stored_form(at: float, epoch: int) -> None:
    """The script puts Redis' time in front of the JSON."""
    body = f'{{"fingerprint":"f","epoch":{epoch},"outcome":"Gone","reports":{{"a":"b"}}}}'
    row = decode_settled(f"{at:.3f} {body}".encode())
    expected = SettledRow(
        fingerprint="f", epoch=epoch, outcome="Gone", at=round(at, 3), reports={"a": "b"}
    )
    assert row == expected
