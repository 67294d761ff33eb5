"""Whether the daemon can do its work, and if not, what is in the way."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.model.names import display

_LONGEST = 200  # characters: a status line, not a log


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so, e.g. ``Check("feed:police", False, "the list is 3 days old")``.

    `text` is shown to whoever may ask: no path of a customer, nothing of a list.
    """

    name: str
    ok: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that was checked."""

    checks: tuple[Check, ...] = ()

    @property
    def ready(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        """JSON-able: ``ready``, and in ``not_ready`` the name and text of what isn't."""
        missing = [c for c in self.checks if not c.ok]
        return {
            "ready": not missing,
            "not_ready": [{"name": display(c.name), "text": display(c.text)[:_LONGEST]} for c in missing],
        }
