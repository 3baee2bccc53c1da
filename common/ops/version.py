"""What runs: the version of the installed distribution."""

from __future__ import annotations

import importlib.metadata

try:
    VERSION = importlib.metadata.version("kube-sluice")
except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
    VERSION = "0.0.0"
