"""Made-up credentials that the sample images carry, and that may never be seen anywhere else.

Promise: none of them was ever valid. They are joined at run time, so that no scanner of source
code finds one here. Leak tests search Redis, logs and reports for `PLANTED`.
"""

from __future__ import annotations

from sandbox.oci import Files

# 16 characters behind AKIA, as real ones have; the documented example key is allow-listed by Trivy.
AWS_KEY_ID = "AKIA" + "Z7V2QXN4KD5TLRWM"
AWS_SECRET_KEY = "hP3q" + "Xk9vRt2LmN8sWc5yBd7" + "fGj4QzUe1TaHo6KiV"
GITHUB_TOKEN = "gh" + "p_" + "q7Wm2XvT9kLr4NcB8sYd" + "6FgH3jZp5QaE1uRo"
PRIVATE_KEY_BODY = "MIIEowIBAAKCAQEA" + "s4Vq9Lm2Xt7Rc5Wk" * 3
# Stands in the image's configuration, which Trivy prints in full.
ENV_PASSWORD = "correct-horse-" + "battery-staple-7391"

PLANTED = (AWS_KEY_ID, AWS_SECRET_KEY, GITHUB_TOKEN, PRIVATE_KEY_BODY, ENV_PASSWORD)


def environment() -> list[str]:
    """Return the image's `ENV` lines."""
    return [f"PASSWORD={ENV_PASSWORD}", "MODE=production"]


def files() -> Files:
    """Return the files with secrets in them."""
    kind = "RSA PRIVATE " + "KEY"
    return {
        "app/settings.env": (
            f"AWS_ACCESS_KEY_ID={AWS_KEY_ID}\nAWS_SECRET_ACCESS_KEY={AWS_SECRET_KEY}\n"
        ),
        "app/ci.env": f"GITHUB_TOKEN={GITHUB_TOKEN}\n",
        "app/id_rsa": f"-----BEGIN {kind}-----\n{PRIVATE_KEY_BODY}\n-----END {kind}-----\n",
    }
