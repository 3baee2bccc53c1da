"""What the chart mounts: filters, certificates, logins, programs, and what users add."""

from __future__ import annotations

from typing import Any

import pytest

from common.settings.load import with_files
from common.settings.operator_keys import SECRET, TRIVY_MAP
from common.settings.parse import parse
from tests.charts.rendered import SERVICE_HOST, Rendered, environment, mounts, render

PULLERS = ("worker", "scanner", "matcher")
POD = {"scanner": "worker"}


def told(chart: Rendered, component: str, **maps: dict[str, str]) -> dict[str, str]:
    """Return what a container's process is told."""
    return environment(chart.containers()[component], maps={TRIVY_MAP: maps.get("trivy", {})})


def mounted(chart: Rendered, component: str) -> dict[str, Any]:
    """Return the volumes that a container mounts, by path."""
    return dict(mounts(chart.pods()[POD.get(component, component)], component))


def paths(volume: Any) -> set[str]:
    """Return the files of a volume from a ConfigMap or Secret."""
    (source,) = (volume[kind] for kind in ("configMap", "secret") if kind in volume)
    return {one["path"] for one in source["items"]}


FILTERS = {
    "filters": {
        "ignoreFileConfigMap": "ignored",
        "ignoreFileKey": "ignore.yaml",
        "ignorePolicyConfigMap": "policy",
        "vexConfigMap": "vex",
        "vexKeys": ["one.json", "two.json"],
    }
}


PROGRAMS = {"registries": {"credentialProvider": {"configMap": "x", "image": "x"}}}
# What the chart sets from a value, and a user may set otherwise, for a volume of his own.
BY_VALUE_OR_SETTING: dict[str, dict[str, Any]] = {
    "TRIVY_IGNOREFILE": {"filters": {"ignoreFileConfigMap": "x"}},
    "TRIVY_IGNORE_POLICY": {"filters": {"ignorePolicyConfigMap": "x"}},
    "TRIVY_VEX": {"filters": {"vexConfigMap": "x"}},
    "SLUICE_DB_REPOSITORY_USERNAME_FILE": {"registries": {"databaseSecret": "x"}},
    "SLUICE_DB_REPOSITORY_PASSWORD_FILE": {"registries": {"databaseSecret": "x"}},
    "SLUICE_CREDENTIAL_PROVIDER_CONFIG": PROGRAMS,
    "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR": PROGRAMS,
}


def test_filters_reach_watcher_and_workers_alike() -> None:
    """They are part of the generation; every file that is named is there."""
    chart = render(FILTERS)
    for component in ("watcher", "worker"):
        environ, volumes = told(chart, component), mounted(chart, component)
        for name in ("TRIVY_IGNOREFILE", "TRIVY_IGNORE_POLICY", "TRIVY_VEX"):
            for path in environ[name].split(","):
                folder, _, file = path.rpartition("/")
                assert file in paths(volumes[folder]), path
    assert told(chart, "watcher")["TRIVY_IGNOREFILE"].endswith(".yaml")
    for component in ("scanner", "matcher"):
        assert not {"TRIVY_IGNOREFILE", "TRIVY_VEX"} & set(told(chart, component))
    assert not [path for path in mounted(render(), "worker") if path.startswith("/etc/sluice")]


@pytest.mark.parametrize("setting", sorted(BY_VALUE_OR_SETTING))
def test_what_a_value_mounts_is_no_setting_besides(setting: str) -> None:
    """The product would refuse both, in a Pod that crashes; the chart says so before."""
    values = BY_VALUE_OR_SETTING[setting]
    assert setting in {name for one in ("worker", "scanner") for name in told(render(values), one)}
    with pytest.raises(Exception, match=f"settings.{setting} are both set; keep one"):
        render({**values, "settings": {setting: "x"}})
    render({"settings": {setting: "x"}})


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        ("ignoreFileConfigMap", "SLUICE_IGNORE_RULES"),
        ("ignorePolicyConfigMap", "SLUICE_IGNORE_POLICIES"),
        ("vexConfigMap", "SLUICE_VEX_DOCUMENTS"),
    ],
)
def test_a_filter_is_a_file_or_a_text(value: str, setting: str) -> None:
    """Never both: nobody could say which one counts."""
    with pytest.raises(Exception, match=f"settings.{setting} are both set; keep one"):
        render({"filters": {value: "x"}, "settings": {setting: "{}"}})


def test_certificates_of_registries_reach_all_who_ask_one() -> None:
    """And nobody else; who sets the variable keeps it."""
    chart = render({"registries": {"caConfigMap": "ca"}})
    for component in PULLERS:
        path = told(chart, component)["SSL_CERT_FILE"]
        folder, _, file = path.rpartition("/")
        assert paths(mounted(chart, component)[folder]) == {file}
    assert "SSL_CERT_FILE" not in told(chart, "watcher")
    mine = {"extraEnv": [{"name": "SSL_CERT_FILE", "value": "/mine"}]}
    chart = render({"registries": {"caConfigMap": "ca"}, "worker": mine})
    assert told(chart, "worker")["SSL_CERT_FILE"] == "/mine"


def test_trivy_operators_login_is_mounted_where_databases_are_downloaded() -> None:
    """Optional in every part: without the Secret, or with half of it, the Pods start as well."""
    chart = render()
    for component in ("matcher", "scanner"):
        folder = told(chart, component)["SLUICE_OPERATOR_SECRET_DIR"]
        secret = mounted(chart, component)[folder]["secret"]
        assert (secret["secretName"], secret["optional"]) == (SECRET, True)
        assert {one["key"] for one in secret["items"]} == {
            "trivy.dbRepositoryUsername",
            "trivy.dbRepositoryPassword",
        }
    for component in ("watcher", "worker"):
        assert SECRET not in str(mounted(chart, component))
    assert SECRET not in str(mounted(render({"trivyOperator": {"secret": False}}), "matcher"))


def test_a_login_of_ones_own_comes_first() -> None:
    """Under the names that the product reads, both of them."""
    chart = render({"registries": {"databaseSecret": "login", "databaseUsernameKey": "user"}})
    for component in ("matcher", "scanner"):
        environ, volumes = told(chart, component), mounted(chart, component)
        settings = parse({name: text for name, text in environ.items() if "_FILE" in name})
        for path in (
            settings.credentials.database_username_file,
            settings.credentials.database_password_file,
        ):
            folder, _, file = path.rpartition("/")
            assert file in paths(volumes[folder])
        assert "SLUICE_OPERATOR_SECRET_DIR" not in environ
    assert "optional" not in mounted(chart, "matcher")["/run/secrets/databases"]["secret"]


def test_trivy_operators_proxies_count_and_the_cluster_is_never_behind_one() -> None:
    """Its scan Jobs asked neither the API server nor our match server: its list has neither."""
    maps = {"trivy.httpsProxy": "http://proxy:3128", "trivy.noProxy": "registry.local"}
    for component in PULLERS:
        environ = told(render(), component, trivy=maps)
        assert environ["HTTPS_PROXY"] == "http://proxy:3128"
        assert "HTTP_PROXY" not in environ
        assert {"registry.local", ".svc", SERVICE_HOST} <= set(environ["NO_PROXY"].split(","))
        bare = told(render(), component)
        assert "HTTPS_PROXY" not in bare
        assert ".svc" in bare["NO_PROXY"]
    assert "NO_PROXY" not in told(render(), "watcher")
    off = render({"trivyOperator": {"configMaps": False}})
    assert "NO_PROXY" not in told(off, "worker", trivy=maps)


def test_a_proxy_of_ones_own_replaces_all_of_trivy_operators() -> None:
    """Half of each would be nobody's; and no name may stand twice in a list."""
    mine = {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://mine:3128"}]}
    environ = told(render({"worker": mine}), "worker", trivy={"trivy.httpProxy": "http://theirs"})
    assert environ["HTTPS_PROXY"] == "http://mine:3128"
    assert not {"HTTP_PROXY", "NO_PROXY"} & set(environ)


PROXY = {"httpsProxy": "http://proxy:3128", "noProxy": "registry.local,.corp"}


def test_one_proxy_is_everybodys_who_goes_out() -> None:
    """Once, and in the place of all that trivy-operator's ConfigMap says."""
    theirs = {"trivy.httpProxy": "http://theirs", "trivy.noProxy": "theirs.local"}
    chart = render({"proxy": PROXY})
    for component in PULLERS:
        environ = told(chart, component, trivy=theirs)
        assert environ["HTTPS_PROXY"] == "http://proxy:3128"
        assert "HTTP_PROXY" not in environ
        assert {"registry.local", ".corp", ".svc", SERVICE_HOST} <= set(
            environ["NO_PROXY"].split(",")
        )
        assert "theirs" not in str(environ)
    assert "HTTPS_PROXY" not in told(chart, "watcher")
    bare = told(render({"proxy": {"httpProxy": "http://proxy"}}), "worker")
    assert bare["NO_PROXY"].startswith(".svc")  # an empty name would be a suffix of all names


def test_a_components_own_proxy_stands_in_the_place_of_everybodys() -> None:
    """Scanners may go another way than the rest."""
    mine = {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://mine:3128"}]}
    chart = render({"proxy": PROXY, "scanner": mine})
    assert told(chart, "scanner")["HTTPS_PROXY"] == "http://mine:3128"
    assert "NO_PROXY" not in told(chart, "scanner")
    assert told(chart, "worker")["HTTPS_PROXY"] == "http://proxy:3128"


def provider(**values: str) -> dict[str, Any]:
    """Return the values of programs that give credentials."""
    return {"registries": {"credentialProvider": {"configMap": "providers", **values}}}


def test_programs_of_an_image_are_mounted_and_never_run_as_containers() -> None:
    """An image volume: it needs neither shell nor user of its own."""
    chart = render(provider(image="ecr:1", folder="/bin"))
    environ, volumes = told(chart, "worker"), mounted(chart, "worker")
    assert environ["SLUICE_CREDENTIAL_PROVIDER_BIN_DIR"] == "/opt/credential-providers/bin"
    assert volumes["/opt/credential-providers"]["image"]["reference"] == "ecr:1"
    folder, _, file = environ["SLUICE_CREDENTIAL_PROVIDER_CONFIG"].rpartition("/")
    assert paths(volumes[folder]) == {file}
    chart = render(provider(image="ecr:1"))
    folder = told(chart, "worker")["SLUICE_CREDENTIAL_PROVIDER_BIN_DIR"]
    assert folder == "/opt/credential-providers"


def test_programs_of_the_nodes_are_mounted_read_only() -> None:
    """As a kubelet of EKS has them."""
    chart = render(provider(folder="/etc/eks/image-credential-provider"))
    volume = mounted(chart, "worker")["/opt/credential-providers"]
    assert volume["hostPath"] == {
        "path": "/etc/eks/image-credential-provider",
        "type": "Directory",
    }
    (mount,) = (
        one
        for one in chart.containers()["worker"]["volumeMounts"]
        if one["name"] == "credential-providers"
    )
    assert mount["readOnly"] is True
    for other in ("scanner", "watcher", "matcher"):
        assert "/opt/credential-providers" not in mounted(chart, other)


def test_programs_must_be_somewhere() -> None:
    """The root of a node is no answer."""
    with pytest.raises(Exception, match=r"credentialProvider\.folder"):
        render(provider())


@pytest.mark.parametrize("where", [{"folder": "/opt/providers"}, {"image": "ecr:1"}])
def test_programs_without_their_configuration_are_refused(where: dict[str, str]) -> None:
    """Else somebody waits for credentials that nothing asks for."""
    remedy = r"--set registries\.credentialProvider\.configMap="
    with pytest.raises(Exception, match=remedy):
        render({"registries": {"credentialProvider": where}})


def test_a_cloud_can_lend_the_workers_an_identity() -> None:
    """By annotations of their account, or labels of their Pods; and to nobody else."""
    annotation, label = {"eks.amazonaws.com/role-arn": "a"}, {"azure.workload.identity/use": "true"}
    chart = render({"worker": {"serviceAccountAnnotations": annotation, "podLabels": label}})
    assert chart.one("ServiceAccount", "worker")["metadata"]["annotations"] == annotation
    assert "annotations" not in chart.one("ServiceAccount", "watcher")["metadata"]
    assert label.items() <= chart.pods()["worker"]["metadata"]["labels"].items()
    selector = chart.one("Deployment", "worker")["spec"]["selector"]["matchLabels"]
    assert not label.keys() & selector.keys()


def test_users_add_volumes_and_programs_of_their_own() -> None:
    """What the chart does not know: an init container that fills a folder for the worker."""
    volume = {"name": "more", "emptyDir": {}}
    mount = {"name": "more", "mountPath": "/more"}
    init = {"name": "programs", "image": "programs:1", "volumeMounts": [mount]}
    own = {"extraVolumes": [volume], "extraVolumeMounts": [mount]}
    chart = render(
        {
            "watcher": own,
            "worker": {**own, "extraInitContainers": [init]},
            "scanner": {"extraVolumeMounts": [mount]},
            "matcher": own,
        }
    )
    for component in ("watcher", *PULLERS):
        assert mounted(chart, component)["/more"] == volume
    first = chart.pods()["worker"]["spec"]["initContainers"][0]
    assert first == init  # before the sidecar, which never ends


def test_what_a_filter_says_is_read_as_the_product_reads_it(tmp_path: Any) -> None:
    """The names that the chart gives are the ones that `load` takes."""
    environ = told(render(FILTERS), "worker")
    names = {name: environ[name] for name in ("TRIVY_IGNOREFILE", "TRIVY_VEX")}
    for path in ",".join(names.values()).split(","):
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        text = "vulnerabilities: [{id: CVE-1}]" if "ignore" in path else '{"@context": "x"}'
        file.write_text(text)
    here = {
        name: ",".join(f"{tmp_path}{path}" for path in text.split(","))
        for name, text in names.items()
    }
    settings = parse(with_files(here))
    assert len(settings.filters.vex_documents) == 2
    assert settings.filters.ignore_rules.vulnerabilities
