"""Reasons that several values of trivy-operator's chart share. Pure data."""

from __future__ import annotations

from collections.abc import Mapping

LOCKED_DOWN: Mapping[str, object] = {  # a container's security context by default
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
}
NO_JOBS = "there are no scan Jobs here"
NO_AUDIT = "this version writes no configuration, RBAC, infrastructure or compliance reports"
NOT_YET = "this version has no such feature"
IMAGE = "the image of kube-sluice is another one: image.repository, image.tag, image.digest"
TRIVY_IMAGE = "the image of kube-sluice holds Trivy"
METRICS_SERVICE = "the chart has a Service of its own for metrics, without an address of its own"
RESTRICTED = "every Pod of the chart runs under the Pod Security Standard `restricted`"
EVERY_OBJECT = "commonLabels and commonAnnotations are for every object of the chart"
OTHER_PROGRAM = (
    "watcher.resources, worker.resources and so on: these are other programs, and their defaults "
    "are measured"
)
OWN_SERVER = (
    "the matcher runs the cluster's Trivy server; settings.SLUICE_TRIVY_SERVER_URL names another "
    "one, and matcher.existingSecret its token"
)
OWN_TOKEN = "the chart makes a token for its own server; matcher.existingSecret names one of yours"  # noqa: S105 # prose
DATABASE_SECRET = "kube-sluice-database"  # noqa: S105 # a Secret's name
DATABASE_LOGIN = (
    "the value is not printed; make the Secret that registries.databaseSecret names: kubectl "
    f"create secret generic {DATABASE_SECRET} --from-file=username --from-file=password, with "
    "files of these names in the current folder"
)
