"""Which images a sweep brings back: what was lost, what is older than the database, or the TTL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.model.image import ImageState
from common.model.key import ImageKey, match_key
from common.queue.contract import Add, Lane
from common.settings.parse import parse
from common.settings.window import read_window
from common.state.database import DatabaseRow
from tests.fakes.watch_tables import FakeTables
from tests.folding import folded
from watcher.compose import verification
from watcher.decide.images import LEAST_TTL_S, Verification, due, overdue
from watcher.sweeper import SLICE_KEYS, Ports, Sweep

DAY_S = 86_400.0
TEN_MINUTES_S = 600.0
NOW_S = 20_000 * DAY_S  # a midnight
RULES = Verification(ttl_s=DAY_S, window=None, sweep_interval_s=TEN_MINUTES_S, foreign_server=False)
DB = "db2"


def _key(number: int = 1) -> ImageKey:
    return ImageKey(digest=f"sha256:{number:064x}", platform="linux-amd64", options="0")


def _true(number: int = 1, *, verified_ago_s: float | None = 0.0) -> ImageState:
    """Return an image of which nothing is to be doubted but perhaps its age."""
    return ImageState(
        key=_key(number),
        used=True,
        has_inventory=True,
        has_match=True,
        database=DB,
        verified_at=None if verified_ago_s is None else NOW_S - verified_ago_s,
    )


def _causes(
    *images: ImageState, rules: Verification = RULES, database: str = DB, now_s: float = NOW_S
) -> list[tuple[str, str]]:
    found = due(images, rules, database=database, now_s=now_s)
    assert [one.image for one in found] == [image.key for image in images][: len(found)]
    return [(str(one.key).partition("/")[0], one.cause) for one in found]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (_true(), []),
        (replace(_true(), used=False, database="db1"), []),
        (replace(_true(), database="db1"), [("match", "DatabaseOlder")]),
        (replace(_true(), database="db1", match_queued=True), []),
        # An image that waits for a registry must not keep its findings from being true.
        (replace(_true(), database="db1", image_queued=True), [("match", "DatabaseOlder")]),
        (replace(_true(), has_match=False), [("match", "ImageLost")]),
        (replace(_true(), has_match=False, image_queued=True), []),
        (replace(_true(), has_match=False, match_queued=True), []),
        (replace(_true(), has_inventory=False, has_match=False), [("image", "ImageLost")]),
        (replace(_true(), has_inventory=False, image_queued=True), []),
        (replace(_true(), fails=True), [("image", "ImageLost")]),
        (replace(_true(), fails=True, image_queued=True), []),
        (replace(_true(), fails=True, match_queued=True), []),
        (
            replace(_true(), fails=True, image_queued=True, database="db1"),
            [("match", "DatabaseOlder")],
        ),
    ],
)
def test_an_image_in_use_is_true_or_stands_in_the_queue(
    image: ImageState, expected: list[tuple[str, str]]
) -> None:
    """Law 7: whatever was deleted from the queue, a sweep finds what it stood for."""
    assert _causes(image) == expected


def test_before_the_first_database_nothing_is_due() -> None:
    """Its publication queues every image; until then runs would end where they began."""
    lost = replace(_true(), has_match=False)
    assert _causes(lost, database="") == []


def test_somebody_elses_match_server_publishes_no_database() -> None:
    """Ours, if there is one too, is of no meaning for what that one found."""
    rules = replace(RULES, foreign_server=True)
    assert _causes(_true(), rules=rules, database="") == []
    assert _causes(_true(), rules=rules, database="db3") == []
    assert _causes(replace(_true(), has_match=False), rules=rules, database="") == [
        ("match", "ImageLost")
    ]
    assert _causes(_true(verified_ago_s=DAY_S), rules=rules, database="") == [
        ("match", "Unverified")
    ]


def test_an_image_is_verified_within_its_ttl_and_not_sooner_than_needed() -> None:
    """A fifth of the TTL is for spreading; what is younger rests."""
    assert _causes(_true(verified_ago_s=DAY_S * 0.75)) == []
    assert _causes(_true(verified_ago_s=DAY_S - 2 * TEN_MINUTES_S)) == [("match", "Unverified")]
    assert _causes(_true(verified_ago_s=None)) == [("match", "Unverified")]
    assert _causes(_true(verified_ago_s=None), rules=replace(RULES, ttl_s=None)) == []


def test_images_of_equal_age_do_not_expire_together() -> None:
    """Pain point 38: after a database update all are of one age."""
    images = [_true(number) for number in range(500)]
    taken: list[int] = []
    left = images
    for sweep in range(150):
        now_s = NOW_S + sweep * TEN_MINUTES_S
        found = {one.image for one in due(left, RULES, database=DB, now_s=now_s)}
        taken.append(len(found))
        left = [image for image in left if image.key not in found]
        if not left:
            break
    assert max(taken) <= 500 * 0.1
    assert sweep * TEN_MINUTES_S < DAY_S


def test_a_ttl_of_a_second_counts_as_an_hour() -> None:
    """Pain point 38: a TTL shorter than a scan makes every sweep bring everything back."""
    rules = replace(RULES, ttl_s=1.0)
    assert _causes(_true(verified_ago_s=TEN_MINUTES_S), rules=rules) == []
    assert _causes(_true(verified_ago_s=LEAST_TTL_S), rules=rules) == [("match", "Unverified")]


def test_overdue_is_what_the_ttl_promised() -> None:
    """The metric must not count what is only due early, nor what nobody uses."""
    assert not overdue(_true(verified_ago_s=DAY_S), RULES, now_s=NOW_S)
    assert overdue(_true(verified_ago_s=DAY_S + 1), RULES, now_s=NOW_S)
    assert overdue(_true(verified_ago_s=None), RULES, now_s=NOW_S)
    assert not overdue(replace(_true(verified_ago_s=None), used=False), RULES, now_s=NOW_S)


NIGHTLY = replace(RULES, window=read_window("0 22 * * * 6h"))


def test_outside_of_the_window_age_brings_nothing_back() -> None:
    """What was lost does not wait for the night."""
    noon = NOW_S + 12 * 3600
    assert _causes(_true(verified_ago_s=5 * DAY_S), rules=NIGHTLY, now_s=noon) == []
    assert _causes(replace(_true(), database="db1"), rules=NIGHTLY, now_s=noon) == [
        ("match", "DatabaseOlder")
    ]


def test_a_window_is_used_as_a_whole_and_each_image_once_in_it() -> None:
    """Ten thousand images at 22:00 sharp are what the window is meant to prevent elsewhere."""
    images = {_key(n): _true(n, verified_ago_s=5 * DAY_S) for n in range(200)}
    taken: list[int] = []
    opens_s = NOW_S + 22 * 3600
    for sweep in range(-6, 80):
        now_s = opens_s + sweep * TEN_MINUTES_S
        found = due(images.values(), NIGHTLY, database=DB, now_s=now_s)
        taken.append(len(found))
        for one in found:
            images[one.image] = replace(images[one.image], verified_at=now_s)
    assert sum(taken) == 200
    assert taken[:6] == [0] * 6
    assert max(taken) <= 20
    assert sum(taken[: 6 + 36]) == 200  # before it closed


# After what time at most an image's turn comes again: one that came in the first minute of an
# opening may have its turn in the last of the next one. 0: always before its TTL ends.
COMES_BACK_H = {
    "0 22 * * * 6h": 30.0,
    "* * * * * 6h": 0.0,
    "0 0 * * * 24h": 0.0,
    "*/30 * * * * 12m": 0.0,
    "0 */2 * * * 90m": 3.5,
}


@settings(max_examples=30)
@given(
    window=st.sampled_from(sorted(COMES_BACK_H)),
    ttl_h=st.sampled_from([1, 6, 24, 30]),
    number=st.integers(0, 10_000),
    born_h=st.floats(0, 24),
)
def test_no_image_is_older_than_its_ttl_where_windows_allow_it(
    window: str, ttl_h: int, number: int, born_h: float
) -> None:
    """Whatever the window: no sweep in it leaves anything that would expire before the next one.

    Where it comes less often than the TTL asks for, each image is verified once in each.
    """
    parsed = read_window(window)
    assert parsed is not None
    rules = replace(RULES, ttl_s=ttl_h * 3600.0, window=parsed)
    image = _true(number, verified_ago_s=-born_h * 3600)
    first = last = NOW_S + born_h * 3600
    longest_s, checks = 0.0, 0
    for sweep in range(2 * 144):
        now_s = first + sweep * TEN_MINUTES_S
        if due([image], rules, database=DB, now_s=now_s):
            longest_s, last, checks = max(longest_s, now_s - last), now_s, checks + 1
            image = replace(image, verified_at=now_s)
    longest_s = max(longest_s, now_s - last)
    assert longest_s <= max(ttl_h, COMES_BACK_H[window]) * 3600
    assert checks <= 2 * 24 / ttl_h / 0.3 + 4


def _sweep(tables: FakeTables) -> Sweep:
    ports = Ports(
        queue=tables,
        rows=tables,
        settled=tables,
        known=folded(),
        references=tables,
        images=tables.images,
    )
    return Sweep(ports, fence=tables.fence, epoch=0, now_s=NOW_S)


def test_a_sweep_adds_lost_images_in_bulk_and_within_its_allowance() -> None:
    """Fresh work goes first, however many re-matches somebody deleted."""
    tables = FakeTables(database=DatabaseRow(version=DB, server_url="http://m"))
    images = [replace(_true(n), database="db1") for n in range(SLICE_KEYS + 9)]
    tables.states_of = {image.key: image for image in images}
    tables.add([Add(key=match_key(_key(3)))])
    sweep = _sweep(tables)
    while sweep.step(100):
        assert len(tables.adds) <= len(images)
    assert [add.key for add in tables.adds] == [
        match_key(_key(3)),
        *(match_key(image.key) for image in images if image.key != _key(3)),
    ]
    assert {(add.lane, add.delay_s) for add in tables.adds[1:]} == {(Lane.BULK, 0.0)}
    assert sweep.tally.causes == {"DatabaseOlder": len(images) - 1}


def test_a_sweep_counts_how_old_what_is_known_of_images_is() -> None:
    """What the metric shows is what the sweep saw."""
    tables = FakeTables(database=DatabaseRow(version=DB, server_url="http://m"))
    tables.verification = RULES
    images = [
        _true(1, verified_ago_s=60.0),
        _true(2, verified_ago_s=DAY_S + 1),
        _true(3, verified_ago_s=None),
        replace(_true(4), used=False),
    ]
    tables.states_of = {image.key: image for image in images}
    sweep = _sweep(tables)
    while sweep.step(100):
        pass
    ages = sweep.tally.ages
    assert ages.verified_at == {_key(1): NOW_S - 60, _key(2): NOW_S - DAY_S - 1}
    assert (ages.never, ages.overdue) == ({_key(3)}, {_key(2), _key(3)})


def test_a_window_between_two_sweeps_lasts_until_the_next_one() -> None:
    """Five minutes every night would be missed by half of the sweeps, and nobody would see why."""
    rules = verification(parse({"SLUICE_RESCAN_WINDOW": "0 22 * * * 5m"}))
    assert rules.window is not None
    assert rules.window.duration_s > parse({}).pipeline.sweep_interval_s * 1.1
    assert verification(parse({"SLUICE_RESCAN_WINDOW": "0 22 * * * 6h"})) == NIGHTLY
