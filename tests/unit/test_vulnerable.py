"""The look through images for a vulnerability: its names, its turns, its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from common.model.brief import BriefFinding
from common.model.key import ImageKey
from common.overview.vulnerable import LOOK_S, Look, Pace, look_through, name_of, packages
from tests.crowded import image_key


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CVE-2024-12345", "CVE-2024-12345"),
        ("cve-2024-12345", "CVE-2024-12345"),
        ("ghsa-AAAA-bbbb-cccc", "GHSA-aaaa-bbbb-cccc"),
        ("RHSA-2024:1234", "RHSA-2024:1234"),
        ("TEMP-0841856-B18BAF", "TEMP-0841856-B18BAF"),
        ("nginx-1.27", ""),
        ("frontend-0001-7d9c", ""),
        ("CVE-", ""),
        ("", ""),
        ('CVE-2024-1"', ""),
        ("CVE-2024-1\n", ""),
        ("CVE-" + "1" * 90, ""),
    ],
)
def test_names_of_vulnerabilities_are_told_from_others(text: str, name: str) -> None:
    """One search field for all; and what is looked for in JSON must need no escape there."""
    assert name_of(text) == name


FINDING = BriefFinding(vulnerability_id="CVE-1-1", resource="musl", installed_version="1")
KEYS = [image_key(number) for number in range(1_000)]
HAVE = frozenset(KEYS[::10])


class Images:
    """Images of which every tenth has it; each look takes a tenth of a second."""

    def __init__(self, have: Collection[ImageKey] = HAVE) -> None:
        self._have = have
        self.now_s = 0.0
        self.asked: list[int] = []
        self.rests: list[float] = []

    def findings(
        self, keys: Sequence[ImageKey], vulnerability: str
    ) -> list[Sequence[BriefFinding] | None]:
        """Return what is known."""
        assert vulnerability == "CVE-1-1"
        self.asked.append(len(keys))
        self.now_s += 0.1
        return [[FINDING] if key in self._have else [] for key in keys]

    @property
    def pace(self) -> Pace:
        """The clock, and rests that are noted."""
        return Pace(monotonic=lambda: self.now_s, rest=self.rests.append)


def look(images: Images, after: str = "") -> Look:
    """Return one look."""
    return look_through(images, KEYS, "CVE-1-1", after=after, pace=images.pace)


def test_looks_together_see_each_image_once() -> None:
    """However often one ends before it is through."""
    images, found, after, looked = Images(), [], "", 0
    while True:
        one = look(images, after)
        found += [key for key, _ in one.found]
        looked += one.looked
        after = one.after
        if not after:
            assert one.left == 0
            break
    assert looked == 1_000
    assert sorted(found) == sorted(HAVE)
    assert len(found) == len(set(found))


def test_a_look_ends_in_time_reads_little_at_once_and_rests_as_long_as_it_works() -> None:
    """Its thread shares the interpreter with the one that watches the cluster."""
    images = Images()
    one = look(images)
    assert images.now_s <= LOOK_S + 0.1
    assert max(images.asked) <= 8
    assert images.rests == pytest.approx([0.1] * len(images.asked))
    assert one.left == 1_000 - one.looked > 0


def test_an_answer_that_is_full_ends_the_look() -> None:
    """A vulnerability that everything has fills no page of thousands."""
    one = look(Images(frozenset(KEYS)))
    assert 50 <= len(one.found) < 58


def test_no_image_is_no_look() -> None:
    """An empty cluster."""
    images = Images()
    one = look_through(images, [], "CVE-1-1", after="", pace=images.pace)
    assert (one.looked, one.left, one.after) == (0, 0, "")


def test_packages_are_told_once_and_not_without_end() -> None:
    """A Java archive may stand in a hundred places."""
    many = [FINDING, FINDING]
    assert len(packages(many)) == 1
    places = [
        BriefFinding(vulnerability_id="CVE-1-1", resource=f"r{number}", installed_version="1")
        for number in range(500)
    ]
    assert len(packages(places)) == 50
