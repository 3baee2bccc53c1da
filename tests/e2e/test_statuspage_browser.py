"""The status page in a real browser: nothing complains, the keyboard works, a phone shows it all.

Chromium is the host's, or Debian's unpacked into the cache. Its pictures are for eyes: a failing
test leaves its own in the test's folder.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from common.model.errors import PreconditionError
from common.model.redis_address import parse_redis_url
from common.ops.probes import ProbeServer
from common.overview.tables import tables_on
from common.overview.vulnerable import Pace
from common.settings.parse import parse
from sandbox.browser import chromium
from sandbox.devtools import Browser
from sandbox.valkey import Valkey
from tests.crowded import CVE, Crowd, fill, image_key, reference, reports_of
from tests.fixtures_sandbox import lacking
from watcher.site import status_site

pytestmark = pytest.mark.e2e

PHONE, DESK = (390, 844), (1280, 900)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One cluster's status page."""

    url: str
    crowd: Crowd

    @property
    def paths(self) -> list[str]:
        """A page of each sort."""
        found = ["/", "/workloads", "/images", "/queue?state=parked", "/history", "/search?q=cart"]
        if self.crowd.rows:
            row, key = self.crowd.rows[3], image_key(10)
            found += [
                f"/workload/{row.kind}/{row.namespace}/{row.name}",
                f"/image/{key.digest}/{key.platform}/{key.options}",
                f"/vulnerability/{CVE}",
            ]
        return found


@contextlib.contextmanager
def served(valkey: Valkey, redis: Redis, size: tuple[int, int]) -> Iterator[Served]:
    """Serve a cluster of so many workloads and images as the watcher does."""
    workloads, images = size
    tables = tables_on(redis, parse_redis_url(valkey.socket_url), f"e{secrets.token_hex(5)}")
    crowd = Crowd(rows=[], images=[])
    if workloads:
        crowd = fill(tables, workloads=workloads, images=images, trouble=True)
    pace = Pace(monotonic=time.monotonic, rest=threading.Event().wait)
    with (
        status_site(parse({}), tables, pace, reports=reports_of(crowd)) as site,
        ProbeServer("127.0.0.1", 0, site) as server,
    ):
        yield Served(url=f"http://127.0.0.1:{server.port}", crowd=crowd)


@pytest.fixture(scope="module")
def busy(valkey: Valkey, redis_client: Redis) -> Iterator[Served]:
    """Give a cluster in which some of everything is in trouble."""
    with served(valkey, redis_client, (400, 40)) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser, where this host can have one."""
    try:
        started = Browser(chromium(say=print))
    except PreconditionError as error:
        lacking(error)
    with started as made:
        yield made


@pytest.fixture
def quiet(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """Give the browser; whatever its console complained of fails the test."""
    browser.problems.clear()
    browser.view(*DESK)
    yield browser
    browser.picture(tmp_path / "last.png")
    assert browser.problems == []


def overflow(browser: Browser) -> int:
    """Return by how many pixels the page is wider than the window."""
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(browser.run(script))


def focused(browser: Browser) -> str:
    """Return what has the focus: its element, and where it leads or what it is called."""
    return str(
        browser.run("(e => `${e.tagName} ${e.name || e.textContent}`)(document.activeElement)")
    )


def test_every_page_loads_in_both_palettes_and_nothing_complains(
    quiet: Browser, busy: Served
) -> None:
    """A policy that forbids our own style, or a link that asks for something, is told here."""
    for dark in (False, True):
        quiet.view(*DESK, dark=dark)
        for path in busy.paths:
            quiet.go(busy.url + path)
            ground = quiet.run("getComputedStyle(document.body).backgroundColor")
            assert ground == ("rgb(15, 19, 24)" if dark else "rgb(255, 255, 255)"), path
            assert quiet.run("document.querySelectorAll('h1').length") == 1
            assert overflow(quiet) <= 0, path


def test_a_phone_shows_every_page_without_scrolling_to_the_side(
    quiet: Browser, busy: Served
) -> None:
    """People are called at night, and have a phone at hand."""
    quiet.view(*PHONE)
    for path in busy.paths:
        quiet.go(busy.url + path)
        assert overflow(quiet) <= 0, path
        hidden = quiet.run(
            "[...document.querySelectorAll('main td, main th[scope=row]')]"
            ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
        )
        assert hidden == 0, path


def test_a_hostile_name_widens_no_page(quiet: Browser, valkey: Valkey, redis_client: Redis) -> None:
    """A text without a place to break it, as long as texts are shown."""
    with served(valkey, redis_client, (0, 0)) as empty:
        quiet.view(*PHONE)
        for path in (f"/search?q={'x' * 200}", f"/workload/Pod/shop/{'y' * 253}"):
            quiet.go(empty.url + path)
            assert overflow(quiet) <= 0
    quiet.problems[:] = [each for each in quiet.problems if "404" not in each]


def test_the_search_works_by_keyboard_alone(quiet: Browser, busy: Served) -> None:
    """Tab to it, write, Enter, and on to what was found: no mouse, no script."""
    quiet.go(busy.url + "/")
    reached = []
    while "INPUT q" not in reached:
        quiet.press("Tab")
        reached.append(focused(quiet))
        assert len(reached) < 20
    assert reached[0] == "A To the content"
    quiet.write(CVE.lower())
    before = quiet.loaded
    quiet.press("Enter")
    quiet.wait_loaded(before)
    assert quiet.run("document.querySelector('h1').textContent") == CVE
    assert quiet.run("location.pathname") == f"/vulnerability/{CVE}"
    names = str(quiet.run("document.querySelector('main').textContent"))
    assert reference(10) in names
    script = "document.querySelector('main table a').focus()"
    quiet.run(script)
    before = quiet.loaded
    quiet.press("Enter")
    quiet.wait_loaded(before)
    assert str(quiet.run("location.pathname")).startswith("/image/sha256:")


def test_what_has_the_focus_is_seen(quiet: Browser, busy: Served) -> None:
    """Whoever goes by keyboard must know where they are."""
    quiet.go(busy.url + "/workloads")
    for _ in range(6):
        quiet.press("Tab")
        style = quiet.run("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", focused(quiet)


def test_without_scripts_everything_is_there(quiet: Browser, busy: Served) -> None:
    """They are often switched off where people have rights."""
    quiet.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        quiet.go(busy.url + "/workloads?state=parked")
    finally:
        quiet.call("Emulation.setScriptExecutionDisabled", value=False)
    rows = quiet.run("document.querySelectorAll('tbody tr').length")
    assert rows > 0


def test_tables_are_tables_for_those_who_hear_them(quiet: Browser, busy: Served) -> None:
    """A caption, heads with a scope, a name for each field and each picture."""
    for path in busy.paths:
        quiet.go(busy.url + path)
        assert quiet.run("[...document.querySelectorAll('table')].every(t => t.caption)"), path
        assert quiet.run("[...document.querySelectorAll('th')].every(t => t.scope)"), path
        assert quiet.run(
            "[...document.querySelectorAll('input:not([type=hidden])')]"
            ".every(i => i.labels.length || i.ariaLabel)"
        ), path
        assert quiet.run("[...document.querySelectorAll('svg')].every(s => s.ariaLabel)"), path


def test_the_page_can_be_printed(quiet: Browser, busy: Served) -> None:
    """For a report: light, and without what can only be clicked."""
    quiet.view(*DESK, dark=True, media="print")
    quiet.go(busy.url + "/")
    assert quiet.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert quiet.run("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_five_thousand_workloads_load(quiet: Browser, valkey: Valkey, redis_client: Redis) -> None:
    """Pages stay as small as those of a small cluster, and all of it is reached by links."""
    with served(valkey, redis_client, (5_000, 500)) as big:
        for path in big.paths:
            with urllib.request.urlopen(big.url + path, timeout=60) as answer:  # noqa: S310 # loopback HTTP
                assert len(answer.read()) < 150_000, path
        quiet.go(big.url + "/")
        assert "of 5,000 workloads" in str(quiet.run("document.body.textContent"))
        quiet.go(big.url + "/workloads")
        assert "Page 1 of 50" in str(quiet.run("document.body.textContent"))
        for _ in range(2):
            before = quiet.loaded
            quiet.run("[...document.links].find(a => a.textContent == 'Next').click()")
            quiet.wait_loaded(before)
        assert quiet.run("location.search") == "?page=3"
        assert quiet.run("document.querySelectorAll('tbody tr').length") == 100
        quiet.view(*PHONE)
        quiet.go(big.url + "/workloads?namespace=shop")
        assert overflow(quiet) <= 0


def test_a_page_of_an_empty_cluster_loads(
    quiet: Browser, valkey: Valkey, redis_client: Redis
) -> None:
    """The first thing that a new user opens."""
    with served(valkey, redis_client, (0, 0)) as empty:
        for path in empty.paths:
            quiet.go(empty.url + path)
            assert overflow(quiet) <= 0
