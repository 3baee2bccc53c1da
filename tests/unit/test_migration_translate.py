"""What becomes of trivy-operator's values: nothing unknown, nothing lost, no secret told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from common.migration.fates import ToSetting, ToValues
from common.migration.show import listing, values_file
from common.migration.table import BY_KEY, ROWS
from common.migration.translate import Translation, What, translate
from tests.migration_values import CANARY, KEYS, defaults, documents, nested, plausible

# Values that the chart's templates read and its values file does not list.
UNLISTED = {"trivy.serverURL", "trivy.ignorePolicy*"}
# Values of charts before 0.34.0, which people still have in their files.
FORMER = {
    "operator.configAuditScannerBuiltIn",
    "operator.kubernetesBenchmarkEnabled",
    "operator.vulnerabilityScannerReportTTL",
    "trivy.imageRef",
    "trivy.repository",
    "trivy.tag",
    "trivyOperator.scanJobPodTemplateSecurityContext",
}


def leaves(level: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value that is no map, or an empty one, by its dotted key."""
    for name, value in level.items():
        key = f"{above}{name}"
        if key not in BY_KEY and isinstance(value, Mapping) and value:
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def one(document: Mapping[str, object], key: str) -> What:
    """Return what is told of a key."""
    (found,) = (line.what for line in translate(document).told if line.key == key)
    return found


def made(document: Mapping[str, object]) -> Mapping[str, object]:
    """Return our values for a document."""
    return translate(document).values


def test_every_value_of_the_chart_has_a_row_with_its_default() -> None:
    """A value without a row would be called misspelt; a wrong default hides a change."""
    theirs = dict(leaves(defaults()))
    assert {row.key for row in ROWS} - UNLISTED - FORMER == theirs.keys()
    assert {key: BY_KEY[key].default for key in theirs} == theirs
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_the_charts_own_defaults_change_nothing_here() -> None:
    """Who copies the whole file gets ours as they are, and hears what is missed alone."""
    translation = translate(defaults())
    assert translation.values == {}
    told = {line.key: line.what for line in translation.told}
    assert {what for key, what in told.items() if not BY_KEY[key].missed} == {What.SAME}
    missed = {key for key, what in told.items() if what is What.NOT_YET}
    assert missed <= {row.key for row in ROWS if row.missed}


def test_what_is_missed_is_told_without_being_asked() -> None:
    """An empty file means reports of all kinds there; some are not made here."""
    row = next(
        row
        for row in ROWS
        if row.missed and isinstance(row.fate, ToSetting) and not row.fate.setting.honoured
    )
    assert one({}, row.key) is What.NOT_YET
    assert one(nested([(row.key, True)]), row.key) is What.NOT_YET
    assert one(nested([(row.key, False)]), row.key) is What.NO_MEANING


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_known_with_each_plausible_value(key: str) -> None:
    """A value that trivy-operator's users write must not be refused, whatever becomes of it."""
    for value in plausible(key):
        translation = translate(nested([(key, value)]))
        assert translation.is_clean, (key, value, translation.told)
        assert any(line.key.startswith(key) for line in translation.told)


@given(documents())
def test_every_key_is_told_and_what_is_told_as_taken_is_there(document: dict[str, Any]) -> None:
    """Nobody may have to compare two files to see what is missing."""
    translation = translate(document)
    told = {line.key for line in translation.told}
    for key, _ in leaves(document):
        assert any(name == key or name.startswith(f"{key}[") for name in told)
    sources = {key for keys in translation.sources.values() for key in keys}
    assert sources == {line.key for line in translation.told if line.what is What.TAKEN}
    assert translation.values.keys() == translation.sources.keys()


@given(documents())
def test_the_file_reads_back_as_the_values(document: dict[str, Any]) -> None:
    """A text that YAML reads otherwise would be another setting."""
    translation = translate(document)
    read = yaml.safe_load(values_file(translation))
    for path, value in translation.values.items():
        found = read
        for part in path.split("."):
            found = found[part]
        assert found == (value == "true" if value in ("true", "false") else value)


@given(documents())
def test_no_secret_is_printed(document: dict[str, Any]) -> None:
    """The output goes into a repository, the list into a build's log."""
    assert CANARY not in printed(translate(document))


_SHAPES: tuple[Any, ...] = (
    CANARY,
    [CANARY],
    {CANARY: CANARY},
    {"deep": [{"value": CANARY}]},
    f"http://u:{CANARY}@host",
)


@pytest.mark.parametrize("shape", _SHAPES, ids=range(len(_SHAPES)))
@pytest.mark.parametrize("key", [row.key for row in ROWS if row.secret])
def test_no_secret_is_printed_in_whatever_shape_it_stands(key: str, shape: object) -> None:
    """A slip of the pen must not put a password on a screen."""
    built_in = ("operator.builtInTrivyServer", True)
    for document in (nested([(key, shape)]), nested([built_in, (key, shape)])):
        if key in ("trivy.httpProxy", "trivy.httpsProxy") and shape == CANARY:
            continue  # a proxy's name is no secret
        assert CANARY not in printed(translate(document))


@pytest.mark.parametrize("key", ["trivy.dbRegistry", "trivy.noProxy", "excludeNamespaces"])
def test_a_login_in_an_address_is_not_printed(key: str) -> None:
    """People write user:password@host wherever a host belongs."""
    text = printed(translate(nested([(key, f"https://u:{CANARY}@host/x")])))
    assert CANARY not in text


def printed(translation: Translation) -> str:
    """Return everything that the command prints."""
    return values_file(translation) + listing(translation, everything=True)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below),
    max_leaves=5,
)


@given(st.sampled_from(KEYS), _JSON)
def test_whatever_stands_there_is_told(key: str, value: object) -> None:
    """A file that somebody else wrote never ends in a traceback."""
    translation = translate(nested([(key, value)]))
    printed(translation)
    assert translation.told


@given(st.sampled_from(sorted(BY_KEY)), st.integers(0, 50))
def test_a_slip_of_the_pen_is_told_with_what_may_be_meant(key: str, place: int) -> None:
    """Helm takes a misspelt value in silence, and trivy-operator never sees it."""
    above, dot, name = key.rpartition(".")
    at = place % len(name)
    misspelt = f"{above}{dot}{name[:at]}{name[at + 1 :]}"
    if len(name) < 6 or misspelt in BY_KEY or not name[at].isalpha():
        return
    translation = translate(nested([(misspelt, "x")]))
    (line,) = (line for line in translation.told if line.key == misspelt)
    assert line.what is What.UNKNOWN
    assert "did you mean" in line.text
    assert not translation.is_clean


def test_a_value_at_the_wrong_place_is_told_with_the_right_one() -> None:
    """`severity` on top is as lost as a misspelt one."""
    (line,) = (line for line in translate({"severity": "HIGH"}).told if line.what is What.UNKNOWN)
    assert "did you mean trivy.severity?" in line.text


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"trivy-operator": {"trivy": {"severity": "HIGH"}}}, "trivy-operator"),
        ({"kind": "HelmRelease", "spec": {"values": {"trivyOperator": {}}}}, "spec.values"),
        ({"spec": {"source": {"helm": {"valuesObject": {"trivy": {}}}}}}, None),
    ],
)
def test_values_inside_of_another_file_are_told_with_their_place(
    document: dict[str, Any], path: str | None
) -> None:
    """An umbrella chart, Flux or Argo CD keeps them one or more levels down."""
    translation = translate(document)
    told = " ".join(line.text for line in translation.told if line.what is What.UNKNOWN)
    assert f"stand below {path or 'spec.source.helm.valuesObject'}: give that part alone" in told
    assert not translation.is_clean


def test_a_file_that_is_none_of_theirs_costs_no_guess_for_each_key() -> None:
    """A guess compares with two hundred names."""
    document = {"trivy": {f"severity{number}": "HIGH" for number in range(500)}}
    lines = [line for line in translate(document).told if line.what is What.UNKNOWN]
    assert len(lines) == 500
    assert sum("did you mean" in line.text for line in lines) == 100
    many = {"trivy": {f"ignorePolicy.n{number}": "x" for number in range(1_001)}}
    assert translate(many).values == {}


def test_what_belongs_to_a_parent_chart_is_passed_over() -> None:
    """`helm get values` prints a heading, and parents put what they like under `global`."""
    document = {"USER-SUPPLIED VALUES": None, "global": {"imageRegistry": "x"}}
    told = {line.key: line.what for line in translate(document).told}
    assert told.keys() - {"global.imageRegistry"} == {row.key for row in ROWS if row.missed}


def test_a_text_that_the_setting_refuses_is_told_with_the_reason() -> None:
    """It would end every process of ours at its start."""
    (line,) = (
        line for line in translate({"trivy": {"severity": "HIGHEST"}}).told if "sev" in line.key
    )
    assert line.what is What.WRONG
    assert "known are" in line.text


def test_a_null_counts_as_the_default() -> None:
    """Helm's word for taking a value back."""
    assert one({"trivy": {"severity": None}}, "trivy.severity") is What.SAME


def test_registry_and_repository_are_one_setting() -> None:
    """One of the two alone goes with the other's default."""
    assert made({"trivy": {"dbRegistry": "r.example"}}) == {
        "settings.TRIVY_DB_REPOSITORY": "r.example/aquasec/trivy-db"
    }
    both = {"trivy": {"dbRegistry": "r.example", "dbRepository": "x/db"}}
    assert made(both) == {"settings.TRIVY_DB_REPOSITORY": "r.example/x/db"}
    assert len(translate(both).sources["settings.TRIVY_DB_REPOSITORY"]) == 2


def test_policies_are_one_setting_by_what_they_count_for() -> None:
    """The keys have dots, so they are no maps."""
    document = {"trivy": {"ignorePolicy": "a\n", "ignorePolicy.shop.web-.": "b\n"}}
    text = made(document)["settings.SLUICE_IGNORE_POLICIES"]
    assert isinstance(text, str)
    assert json.loads(text) == {"": "a\n", "shop.web-.": "b\n"}


def test_a_list_of_identifiers_is_an_ignore_file() -> None:
    """trivy-operator's own example has a list."""
    document = {"trivy": {"ignoreFile": ["CVE-1970-0001", "CVE-1970-0002"]}}
    assert made(document) == {"settings.SLUICE_IGNORE_RULES": "CVE-1970-0001\nCVE-1970-0002\n"}


def test_the_built_in_servers_volume_is_the_matchers() -> None:
    """Without the server its storage says nothing; with it a smaller volume than ours is not."""
    assert made({"trivy": {"storageSize": "50Gi"}}) == {}
    server = {"operator": {"builtInTrivyServer": True}}
    assert made(server)["matcher.persistence.sizeGi"] == 8
    large = {**server, "trivy": {"storageSize": "50G", "storageClassName": "fast"}}
    assert made(large) == {
        "matcher.persistence.enabled": True,
        "matcher.persistence.sizeGi": 47,
        "matcher.persistence.storageClass": "fast",
    }
    assert made({**server, "trivy": {"storageClassEnabled": False}}) == {
        "matcher.persistence.enabled": False
    }


@pytest.mark.parametrize(("limit", "jobs"), [(1, 1), (3, 3)])
def test_a_low_limit_of_scans_holds_here_too(limit: int, jobs: int) -> None:
    """Who allowed one scan at a time had a reason."""
    document = {"operator": {"scanJobsConcurrentLimit": limit}}
    assert made(document) == {"worker.replicas": 1, "scanner.jobs": jobs}


def test_a_proxy_without_a_scheme_gets_one() -> None:
    """Trivy takes host and port alone; the chart's schema asks for an address."""
    values = made({"trivy": {"httpsProxy": "proxy:1", "noProxy": "registry.local"}})
    assert values == {"proxy.httpsProxy": "http://proxy:1", "proxy.noProxy": "registry.local"}


def test_a_scrape_ends_before_the_next_one_begins() -> None:
    """The Prometheus Operator refuses a timeout that is longer than the interval."""
    ours = "monitoring.serviceMonitor"
    assert made({"serviceMonitor": {"interval": "5s"}}) == {
        f"{ours}.intervalS": 5,
        f"{ours}.timeoutS": 5,
    }
    assert made({"serviceMonitor": {"interval": "1m"}}) == {f"{ours}.intervalS": 60}


def test_a_proxy_with_a_password_is_told_how_it_can_be_kept() -> None:
    """It cannot be printed, and nothing works without it."""
    document = {"trivy": {"httpProxy": f"http://u:{CANARY}@proxy:1"}}
    translation = translate(document)
    assert translation.values == {}
    (line,) = (line for line in translation.told if line.what is What.BY_HAND)
    assert "secretKeyRef" in line.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image.pullSecrets", [{"secret": "x"}]),
        ("image.pullSecrets", "regcred"),
        ("tolerations", {"key": "x"}),
        ("affinity", ["x"]),
        ("nodeSelector", {"a": {"b": 1}}),
        ("operator.replicas", "two"),
        ("operator.logDevMode", "yes please"),
        ("trivy.registry", "mirror.example.com"),
        ("operator.scanJobTimeout", ["5m"]),
        ("trivyOperator.scanJobAffinity", {"weight": 1.5}),
        ("trivyOperator.scanJobAffinity", {"weight": 2**63}),
        ("trivyOperator.scanJobAffinity", {"weight": 1e300}),
        ("trivy.ignoreFile", ["CVE-1970-0001 exp:soon"]),
        ("extraEnv", {"NAME": "value"}),
        ("serviceMonitor.interval", "often"),
        ("serviceMonitor.interval", "10ms"),
        ("serviceMonitor.endpointAdditionalProperties", {"relabelings": "x"}),
        ("global.image.registry", "https://mirror.example.com"),
        ("trivy.httpsProxy", "socks5://proxy:1080"),
        ("trivyOperator.scanJobAnnotations", "inject"),
    ],
)
def test_a_value_of_another_shape_is_not_taken(key: str, value: object) -> None:
    """Helm would refuse what comes out, or worse, take it."""
    translation = translate(nested([(key, value)]))
    assert not translation.is_clean
    assert translation.values == {}


def test_rows_say_whole_words() -> None:
    """They stand in a list that people read: no full stop, no capital at the beginning of prose."""
    for row in ROWS:
        if isinstance(row.fate, ToValues):
            assert row.fate.targets
        text = " ".join(getattr(row.fate, name, "") for name in ("why", "instead", "what", "words"))
        assert not text.strip().endswith(".")
        assert re.search(r"\s\s", text.strip()) is None
