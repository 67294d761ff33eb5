"""What is done about a match: policy and brake, securing, the quarantine vault, restoring, recovery."""

from scanner.response.attributes import Attributes
from scanner.response.brake import Brake, BrakeLimits
from scanner.response.checking import Problem, VaultReport
from scanner.response.items import Item, ItemState
from scanner.response.places import Place, open_root
from scanner.response.policy import verdict
from scanner.response.recovery import RecoveryNote, recover
from scanner.response.restoring import Restorer
from scanner.response.room import VaultLimits
from scanner.response.securing import (
    DEFAULT_POLICY,
    KEPT_IN_STAGING,
    LEFT_IN_STAGING,
    SecureOutcome,
    Securer,
    SecureRequest,
    SecureResult,
    SecuringPolicy,
)
from scanner.response.staging import STAGING_NAME, StagingFolder
from scanner.response.vault import Vault

__all__ = [
    "DEFAULT_POLICY",
    "KEPT_IN_STAGING",
    "LEFT_IN_STAGING",
    "STAGING_NAME",
    "Attributes",
    "Brake",
    "BrakeLimits",
    "Item",
    "ItemState",
    "Place",
    "Problem",
    "RecoveryNote",
    "Restorer",
    "SecureOutcome",
    "SecureRequest",
    "SecureResult",
    "Securer",
    "SecuringPolicy",
    "StagingFolder",
    "Vault",
    "VaultLimits",
    "VaultReport",
    "open_root",
    "recover",
    "verdict",
]
