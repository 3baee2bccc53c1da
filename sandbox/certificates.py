"""The keys and certificates of one control plane, made by openssl: a CA of its own, no shortcuts.

Needs openssl 3 (`req -CA`). Elliptic curves, because an RSA key takes 100 times longer to make.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError, shorten

_CURVE = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
_DAYS = "365"  # longer than any sandbox lives
_CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
# Python 3.13 refuses a leaf without an authority key identifier.
_LEAF = ("authorityKeyIdentifier=keyid", "keyUsage=critical,digitalSignature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Paths of the files; the folder is closed to other users."""

    ca: Path
    server_certificate: Path
    server_key: Path
    accounts_key: Path  # signs ServiceAccount tokens
    accounts_public: Path  # kube-apiserver refuses the private half of an EC key here


def make(folder: Path, *, names: tuple[str, ...]) -> Certificates:
    """Make a CA, a serving certificate for `names` ("IP:…", "DNS:…") and the accounts' key pair.

    What is there already is used again, so that clients of a restarted sandbox stay trusted.
    Raises PreconditionError when openssl is missing or fails.
    """
    made = Certificates(
        ca=folder / "ca.crt",
        server_certificate=folder / "server.crt",
        server_key=folder / "server.key",
        accounts_key=folder / "accounts.key",
        accounts_public=folder / "accounts.pub",
    )
    if made.accounts_public.exists():  # written last
        return made
    (folder / "minimal.cnf").write_text("[req]\ndistinguished_name=name\n[name]\n")
    _certificate(folder, "ca", "/CN=kube-sluice sandbox", extensions=_CA)
    issue(folder, "server", "/CN=kube-apiserver", usage="serverAuth", names=names)
    _openssl(folder, "genpkey", *_CURVE, "-out", "accounts.key")
    _openssl(folder, "pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")
    return made


def issue(
    folder: Path, stem: str, subject: str, *, usage: str, names: tuple[str, ...] = ()
) -> tuple[Path, Path]:
    """Make `stem`.crt and `stem`.key, signed by the CA in `folder`; return their paths.

    `usage` is "serverAuth" or "clientAuth"; a subject "/O=group/CN=user" names a client's identity.
    """
    extensions = [*_LEAF, f"extendedKeyUsage={usage}"]
    if names:
        extensions.append("subjectAltName=" + ",".join(names))
    return _certificate(folder, stem, subject, extensions=tuple(extensions), issuer="ca")


def _certificate(
    folder: Path, stem: str, subject: str, *, extensions: tuple[str, ...], issuer: str | None = None
) -> tuple[Path, Path]:
    signed_by = () if issuer is None else ("-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key")
    added = [part for extension in extensions for part in ("-addext", extension)]
    _openssl(folder, "genpkey", *_CURVE, "-out", f"{stem}.key")
    _openssl(
        folder,
        *("req", "-x509", "-new", "-config", "minimal.cnf", "-subj", subject, "-days", _DAYS),
        *("-key", f"{stem}.key", "-out", f"{stem}.crt"),
        *signed_by,
        *added,
    )
    return folder / f"{stem}.crt", folder / f"{stem}.key"


def _openssl(folder: Path, *arguments: str) -> None:
    if shutil.which("openssl") is None:
        raise PreconditionError("openssl 3 is not in PATH; install it (apt-get install openssl)")
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=False)
    if done.returncode != 0:
        said = shorten(done.stderr.decode(errors="replace"))
        raise PreconditionError(f"openssl {arguments[0]} failed; openssl 3 is needed: {said}")
