"""The vault in a process of its own: what is said to it, what it checks, and what stands in its place here.

`keeper` says what the app needs of a vault, in this process or not; `remote` asks a separate one over
`client` and `protocol`; `service` is that separate one, which does nothing that `verifying` hasn't seen
itself.

Each name is loaded when it is asked for: most commands have the vault in their own process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.system.late import names_of

if TYPE_CHECKING:
    from scanner.securer.allowance import Allowance
    from scanner.securer.keeper import Keeper, OwnVault, Record, Secures
    from scanner.securer.operations import Household
    from scanner.securer.remote import SECURING, RemoteVault
    from scanner.securer.service import Service, Terms

__all__ = [
    "SECURING",
    "Allowance",
    "Household",
    "Keeper",
    "OwnVault",
    "Record",
    "RemoteVault",
    "Secures",
    "Service",
    "Terms",
]

# Where each is.
_OURS = {
    "Allowance": "allowance",
    "Household": "operations",
    "Keeper": "keeper",
    "OwnVault": "keeper",
    "Record": "keeper",
    "RemoteVault": "remote",
    "SECURING": "remote",
    "Secures": "keeper",
    "Service": "service",
    "Terms": "service",
}
__getattr__ = names_of(__name__, _OURS)
