"""Settings about images: registries and credentials, filters, bounds, and how often to look again.

trivy-operator has most of them as keys of its ConfigMaps; where Trivy or the operator has an
environment variable of the same meaning, that name, format and default hold.
"""

from __future__ import annotations

from common.settings import formats, image_formats
from common.settings.ignore_rules import IGNORE_RULES as IGNORE_RULES_TEXT
from common.settings.setting import Setting
from common.settings.vex_documents import VEX_DOCUMENTS as VEX_TEXTS

_NOT_YET = "this version has no such feature yet"

# Registries.
REGISTRY_MIRRORS = Setting(
    name="SLUICE_REGISTRY_MIRRORS",
    format=image_formats.MIRRORS,
    group="Trivy",
    meaning="Where images are pulled from instead, by prefix of their full name; the longest "
    "prefix counts, and reports keep the image's own name "
    "(trivy-operator's `trivy.registry.mirror.*`).",
)
INSECURE_REGISTRIES = Setting(
    name="SLUICE_INSECURE_REGISTRIES",
    format=image_formats.HOSTS,
    group="Trivy",
    meaning="Registries whose certificates need nobody to vouch for them "
    "(trivy-operator's `trivy.insecureRegistry.*`).",
)
NON_SSL_REGISTRIES = Setting(
    name="SLUICE_NON_SSL_REGISTRIES",
    format=image_formats.HOSTS,
    group="Trivy",
    meaning="Registries that may be asked over plain HTTP "
    "(trivy-operator's `trivy.nonSslRegistry.*`).",
)
NON_SSL = Setting(
    name="TRIVY_NON_SSL",
    format=formats.FLAG,
    default="false",
    group="Trivy",
    meaning="Whether every registry may be asked over plain HTTP.",
    upstream=True,
)
DB_REPOSITORY_INSECURE = Setting(
    name="SLUICE_DB_REPOSITORY_INSECURE",
    format=formats.FLAG,
    default="false",
    group="Trivy",
    meaning="Whether the databases' registry may use plain HTTP or a certificate that nobody "
    "vouches for (trivy-operator's `trivy.dbRepositoryInsecure`).",
)

# Credentials; none of these holds one itself.
DB_REPOSITORY_USERNAME_FILE = Setting(
    name="SLUICE_DB_REPOSITORY_USERNAME_FILE",
    format=formats.PATH,
    group="Trivy",
    meaning="A file with the user name for the registry of the (first) vulnerability database; it "
    "serves the Java database there too "
    "(trivy-operator's `trivy.dbRepositoryUsername`).",
)
DB_REPOSITORY_PASSWORD_FILE = Setting(
    name="SLUICE_DB_REPOSITORY_PASSWORD_FILE",
    format=formats.PATH,
    group="Trivy",
    meaning="A file with the password for the databases' registry "
    "(trivy-operator's `trivy.dbRepositoryPassword`).",
)
OPERATOR_SECRET_DIR = Setting(
    name="SLUICE_OPERATOR_SECRET_DIR",
    format=formats.PATH,
    group="Trivy",
    meaning="Where trivy-operator's Secret `trivy-operator-trivy-config` is mounted: its "
    "`trivy.dbRepositoryUsername` and `trivy.dbRepositoryPassword` count where the settings above "
    "name no files. One that is not there says nothing.",
)
PRIVATE_REGISTRY_SECRETS = Setting(
    name="OPERATOR_PRIVATE_REGISTRY_SCAN_SECRETS_NAMES",
    format=image_formats.SECRETS,
    group="Trivy",
    meaning="Pull secrets by namespace, tried after a workload's own. Those of a namespace serve "
    "its own workloads; those of the operator's namespace serve all.",
    upstream=True,
)
ACCESS_GLOBAL_SECRETS = Setting(
    name="OPERATOR_ACCESS_GLOBAL_SECRETS_SERVICE_ACCOUNTS",
    format=formats.FLAG,
    default="true",
    group="Trivy",
    meaning="Whether the pull secrets of workloads and of their service accounts are read; "
    "`false`: those of `OPERATOR_PRIVATE_REGISTRY_SCAN_SECRETS_NAMES` in the operator's own "
    "namespace alone.",
    upstream=True,
)
CREDENTIAL_PROVIDER_CONFIG = Setting(
    name="SLUICE_CREDENTIAL_PROVIDER_CONFIG",
    format=formats.PATH,
    group="Trivy",
    meaning="A kubelet's CredentialProviderConfig: programs that give credentials for images.",
)
CREDENTIAL_PROVIDER_BIN_DIR = Setting(
    name="SLUICE_CREDENTIAL_PROVIDER_BIN_DIR",
    format=formats.PATH,
    group="Trivy",
    meaning="The folder of those programs, as a kubelet's `--image-credential-provider-bin-dir`.",
)
TRIVY_TOKEN_FILE = Setting(
    name="SLUICE_TRIVY_TOKEN_FILE",
    format=formats.PATH,
    group="Trivy",
    meaning="A file with the token that the match server asks for, the same for matcher, workers "
    "and scanners (trivy-operator's `trivy.serverToken`); empty: `match/token` in the data folder. "
    "The matcher draws one where there is none; one of your own server's "
    "(`SLUICE_TRIVY_SERVER_URL`) must be named.",
)

# Filters.
IGNORE_FILE = Setting(
    name="TRIVY_IGNOREFILE",
    format=formats.PATH,
    group="Reports",
    meaning="A file of findings to leave out, plain or YAML, as Trivy "
    "reads it; read at the start. What it says is in `SLUICE_IGNORE_RULES` then.",
    upstream=True,
)
IGNORE_RULES = Setting(
    name="SLUICE_IGNORE_RULES",
    format=IGNORE_RULES_TEXT,
    group="Reports",
    meaning="What such a file says; an expired rule counts no more from then on "
    "(trivy-operator's `trivy.ignoreFile`).",
    shapes_reports=True,
)
IGNORE_POLICY = Setting(
    name="TRIVY_IGNORE_POLICY",
    format=formats.PATH,
    group="Reports",
    meaning="A Rego file that says which findings to leave out; read at the start. What it "
    "says is in `SLUICE_IGNORE_POLICIES` then.",
    upstream=True,
)
IGNORE_POLICIES = Setting(
    name="SLUICE_IGNORE_POLICIES",
    format=image_formats.POLICIES,
    group="Reports",
    meaning="Rego texts by what they count for: an empty name for all, `namespace`, or "
    "`namespace.name` of a workload, in which a dot stands for any characters; the closest "
    "counts "
    "(trivy-operator's `trivy.ignorePolicy.*`).",
    shapes_reports=True,
)
VEX = Setting(
    name="TRIVY_VEX",
    format=formats.NAMES,
    group="Reports",
    meaning="VEX files, OpenVEX or CSAF, that say which findings do not affect an image; read at "
    "the start. What they say is in `SLUICE_VEX_DOCUMENTS` then.",
    upstream=True,
)
VEX_DOCUMENTS = Setting(
    name="SLUICE_VEX_DOCUMENTS",
    format=VEX_TEXTS,
    group="Reports",
    meaning="The texts of such documents, by any names.",
    shapes_reports=True,
)
PKG_TYPES = Setting(
    name="TRIVY_PKG_TYPES",
    format=image_formats.PACKAGE_TYPE_LIST,
    default="os,library",
    group="Reports",
    meaning="The types of packages whose vulnerabilities reports list; SBOMs hold all.",
    upstream=True,
    shapes_reports=True,
)
VULN_TYPE = Setting(
    name="TRIVY_VULN_TYPE",
    format=image_formats.PACKAGE_TYPE_LIST,
    default="os,library",
    group="Reports",
    meaning="The older name of `TRIVY_PKG_TYPES` (trivy-operator's `trivy.vulnType`); "
    "where both are set, what both name counts.",
    upstream=True,
    shapes_reports=True,
)
IGNORE_STATUS = Setting(
    name="TRIVY_IGNORE_STATUS",
    format=image_formats.STATUS_LIST,
    group="Reports",
    meaning="Vulnerabilities whose status is one of these are left out; with it "
    "`TRIVY_IGNORE_UNFIXED` says nothing.",
    upstream=True,
    shapes_reports=True,
)
SBOM_SOURCES = Setting(
    name="TRIVY_SBOM_SOURCES",
    format=image_formats.SBOM_SOURCE_LIST,
    group="Reports",
    meaning="Where Trivy looks for an SBOM of the image before it analyses the image itself.",
    upstream=True,
    honoured=False,
    instead="an inventory is of what an image holds, not of what its publisher says that it holds "
    "(such an SBOM stands in the place of the analysis, exposed secrets included), and Rekor would "
    "be told the digest of every image",
    shapes_reports=True,
)
EXCLUDE_IMAGES = Setting(
    name="SLUICE_EXCLUDE_IMAGES",
    format=formats.GLOBS,
    group="Scope",
    meaning="Images that are not scanned, as globs over the reference as it is written, in which "
    "`*` stops at a slash (trivy-operator's `scanJob.excludeImages`).",
    shapes_rows=True,
)
SKIP_INIT_CONTAINERS = Setting(
    name="SLUICE_SKIP_INIT_CONTAINERS",
    format=formats.FLAG,
    default="false",
    group="Scope",
    meaning="Whether init containers are left out (trivy-operator's `scanJob.skipInitContainers`).",
    shapes_rows=True,
)

# Looking again.
RESCAN_WINDOW = Setting(
    name="SLUICE_RESCAN_WINDOW",
    format=image_formats.WINDOW,
    group="Pipeline",
    meaning="When images are looked at again for their age, in UTC: five fields of cron for the "
    "beginning and how long it lasts, such as `0 22 * * * 6h`; empty: at any time. What would pass "
    "`OPERATOR_SCANNER_REPORT_TTL` outside of it is looked at in it, once. New databases and lost "
    "work do not wait for it.",
)
REFRESH_OVER_S = Setting(
    name="SLUICE_REFRESH_OVER_S",
    format=formats.whole(1, 30 * 86_400),
    default="86400",
    unit="s",
    group="Pipeline",
    meaning="Over how long the images are spread that are analysed again because of a new Trivy, "
    "or because the layer cache began anew.",
)

# Bounds.
MAX_IMAGE_SIZE = Setting(
    name="TRIVY_MAX_IMAGE_SIZE",
    format=image_formats.SIZE,
    group="Trivy",
    meaning="Larger images are not unpacked; empty: no limit. It counts what is fetched, and what "
    "that unpacks to.",
    upstream=True,
)
SCRATCH_MB = Setting(
    name="SLUICE_SCRATCH_MB",
    format=formats.whole(0, 16_777_216),
    default="0",
    unit="MB",
    group="Trivy",
    meaning="How much disk the scanner may use for one image; one that needs more is refused. "
    "0: as much as the disk has.",
)
MAX_UNPACK_RATIO = Setting(
    name="SLUICE_MAX_UNPACK_RATIO",
    format=formats.whole(0, 1_000_000),
    default="250",
    group="Trivy",
    meaning="How many times its own size a layer may unpack to, from 1 GiB on; one beyond it is "
    "taken for a bomb, and its image is refused. 0: no limit. Needs `SLUICE_PULL_PROXY`.",
)
LAYER_CACHE_GB = Setting(
    name="SLUICE_LAYER_CACHE_GB",
    format=formats.whole(0, 1_048_576),
    default="0",
    unit="GB",
    group="Trivy",
    meaning="How large the match server's layer cache may grow before it begins anew; images are "
    "then analysed again, spread over `SLUICE_REFRESH_OVER_S`. 0: only the volume's own limit "
    "counts.",
)
REGISTRY_PULLS_PER_MIN = Setting(
    name="SLUICE_REGISTRY_PULLS_PER_MIN",
    format=image_formats.RATES,
    group="Pipeline",
    meaning="How many images all workers together pull from a registry in a minute, such as "
    "`index.docker.io=1.5,*=120`; a registry that is not named has no limit. A question for the "
    "digest of a tag counts too. A minute's worth may be used at once.",
)
REGISTRY_CONCURRENT_PULLS = Setting(
    name="SLUICE_REGISTRY_CONCURRENT_PULLS",
    format=image_formats.RATES,
    group="Pipeline",
    meaning="How many images all workers together pull from a registry at the same time, such as "
    "`*=8`; a registry that is not named has no limit.",
)
PULL_PROXY = Setting(
    name="SLUICE_PULL_PROXY",
    format=formats.FLAG,
    default="true",
    group="Trivy",
    meaning="Whether layers reach Trivy through the scanner, which counts and checks them and "
    "fetches each once for the whole cluster; `false`: Trivy pulls by itself.",
)
VERIFY_LAYERS = Setting(
    name="SLUICE_VERIFY_LAYERS",
    format=formats.FLAG,
    default="true",
    group="Trivy",
    meaning="Whether the scanner checks that a layer unpacks to what its image says, so that no "
    "image can put its own findings in another's place; needs `SLUICE_PULL_PROXY`.",
)

# Collected, not listed: no row can be forgotten.
ROWS: tuple[Setting[object], ...] = tuple(
    row for row in list(globals().values()) if isinstance(row, Setting)
)
