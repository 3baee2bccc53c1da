"""When findings were verified: the words of `status` and `history`, and the metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common.model.image import ImageState
from common.model.key import ImageKey
from common.overview.verified import described, said, shown
from watcher.image_ages import ImageAges
from watcher.imagesweep import Ages

NOW_S = 1_795_590_000.0


def _key(number: int) -> ImageKey:
    return ImageKey(digest=f"sha256:{number:064x}", platform="linux-amd64", options="0")


def _image(number: int, age_s: float | None, database: str = "db1") -> ImageState:
    at = None if age_s is None else NOW_S - age_s
    return ImageState(key=_key(number), used=True, database=database, verified_at=at)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([], "no image is known"),
        ([None], "none of 1 image yet"),
        ([NOW_S - 60], "1 image within the last 1m"),
        ([NOW_S - 60, None, NOW_S - 7200], "3 images within the last 2h, 1 not yet"),
    ],
)
def test_status_tells_the_oldest(times: list[float | None], words: str) -> None:
    """One old image among thousands of new ones is what somebody looks for."""
    assert shown(described(times, now_s=NOW_S)) == words


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], ""),
        ([_image(1, None)], "Findings not verified yet."),
        ([_image(1, 720)], "Findings verified 12m ago, by database db1."),
        (
            [_image(1, 720), _image(2, 60)],
            "Findings of 2 images verified 12m ago or later, by database db1.",
        ),
        (
            [_image(1, 720), _image(2, 60, "db2"), _image(3, None, "")],
            "Findings of 3 images verified 12m ago or later, 1 not yet, by database db1 and db2.",
        ),
    ],
)
def test_history_tells_when_and_by_which_database(images: list[ImageState], words: str) -> None:
    """Who asks why a finding is missing wants to know what was looked at, and when."""
    assert said(images, now_s=NOW_S) == words


class _Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def _page(ages: ImageAges) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ages)
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_metrics_tell_the_ages_as_they_are_at_the_scrape() -> None:
    """A watcher whose sweeps stop must not serve young ages for ever."""
    clock = _Clock()
    metrics = ImageAges(monotonic_s=clock)
    assert _page(metrics) == {}
    ages = Ages(
        verified_at={_key(n): NOW_S - n for n in range(1, 101)},
        never={_key(0)},
        overdue={_key(100), _key(0)},
    )
    metrics.seen(ages, redis_ahead_s=NOW_S - clock.now_s)
    clock.now_s += 10
    age = "sluice_image_verified_age_seconds"
    assert _page(metrics) == {
        'sluice_images{verified="in_time"}': 99,
        'sluice_images{verified="overdue"}': 1,
        'sluice_images{verified="never"}': 1,
        f'{age}{{share="0.5"}}': 60,
        f'{age}{{share="0.9"}}': 100,
        f'{age}{{share="0.99"}}': 109,
        f'{age}{{share="1"}}': 110,
    }
