"""The vault in a process of its own: what is said to it, what it checks, and what stands in its place here.

`keeper` says what the app needs of a vault, in this process or not; `remote` asks a separate one over
`client` and `protocol`; `service` is that separate one, which does nothing that `verifying` hasn't seen
itself.
"""

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
