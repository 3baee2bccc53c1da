"""The fields of the twelve report kinds: what trivy-operator's definitions accept, as data.

One line a field: `path type`, `!` after the type where the parent requires it, then limits. In a
path `[]` is an entry of a list and `*` any key of a map; a list without entries below it names its
entries' type. Pure data; `crds.py` makes the schemas from it.
"""

from __future__ import annotations

from collections.abc import Iterable

_SEVERITIES = "enum=CRITICAL,HIGH,MEDIUM,LOW,UNKNOWN"
_SECRET_SEVERITIES = "enum=CRITICAL,HIGH,MEDIUM,LOW"  # noqa: S105 # no password: four words


def _under(prefix: str, fields: Iterable[str]) -> tuple[str, ...]:
    """Return the fields with `prefix` before each path."""
    return tuple(prefix + field for field in fields)


_SCANNER = (".name string!", ".vendor string!", ".version string!")
_ARTIFACT = (
    "report.artifact object!",
    "report.artifact.digest string",
    "report.artifact.mimeType string",
    "report.artifact.repository string",
    "report.artifact.tag string",
    "report.registry object",
    "report.registry.server string",
)
_FOUR_COUNTS = (".criticalCount", ".highCount", ".lowCount", ".mediumCount")
_CHECK = (
    ".category string",
    ".checkID string!",
    ".description string",
    ".messages array:string",
    ".remediation string",
    ".scope object",
    ".scope.type string!",
    ".scope.value string!",
    ".severity string!",
    ".success boolean!",
    ".title string",
)
_CHECKS = (
    "report object!",
    "report.checks array!",
    *_under("report.checks[]", _CHECK),
    *_under("report.scanner", _SCANNER),
    *(f"report.summary{count} integer!" for count in _FOUR_COUNTS),
)
_ASSESSMENT = ("report.scanner object!", "report.summary object!", *_CHECKS)
_CONFIG_AUDIT = (
    "report.scanner object",
    "report.summary object",
    *_CHECKS,
    "report.updateTimestamp string format=date-time",
)
_IMAGE_REPORT = (
    "report object!",
    *_ARTIFACT,
    "report.scanner object!",
    *_under("report.scanner", _SCANNER),
    "report.summary object!",
    "report.updateTimestamp string! format=date-time",
)
_VULNERABILITY = (
    *_IMAGE_REPORT,
    "report.os object!",
    "report.os.eosl boolean",
    "report.os.family string",
    "report.os.name string",
    *(f"report.summary{count} integer! minimum=0" for count in (*_FOUR_COUNTS, ".unknownCount")),
    "report.summary.noneCount integer minimum=0",
    "report.vulnerabilities array!",
    *_under(
        "report.vulnerabilities[]",
        (
            ".class string",
            ".cvss object",
            ".cvss.* object",
            ".cvss.*.V2Score number",
            ".cvss.*.V2Vector string",
            ".cvss.*.V3Score number",
            ".cvss.*.V3Vector string",
            ".cvss.*.V40Score number",
            ".cvss.*.V40Vector string",
            ".cvsssource string",
            ".description string",
            ".fixedVersion string!",
            ".installedVersion string!",
            ".lastModifiedDate string!",
            ".links array:string",
            ".packagePURL string",
            ".packagePath string",
            ".packageType string",
            ".primaryLink string",
            ".publishedDate string!",
            ".resource string!",
            ".score number",
            f".severity string! {_SEVERITIES}",
            ".target string",
            ".title string!",
            ".vulnerabilityID string!",
        ),
    ),
)
_EXPOSED_SECRET = (
    *_IMAGE_REPORT,
    *(f"report.summary{count} integer! minimum=0" for count in _FOUR_COUNTS),
    "report.secrets array!",
    "report.secrets[].category string!",
    "report.secrets[].match string!",
    "report.secrets[].ruleID string!",
    f"report.secrets[].severity string! {_SECRET_SEVERITIES}",
    "report.secrets[].target string!",
    "report.secrets[].title string!",
)
_COMPONENT = (
    ".bom-ref string",
    ".group string",
    ".hashes array",
    ".hashes[].alg string",
    ".hashes[].content string",
    ".licenses array",
    ".licenses[].expression string",
    ".licenses[].license object",
    ".licenses[].license.id string",
    ".licenses[].license.name string",
    ".licenses[].license.url string",
    ".name string",
    ".properties array",
    ".properties[].name string",
    ".properties[].value string",
    ".purl string",
    ".supplier object",
    ".supplier.contact array",
    ".supplier.contact[].email string",
    ".supplier.contact[].name string",
    ".supplier.contact[].phone string",
    ".supplier.name string",
    ".supplier.url array:string",
    ".type string",
    ".version string",
)
_SBOM = (
    *_IMAGE_REPORT,
    "report.summary.componentsCount integer! minimum=0",
    "report.summary.dependenciesCount integer! minimum=0",
    "report.components object!",
    "report.components.bomFormat string!",
    "report.components.components array",
    *_under("report.components.components[]", _COMPONENT),
    "report.components.dependencies array",
    "report.components.dependencies[].dependsOn array:string",
    "report.components.dependencies[].ref string",
    "report.components.metadata object",
    "report.components.metadata.component object",
    *_under("report.components.metadata.component", _COMPONENT),
    "report.components.metadata.timestamp string",
    "report.components.metadata.tools object",
    "report.components.metadata.tools.components array",
    *_under("report.components.metadata.tools.components[]", _COMPONENT),
    "report.components.serialNumber string",
    "report.components.specVersion string!",
    "report.components.version integer",
)
_COMPLIANCE = (
    "spec object",
    "spec.compliance object!",
    "spec.compliance.controls array!",
    "spec.compliance.controls[].checks array",
    "spec.compliance.controls[].checks[].id string!",
    "spec.compliance.controls[].commands array",
    "spec.compliance.controls[].commands[].id string!",
    "spec.compliance.controls[].defaultStatus string enum=PASS,WARN,FAIL",
    "spec.compliance.controls[].description string",
    "spec.compliance.controls[].id string!",
    "spec.compliance.controls[].name string!",
    f"spec.compliance.controls[].severity string! {_SEVERITIES}",
    "spec.compliance.description string!",
    "spec.compliance.id string!",
    "spec.compliance.platform string!",
    "spec.compliance.relatedResources array:string!",
    "spec.compliance.title string!",
    "spec.compliance.type string!",
    "spec.compliance.version string!",
    "spec.cron string! cron",
    "spec.reportType string! enum=summary,all",
    "status object",
    "status.detailReport object keep",
    "status.detailReport.description string",
    "status.detailReport.id string",
    "status.detailReport.relatedVersion array:string",
    "status.detailReport.results array",
    "status.detailReport.results[].checks array!",
    "status.detailReport.results[].checks[].category string",
    "status.detailReport.results[].checks[].checkID string!",
    "status.detailReport.results[].checks[].description string",
    "status.detailReport.results[].checks[].messages array:string",
    "status.detailReport.results[].checks[].remediation string",
    "status.detailReport.results[].checks[].severity string!",
    "status.detailReport.results[].checks[].success boolean!",
    "status.detailReport.results[].checks[].target string",
    "status.detailReport.results[].checks[].title string",
    "status.detailReport.results[].description string",
    "status.detailReport.results[].id string",
    "status.detailReport.results[].name string",
    "status.detailReport.results[].severity string",
    "status.detailReport.results[].status string",
    "status.detailReport.title string",
    "status.detailReport.version string",
    "status.summary object",
    "status.summary.failCount integer",
    "status.summary.passCount integer",
    "status.summaryReport object keep",
    "status.summaryReport.controlCheck array",
    "status.summaryReport.controlCheck[].id string",
    "status.summaryReport.controlCheck[].name string",
    "status.summaryReport.controlCheck[].severity string",
    "status.summaryReport.controlCheck[].totalFail integer",
    "status.summaryReport.id string",
    "status.summaryReport.title string",
    "status.updateTimestamp string! format=date-time",
)

FIELDS: dict[str, tuple[str, ...]] = {
    "ClusterComplianceReport": _COMPLIANCE,
    "ClusterConfigAuditReport": _CONFIG_AUDIT,
    "ClusterInfraAssessmentReport": _ASSESSMENT,
    "ClusterRbacAssessmentReport": _ASSESSMENT,
    "ClusterSbomReport": _SBOM,
    "ClusterVulnerabilityReport": _VULNERABILITY,
    "ConfigAuditReport": _CONFIG_AUDIT,
    "ExposedSecretReport": _EXPOSED_SECRET,
    "InfraAssessmentReport": _ASSESSMENT,
    "RbacAssessmentReport": _ASSESSMENT,
    "SbomReport": _SBOM,
    "VulnerabilityReport": _VULNERABILITY,
}
