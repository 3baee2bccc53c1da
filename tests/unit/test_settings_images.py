"""Settings about images: how they are written, what is refused, which of them do nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SettingsError
from common.settings import image_formats as forms
from common.settings import images
from common.settings.formats import Format
from common.settings.load import load
from common.settings.parse import parse
from common.settings.setting import Setting
from common.settings.window import Window, read_window

# A value of each that is not its default.
OTHER = {
    "SLUICE_REGISTRY_MIRRORS": "docker.io=mirror.example",
    "SLUICE_INSECURE_REGISTRIES": "registry.example:5000",
    "SLUICE_NON_SSL_REGISTRIES": "registry.example:5000",
    "TRIVY_NON_SSL": "true",
    "SLUICE_DB_REPOSITORY_INSECURE": "true",
    "SLUICE_DB_REPOSITORY_USERNAME_FILE": "/run/user",
    "SLUICE_DB_REPOSITORY_PASSWORD_FILE": "/run/password",
    "SLUICE_OPERATOR_SECRET_DIR": "/run/secrets/trivy-operator",
    "OPERATOR_PRIVATE_REGISTRY_SCAN_SECRETS_NAMES": '{"shop":"a,b"}',
    "OPERATOR_ACCESS_GLOBAL_SECRETS_SERVICE_ACCOUNTS": "false",
    "SLUICE_CREDENTIAL_PROVIDER_CONFIG": "/etc/providers.yaml",
    "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR": "/opt/providers",
    "SLUICE_TRIVY_TOKEN_FILE": "/run/token",
    "TRIVY_IGNOREFILE": "/etc/ignore.yaml",
    "SLUICE_IGNORE_RULES": "CVE-1",
    "TRIVY_IGNORE_POLICY": "/etc/ignore.rego",
    "SLUICE_IGNORE_POLICIES": '{"shop.web":"package trivy"}',
    "TRIVY_VEX": "/etc/vex.json",
    "SLUICE_VEX_DOCUMENTS": '{"a":"{\\"@context\\":\\"x\\"}"}',
    "TRIVY_PKG_TYPES": "os",
    "TRIVY_VULN_TYPE": "os",
    "TRIVY_IGNORE_STATUS": "will_not_fix",
    "TRIVY_SBOM_SOURCES": "oci",
    "SLUICE_EXCLUDE_IMAGES": "docker.io/*/*",
    "SLUICE_SKIP_INIT_CONTAINERS": "true",
    "SLUICE_RESCAN_WINDOW": "0 22 * * * 6h",
    "SLUICE_REFRESH_OVER_S": "60",
    "TRIVY_MAX_IMAGE_SIZE": "10GB",
    "SLUICE_SCRATCH_MB": "100",
    "SLUICE_MAX_UNPACK_RATIO": "100",
    "SLUICE_LAYER_CACHE_GB": "20",
    "SLUICE_REGISTRY_PULLS_PER_MIN": "*=60",
    "SLUICE_REGISTRY_CONCURRENT_PULLS": "*=4",
    "SLUICE_PULL_PROXY": "false",
    "SLUICE_VERIFY_LAYERS": "false",
}
# What stands in the files of those that name one; what they say is part of the epoch.
FILES = {
    "TRIVY_IGNOREFILE": "vulnerabilities: [{id: CVE-1}]",
    "TRIVY_IGNORE_POLICY": "package trivy",
    "TRIVY_VEX": '{"@context": "https://openvex.dev/ns/v0.2.0"}',
}
# What makes sense only with another one.
TOGETHER = {
    "SLUICE_DB_REPOSITORY_USERNAME_FILE": "SLUICE_DB_REPOSITORY_PASSWORD_FILE",
    "SLUICE_DB_REPOSITORY_PASSWORD_FILE": "SLUICE_DB_REPOSITORY_USERNAME_FILE",
    "SLUICE_CREDENTIAL_PROVIDER_CONFIG": "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR",
    "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR": "SLUICE_CREDENTIAL_PROVIDER_CONFIG",
}


def _environ(name: str) -> dict[str, str]:
    names = [name, *(other for key, other in TOGETHER.items() if key == name)]
    return {one: OTHER[one] for one in names}


def test_every_setting_has_another_value_here() -> None:
    """A row that is added without one would go untested."""
    assert {row.name for row in images.ROWS} == set(OTHER)


@pytest.mark.parametrize("row", images.ROWS, ids=lambda row: row.name)
def test_a_setting_warns_exactly_as_long_as_it_does_nothing(row: Setting[Any]) -> None:
    """A filter that is believed to work and does not is worse than none."""
    said = [text for text in parse(_environ(row.name)).warnings if text.startswith(f"{row.name} ")]
    assert bool(said) != row.honoured
    assert all("not honoured in this version" in text and row.instead in text for text in said)
    assert all(("trivy-operator's" in text) == row.upstream for text in said)


@pytest.mark.parametrize("row", images.ROWS, ids=lambda row: row.name)
def test_a_setting_reaches_the_settings_and_the_epoch_only_where_it_counts(
    row: Setting[Any], tmp_path: Path
) -> None:
    """A setting that does nothing yet must not run every workload of the cluster."""
    environ = _environ(row.name)
    if row.name in FILES:
        file = tmp_path / Path(OTHER[row.name]).name
        file.write_text(FILES[row.name], encoding="utf-8")
        environ = {row.name: str(file)}
    plain, changed = parse({}), load(environ)
    groups = ("scope", "trivy", "registries", "credentials", "filters", "verify", "limits")
    assert [getattr(plain, group) for group in groups] != [
        getattr(changed, group) for group in groups
    ]
    differs = changed.projection_digest() != plain.projection_digest()
    assert differs == (row.honoured and (row.shapes_reports or row.name in FILES))


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (
            forms.MIRRORS,
            "docker.io=m.example/hub, docker.io/library=l.example",
            (("docker.io/library", "l.example"), ("docker.io", "m.example/hub")),
        ),
        (forms.HOSTS, "b.example:5000,a,[::1]:80,a", ("[::1]:80", "a", "b.example:5000")),
        (forms.RATES, "*=60,index.docker.io=1.5", (("*", 60.0), ("index.docker.io", 1.5))),
        (forms.SIZE, "", 0),
        (forms.SIZE, "10GB", 10**10),
        (forms.SIZE, "1.5 kB", 1_500),
        (forms.SIZE, "7", 7),
        (forms.SECRETS, '{"b":"x","a":"y, z,"}', (("a", ("y", "z")), ("b", ("x",)))),
        (forms.SECRETS, "", ()),
        (forms.POLICIES, '{"":"p","shop.web":"q"}', (("", "p"), ("shop.web", "q"))),
        (forms.PACKAGE_TYPE_LIST, "library,os", ("os", "library")),
        (forms.STATUS_LIST, "end_of_life,affected", ("affected", "end_of_life")),
        (forms.SBOM_SOURCE_LIST, "rekor", ("rekor",)),
        (forms.WINDOW, "", None),
    ],
)
def test_a_value_is_read(form: Format[Any], text: str, value: object) -> None:
    """Each form in the ways that people write it."""
    assert form.read(text) == value


@pytest.mark.parametrize(
    ("form", "text"),
    [
        *((forms.MIRRORS, text) for text in ("a", "a=", "https://a=b", "a=b/", "a=b@sha256:0")),
        *((forms.HOSTS, text) for text in ("http://a", "a/b", "a:port", "-a", "a:123456")),
        *((forms.RATES, text) for text in ("60", "*=0", "*=-1", "*=1e3", "a/b=1", "*=1000001")),
        *((forms.SIZE, text) for text in ("big", "-1", "1XB", "1GiB", "٣", "9" * 40)),
        *((forms.SECRETS, text) for text in ("a", "[]", '{"a":1}', '{"A":"x"}', '{"a":"x/y"}')),
        *((forms.POLICIES, text) for text in ("package trivy", '{"a b":""}', '{"a":{}}')),
        (forms.PACKAGE_TYPE_LIST, "OS"),
        (forms.STATUS_LIST, "unfixed"),
        (forms.SBOM_SOURCE_LIST, "web"),
        *(
            (forms.WINDOW, text)
            for text in (
                "* * * * *",
                "* * * * * *",
                "60 * * * * 1h",
                "5-1 * * * * 1h",
                "*/0 * * * * 1h",
                "0 0 0 * * 1h",
                "0 0 * JAN * 1h",
                "0 0 * * * 0s",
                "0 0 * * * -1h",
                "0 0 * * * 200h",
            )
        ),
    ],
)
def test_what_is_none_is_refused_with_a_form_that_is_one(form: Format[Any], text: str) -> None:
    """The message must say what to write instead, not only that it was wrong."""
    with pytest.raises(ValueError, match=r"(write|known are|which is no|numbers go)"):
        form.read(text)


@given(st.text(max_size=40) | st.text("0123456789*/,- hms", max_size=30))
@pytest.mark.parametrize("form", [one for one in vars(forms).values() if isinstance(one, Format)])
def test_reading_ends_in_a_value_or_a_value_error(form: Format[Any], text: str) -> None:
    """Any other exception would end the start with a traceback."""
    said = ""
    try:
        form.read(text.strip())
    except ValueError as error:
        said = str(error)
    assert len(said) < 700


def test_a_window_is_read_as_cron_reads_it() -> None:
    """Steps, ranges, lists, and both names of Sunday."""
    assert read_window("*/20,7 22-23 1 5/3 5-7 1h30m") == Window(
        minutes=frozenset({0, 20, 40, 7}),
        hours=frozenset({22, 23}),
        days=frozenset({1}),
        months=frozenset({5, 8, 11}),
        weekdays=frozenset({5, 6, 0}),
        duration_s=5_400.0,
    )
    nightly = read_window("0 22 * * * 6h")
    assert nightly is not None
    assert (nightly.days, nightly.weekdays) == (None, None)


def test_both_names_of_the_package_types_count() -> None:
    """Whoever set the older one, or both, must not get more than he asked for."""
    assert parse({}).filters.package_types == ("os", "library")
    assert parse({"TRIVY_VULN_TYPE": "os"}).filters.package_types == ("os",)
    with pytest.raises(SettingsError, match="no type in common"):
        parse({"TRIVY_PKG_TYPES": "os", "TRIVY_VULN_TYPE": "library"})


def test_half_a_credential_is_a_contradiction() -> None:
    """It would be sent as an empty password, and the registry would lock the account."""
    with pytest.raises(SettingsError, match="set both"):
        parse({"SLUICE_DB_REPOSITORY_USERNAME_FILE": "/run/user"})


def test_a_pattern_that_is_none_is_told() -> None:
    """`[a` matched nothing and hid nothing, without a word."""
    with pytest.raises(
        SettingsError, match=r"SLUICE_EXCLUDE_IMAGES has '\[a', which is no pattern"
    ):
        parse({"SLUICE_EXCLUDE_IMAGES": "docker.io/*,[a"})
    warnings = parse({"OPERATOR_EXCLUDE_NAMESPACES": "kube-*,team-["}).warnings
    assert any("'team-[', which is no pattern and excludes nothing" in one for one in warnings)
