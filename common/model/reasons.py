"""Reasons that are no class's name, each with the class whose policy applies. Pure data.

Status, history, Events and metrics show reasons; settings name classes. docs/error-classes.md has
both tables.
"""

from __future__ import annotations

from collections.abc import Mapping

CLASS_OF_REASON: Mapping[str, str] = {
    "AlreadyExists": "Conflict",
    "CacheDamaged": "Transient",
    "CacheLocked": "Transient",
    "CertificateRefused": "Terminal",
    "CircuitOpen": "SourceUnavailable",
    "ConfigurationUnknown": "Terminal",
    "CredentialProviderFailed": "Transient",
    "DatabaseChanging": "Transient",
    "DatabaseCheckSlow": "SourceUnavailable",
    "DatabaseDownloadFailed": "SourceUnavailable",
    "DatabaseUnusable": "SourceUnavailable",
    "Defect": "Unknown",
    "DefinitionMissing": "Transient",
    "Expired": "Transient",
    "Forbidden": "Transient",
    "IdleStream": "SourceUnavailable",
    "IgnorePolicyBroken": "Terminal",
    "ImageTooLarge": "Terminal",
    "Invalid": "Terminal",
    "JavaDatabaseMissing": "SourceUnavailable",
    "LayerCacheUnavailable": "SourceUnavailable",
    "LayerMismatch": "DamagedImage",
    "ManifestTooLarge": "Terminal",
    "MatchFailed": "Transient",
    "MatchServerRefused": "SourceUnavailable",
    "MatchServerUnavailable": "SourceUnavailable",
    "MatchServerUnreadable": "SourceUnavailable",
    "NoCluster": "Precondition",
    "NotAcceptable": "Terminal",
    "NotAnImage": "DamagedImage",
    "NotFound": "Gone",
    "NothingRecorded": "Transient",
    "OptionsChanged": "Transient",
    "PolicyRunFailed": "Transient",
    "RedisFault": "Unknown",
    "RedisFull": "Transient",
    "RedisRefused": "SourceUnavailable",
    "RegistryBudget": "Transient",
    "RegistryRefused": "Terminal",
    "RegistryUnavailable": "SourceUnavailable",
    "ReportTooLarge": "Terminal",
    "ReportUnreadable": "Transient",
    "ScanFailed": "Transient",
    "ScanRequestUnreadable": "Transient",
    "ScannerFault": "Terminal",
    "ScannerMisconfigured": "Terminal",
    "ScannerTooNew": "SourceUnavailable",
    "ScannerUnavailable": "SourceUnavailable",
    "ScratchFull": "Transient",
    "Settings": "Precondition",
    "StaleFence": "Unknown",
    "TornStream": "SourceUnavailable",
}
