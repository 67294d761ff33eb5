"""The ledger: cases, steps, exceptions, scans and the brake, on a chained record that only grows."""

from scanner.ledger.ledger import Ledger
from scanner.ledger.records import (
    BrakeState,
    Event,
    EventType,
    ExceptionRecord,
    Head,
    ScanRecord,
    Verification,
    VolumeScans,
)

__all__ = [
    "BrakeState",
    "Event",
    "EventType",
    "ExceptionRecord",
    "Head",
    "Ledger",
    "ScanRecord",
    "Verification",
    "VolumeScans",
]
