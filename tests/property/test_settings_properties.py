"""Settings: what holds for every environment, not only for the examples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SettingsError
from common.model.redis_address import parse_redis_url
from common.settings.parse import parse
from common.settings.setting import Setting
from common.settings.table import BY_NAME, ROWS

names = st.sampled_from([row.name for row in ROWS])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
environments = st.dictionaries(names, texts | st.sampled_from(["true", "5m", "3", "a=b"]))

# One other value per setting that shapes reports.
OTHER = {
    "SLUICE_ADDITIONAL_LABELS": "team=red",
    "SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS": "Links",
    "OPERATOR_VULNERABILITY_SCANNER_ENABLED": "false",
    "OPERATOR_EXPOSED_SECRET_SCANNER_ENABLED": "false",
    "OPERATOR_SBOM_GENERATION_ENABLED": "false",
    "TRIVY_SEVERITY": "HIGH",
    "TRIVY_IGNORE_UNFIXED": "true",
    "SLUICE_IGNORE_RULES": "CVE-1",
    "SLUICE_IGNORE_POLICIES": '{"shop":"package trivy"}',
    "SLUICE_VEX_DOCUMENTS": '{"a":"{\\"@context\\":\\"x\\"}"}',
    "TRIVY_PKG_TYPES": "os",
    "TRIVY_VULN_TYPE": "library",
    "TRIVY_IGNORE_STATUS": "fixed",
    "TRIVY_SKIP_FILES": "/etc/passwd",
    "TRIVY_SKIP_DIRS": "/usr/share",
}


def _counts(row: Setting[object]) -> bool:
    return row.shapes_reports and row.honoured


@given(environments)
def test_parsing_ends_in_settings_or_in_one_settings_error(environ: dict[str, str]) -> None:
    """No environment may end a process with a traceback."""
    try:
        said = parse(environ).warnings
    except SettingsError as error:
        said = (str(error),)
    assert all(any(name in text for name in environ) for text in said)


@given(environments)
def test_parsing_is_a_function_of_the_environment_alone(environ: dict[str, str]) -> None:
    """Watcher and worker must come to the same digest from the same variables."""
    try:
        first = parse(environ)
    except SettingsError:
        return
    again = parse(dict(reversed(environ.items())))
    assert again == first
    assert again.projection_digest() == first.projection_digest()


@given(texts, texts, texts)
def test_a_redis_password_is_never_shown(user: str, password: str, rest: str) -> None:
    """Whether the URL is right or wrong, its password stays out of what is shown."""
    secret = f"q9{password.strip()}z7"
    try:
        said = repr(parse_redis_url(f"redis://{user}:{secret}@{rest}"))
    except ValueError as error:
        said = str(error)
    assert secret not in said


@given(st.sampled_from(sorted(OTHER)))
def test_a_setting_that_shapes_reports_changes_the_digest(name: str) -> None:
    """Trap 26: a changed severity must lead to new reports, not to nothing."""
    assert parse({name: OTHER[name]}).projection_digest() != parse({}).projection_digest()


def test_the_table_says_which_settings_shape_reports() -> None:
    """A setting added to the projection without its row here would go untested."""
    assert {row.name for row in ROWS if _counts(row)} == set(OTHER)


@given(environments)
def test_no_other_setting_changes_the_digest(environ: dict[str, str]) -> None:
    """A new log level must not make every workload of the cluster run again."""
    others = {name: text for name, text in environ.items() if not _counts(BY_NAME[name])}
    try:
        settings = parse(others)
    except SettingsError:
        return
    assert settings.projection_digest() == parse({}).projection_digest()


@given(st.permutations(["CRITICAL", "LOW", "HIGH"]))
def test_the_order_of_a_list_does_not_change_the_digest(order: list[str]) -> None:
    """The same wish written another way is the same wish."""
    assert parse({"TRIVY_SEVERITY": ",".join(order)}).projection_digest() == (
        parse({"TRIVY_SEVERITY": "LOW,HIGH,CRITICAL"}).projection_digest()
    )
