"""Lists, searches and single pages over a real Valkey: what they find."""

from __future__ import annotations

import json
from urllib.parse import urljoin

import msgspec
import pytest

from common.overview.tables import Tables
from common.overview.vulnerable import Pace
from common.queue.contract import Add
from common.state.fence import FenceTable
from tests.browsing import Browse, browsing
from tests.cli_values import row
from tests.crowded import CVE, IMAGES, MISSING, WORKLOADS, Crowd, image_key, reference
from tests.statussite import Elements

pytestmark = pytest.mark.integration

# --- workloads


def test_every_workload_is_listed_once_by_following_the_pages(browse: Browse, crowd: Crowd) -> None:
    """A list that loses one at the seam hides just the one that somebody looks for."""
    found: list[str] = []
    for page in range(1, 4):
        listed = browse.json(f"/workloads.json?page={page}")["workloads"]
        found += [f"{one['kind']}/{one['namespace']}/{one['name']}" for one in listed]
    assert sorted(found) == sorted(each.key.shown for each in crowd.rows)
    assert browse.json("/workloads.json?page=4")["workloads"] == []
    assert "Page 1 of 3 Next Last" in browse.page("/workloads").text


def test_what_needs_eyes_stands_first_and_can_be_chosen(browse: Browse) -> None:
    """Somebody opens the list because something is wrong."""
    document = browse.json("/workloads.json")
    states = document["states"]
    assert list(states)[:3] == ["parked", "retried", "failed"]
    assert sum(states.values()) == document["total"] == WORKLOADS
    assert document["workloads"][0]["state"] == "parked"
    chosen = browse.json("/workloads.json?state=failed")
    assert {one["state"] for one in chosen["workloads"]} == {"failed"}
    assert chosen["total"] == states["failed"]
    assert chosen["states"] == states  # the other states stay reachable
    assert "failed ImageNotFound" in browse.page("/workloads?state=failed").text


def test_a_namespace_and_a_part_of_a_name_choose(browse: Browse, crowd: Crowd) -> None:
    """Teams look at their own."""
    found = browse.json("/workloads.json?namespace=shop&q=FRONTEND-00&limit=1000")
    wanted = [
        each.key.shown
        for each in crowd.rows
        if each.namespace == "shop" and "frontend-00" in each.key.shown
    ]
    assert found["total"] == len(wanted) > 0
    text = browse.page("/workloads?namespace=shop&q=FRONTEND-00").text
    assert all(name in text for name in wanted)
    assert browse.page("/workloads?namespace=nobody").text.count("No such workload.") == 1


def test_a_workloads_page_tells_its_story_its_image_and_its_reports(
    browse: Browse, crowd: Crowd
) -> None:
    """From a name to everything that is known of it, without a terminal."""
    one = crowd.rows[40]
    path = f"/workload/{one.kind}/{one.namespace}/{one.name}"
    text = browse.page(path).text
    assert f"Deployment/{one.namespace}/{one.top_name}" in text
    assert "Everything about it is true now." in text
    assert reference(0) in text
    assert f"VulnerabilityReport/replicaset-{one.name}-app app 13 12 12 24 0" in text
    document = browse.json(f"{path}.json")
    assert (document["state"], document["exists"], document["queue"]) == ("true", True, None)
    assert document["images"][0]["digest"] == image_key(0).digest
    assert document["settled"]["as_it_is_now"] is True
    assert document["facts"][0]["said"].startswith("Everything about it is true now")
    assert f"image/{image_key(0).digest}" in " ".join(
        value or "" for name, value in browse.page(path).attributes if name == "href"
    )


@pytest.mark.parametrize(
    ("number", "state", "said"),
    [
        (3, "parked", "TooLarge"),
        (9, "retried", "SourceUnavailable"),
        (7, "failed", "ImageNotFound"),
    ],
)
def test_a_workload_in_trouble_says_which_and_what_comes_next(
    browse: Browse, crowd: Crowd, number: int, state: str, said: str
) -> None:
    """The list and the page must not tell two stories."""
    key = crowd.rows[number + 50 if state != "failed" else number + 40].key
    document = browse.json(f"/workload/{key.kind}/{key.namespace}/{key.name}.json")
    assert (document["state"], document["reason"]) == (state, said)
    listed = browse.json(f"/workloads.json?q={key.name}")["workloads"]
    assert [(one["state"], one["reason"]) for one in listed] == [(state, said)]


def test_a_workload_that_changed_since_its_last_run_says_so(
    browse: Browse, crowd: Crowd, tables: Tables
) -> None:
    """Its reports are those of what it was."""
    changed = msgspec.structs.replace(crowd.rows[41], service_account="other")
    fence = FenceTable(tables.client, tables.names).take()
    tables.queue.add([Add(key=changed.key, row=changed, cause="RowChanged")], fence=fence)
    path = f"/workload/{changed.kind}/{changed.namespace}/{changed.name}"
    document = browse.json(f"{path}.json")
    assert (document["state"], document["settled"]["as_it_is_now"]) == ("queued", False)
    assert document["queue"]["lane"] == "fresh"
    text = browse.page(path).text
    assert "it has changed since" in text
    assert "Queued, to run at once: the workload changed." in text


def test_a_workload_that_nobody_knows_is_a_404_with_words(browse: Browse) -> None:
    """Neither a traceback nor an empty page."""
    status, body = browse.ask("/workload/Pod/shop/nobody")
    assert status == 404
    assert "Nothing is on record about it" in Elements(body).text
    assert browse.ask("/workload/Pod/shop/nobody.json")[0] == 404
    assert browse.ask("/workload/Gizmo/shop/nobody")[0] == 404
    assert browse.ask("/workload/Pod/shop")[0] == 404


def test_a_workload_that_is_called_like_a_json_page_has_both(tables: Tables, crowd: Crowd) -> None:
    """`app.json` is a name that Kubernetes allows."""
    odd = row("app.json")
    fence = FenceTable(tables.client, tables.names).take()
    tables.queue.add([Add(key=odd.key, row=odd, cause="RowChanged")], fence=fence)
    with browsing(tables, crowd) as browse:
        found = browse.page("/workloads?q=app.json")
        (way,) = [
            value or ""
            for name, value in found.attributes
            if name == "href" and (value or "").startswith("workload/")
        ]
        assert way == "workload/ReplicaSet/shop/app%2Ejson"
        assert "ReplicaSet/shop/app.json" in browse.page(f"/{way}").text
        assert browse.json(f"/{way}.json")["name"] == "app.json"


# --- images


def test_images_are_found_by_name_and_by_digest(browse: Browse) -> None:
    """People know the one, tools the other."""
    digest = image_key(11).digest
    for text in (reference(11).upper(), digest, digest[:19], digest[7:30]):
        found = browse.json(f"/images.json?q={text}")["images"]
        assert [one["digest"] for one in found] == [digest]
    assert found[0]["references"] == [reference(11)]
    assert found[0]["users"] == WORKLOADS // IMAGES
    states = browse.json("/images.json")["states"]
    assert states == {"failed": 1, "scanned": IMAGES - 1}
    assert reference(7) in browse.page("/images?state=failed").text


def test_an_images_page_tells_who_uses_it_and_what_is_wrong_with_it(
    browse: Browse, crowd: Crowd
) -> None:
    """Where to look when a CVE is in the news."""
    key = image_key(10)
    path = f"/image/{key.digest}/{key.platform}/{key.options}"
    text = browse.page(path).text
    for part in (
        reference(10),
        "debian 12.5",
        "40 components in 7 layers",
        CVE,
        "3.0.14-1~deb12u1",
    ):
        assert part in text
    users = [each.key.shown for at, each in enumerate(crowd.rows) if at % IMAGES == 10]
    assert all(user in text for user in users)
    document = browse.json(f"{path}.json?limit=5&page=2")
    assert document["counts"] == {
        "CRITICAL": 13, "HIGH": 12, "MEDIUM": 12, "LOW": 24, "UNKNOWN": 0,
    }  # fmt: skip
    assert (document["findings"]["total"], document["findings"]["start"]) == (61, 5)
    assert [one["severity"] for one in document["findings"]["rows"]] == ["CRITICAL"] * 5
    assert document["users_total"] == WORKLOADS // IMAGES


def test_an_image_that_failed_says_why(browse: Browse) -> None:
    """And shows no findings that nobody took."""
    key = image_key(7)
    text = browse.page(f"/image/{key.digest}/{key.platform}/{key.options}").text
    assert "ImageNotFound" in text
    assert "the registry does not know it" in text
    assert "Not matched yet." in text


# --- vulnerabilities


def test_a_vulnerability_leads_to_images_and_workloads(browse: Browse, crowd: Crowd) -> None:
    """What one asks on the day that a CVE is in the news."""
    document = browse.json(f"/vulnerability/{CVE}.json")
    affected = [image_key(number) for number in range(0, IMAGES, 10)]
    assert {one["digest"] for one in document["images"]} == {key.digest for key in affected}
    assert (document["looked"], document["left"], document["after"]) == (IMAGES, 0, "")
    (package,) = document["images"][0]["packages"]
    assert (package["package"], package["severity"]) == ("libssl3", "CRITICAL")
    workloads = {one for image in document["images"] for one in image["workloads"]}
    assert workloads == {str(each.key) for at, each in enumerate(crowd.rows) if at % 10 == 0}
    text = browse.page(f"/vulnerability/{CVE}").text
    assert f"4 images of {IMAGES} have it" in text
    assert reference(10) in text
    assert f"None of {IMAGES} images has it" in browse.page(f"/vulnerability/{MISSING}").text


def test_the_search_understands_workloads_images_and_vulnerabilities(browse: Browse) -> None:
    """One field: nobody wants to choose what kind of thing they look for."""
    text = browse.page("/search?q=cart-0002").text
    assert "ReplicaSet/search/cart-0002" in text
    assert reference(11) in browse.page(f"/search?q={reference(11)}").text
    assert browse.page("/search?q=nobody-has-this").text.count("None.") == 2
    assert "Write a part of" in browse.page("/search").text
    status, _ = browse.ask(f"/search?q=%20{CVE.lower()}%20")
    assert (status, browse.headers["Location"]) == (303, f"vulnerability/{CVE}")
    assert browse.json(f"/search.json?q={CVE}")["id"] == CVE


def test_a_look_for_a_vulnerability_ends_in_time_and_goes_on_where_it_ended(
    tables: Tables, crowd: Crowd
) -> None:
    """Thousands of images must not hold up a page, nor the next one lose or repeat any."""
    clock = [0.0]

    def monotonic() -> float:
        clock[0] += 0.4  # each piece takes so long
        return clock[0]

    rests: list[float] = []
    looked, found, after, pages = 0, [], "", 0
    with browsing(tables, crowd, pace=Pace(monotonic=monotonic, rest=rests.append)) as browse:
        while True:
            document = browse.json(f"/vulnerability/{CVE}.json?after={after}")
            pages += 1
            looked += document["looked"]
            found += [one["digest"] for one in document["images"]]
            after = document["after"]
            if not after:
                break
            assert document["left"] > 0
        assert "Look through the other" in browse.page(f"/vulnerability/{CVE}").text
    assert pages > 1
    assert looked == IMAGES
    assert sorted(found) == sorted(image_key(number).digest for number in range(0, IMAGES, 10))
    assert min(rests) > 0  # others get as long a turn


def test_where_findings_are_not_shown_nobody_gets_them(tables: Tables, crowd: Crowd) -> None:
    """Numbers stay, as metrics have them: no name of a vulnerability leaves."""
    key = image_key(10)
    with browsing(tables, crowd, settings={"SLUICE_STATUS_FINDINGS": "false"}) as browse:
        path = f"/image/{key.digest}/{key.platform}/{key.options}"
        bodies = [browse.ask(each)[1] for each in (path, f"{path}.json")]
        assert json.loads(bodies[1])["findings"] is None
        bodies += [browse.ask(f"/vulnerability/{MISSING}{end}")[1] for end in ("", ".json")]
        assert "SLUICE_STATUS_FINDINGS" in Elements(bodies[2]).text
        assert json.loads(bodies[3])["enabled"] is False
        assert not [body for body in bodies if CVE.encode() in body or b"libssl3" in body]
        assert json.loads(bodies[1])["counts"]["CRITICAL"] == 13


# --- the queue and the ledger


def test_the_queue_is_listed_by_state_pool_and_lane(browse: Browse, tables: Tables) -> None:
    """As the numbers on the first page lead there."""
    totals = tables.queue.totals()
    for pool, counts in totals.items():
        for state, number in (("running", counts.running), ("parked", counts.dead)):
            found = browse.json(f"/queue.json?state={state}&pool={pool}&limit=1000")
            assert (found["total"], len(found["keys"])) == (number, number)
    bulk = browse.json("/queue.json?state=parked&lane=bulk&limit=1000")
    fresh = browse.json("/queue.json?state=parked&lane=fresh&limit=1000")
    assert bulk["total"] + fresh["total"] == sum(each.dead for each in totals.values())
    assert {one["lane"] for one in fresh["keys"]} <= {"fresh"}
    assert browse.json("/queue.json?state=nonsense")["state"] == "running"
    assert "TooLarge the API server refuses 3.2 MB" in browse.page("/queue?state=parked").text


def test_the_pages_of_the_queue_meet_without_a_gap(browse: Browse, tables: Tables) -> None:
    """A key that stands at the seam of two pages, or of two lanes, is still there."""
    wanted = {str(entry.key) for entry in tables.queue.ls("parked", 1000)}
    found: list[str] = []
    for page in range(1, 6):
        part = browse.json(f"/queue.json?state=parked&limit=3&page={page}")
        found += [one["key"] for one in part["keys"]]
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_history_goes_back_page_by_page(browse: Browse, tables: Tables) -> None:
    """Until the ledger's beginning, each fact once."""
    before, found = "", []
    for _ in range(3):
        part = browse.json(f"/history.json?limit=40&before={before}")
        found += [(one["at"], one["key"], one["said"]) for one in part["facts"]]
        before = part["before"]
    newest = tables.ledger.tail(120)
    assert [key for _, key, _ in found] == [fact.key for _, fact in reversed(newest)]
    assert "Older" in browse.page("/history").text
    assert browse.json("/history.json?before=nonsense")["facts"]


@pytest.mark.parametrize(
    "before", ["0-0", "0", "99999999999999999999999", "1-18446744073709551616", "1-", "-", "1-2-3"]
)
def test_a_place_in_the_history_that_is_none_is_no_fault_of_redis(
    browse: Browse, before: str
) -> None:
    """A link that somebody cut off, or wrote."""
    assert browse.ask(f"/history?before={before}")[0] == 200


def test_history_goes_on_behind_what_cannot_be_read(tables: Tables, crowd: Crowd) -> None:
    """One fact of a newer version must not end the way back."""
    tables.client.xadd(tables.names.own("ledger"), {"kind": "of-a-newer-version"})
    with browsing(tables, crowd) as browse:
        part = browse.json("/history.json?limit=1")
        assert part["facts"] == []
        assert browse.json(f"/history.json?limit=1&before={part['before']}")["facts"]


@pytest.mark.parametrize("path", ["/workloads/", "/workload/Pod/shop/a%2Fb/"])
def test_a_page_is_no_folder(browse: Browse, path: str) -> None:
    """Its links begin where it stands: from within a folder all of them would lead nowhere."""
    assert browse.ask(f"{path}?state=running")[0] == 303
    assert urljoin(path, browse.headers["Location"]) == f"{path.rstrip('/')}?state=running"
