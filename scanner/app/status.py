"""The state of everything, gathered once for people and scripts."""

from __future__ import annotations

from typing import Any

from scanner.app.app import App
from scanner.app.coverage import coverage, index_of_now
from scanner.app.covered import Coverage, to_json
from scanner.app.freshness import freshness
from scanner.app.kinds import settled
from scanner.app.trusting import is_signed
from scanner.app.unhashed import of_feed
from scanner.config import FeedConfig
from scanner.feeds import FeedState
from scanner.feeds.exchanges.tuf import NAME as TUF
from scanner.ledger import VolumeScans
from scanner.model.errors import SecurerError
from scanner.model.names import display


def feed_status(app: App, name: str) -> dict[str, Any]:
    """A feed in figures; never a hash."""
    config, state = app.keeper.feed(name), app.keeper.store.state(name)
    counts = state.counts or {}
    fresh = freshness(app.keeper, config, app.clock.now_ns())
    problem = app.keeper.problem(name)
    return {
        "name": name,
        "configured": True,
        "polarity": config.polarity,
        "format": state.format or config.format,
        "url": app.keeper.shown_url(name),
        "loaded": app.keeper.current(name) is not None and problem is None,
        "entries": counts.get("entries", 0),
        "hashes": counts.get("hashes", {}),
        "categories": counts.get("categories", {}),
        "categories_acting": sorted(config.categories) if config.categories is not None else "default",
        "refused": counts.get("refused", {}),
        "unsupported": counts.get("unsupported", {}),
        "not_hashed": of_feed(app.config, config, counts),
        "malformed": counts.get("malformed", 0),
        "benign": dict(state.guard),
        "refusals": dict(state.refusals),
        "accepted": [dict(record) for record in state.accepted],
        "overdue": fresh.overdue,
        "max_age_seconds": int(fresh.max_age),
        "last_success_ns": state.last_success_ns or None,
        "last_attempt_ns": state.last_attempt_ns or None,
        "last_error": problem or state.last_error or None,
        **_trust(config, state),
    }


def _trust(config: FeedConfig, state: FeedState) -> dict[str, Any]:
    """By whom the list in use was signed; not `signed` where the server's word alone stands for it."""
    trust = state.trust if is_signed(config) else {}
    by_tuf = config.exchange == TUF and bool(state.current)
    return {
        "signed": bool(trust) or by_tuf,
        "signature_kind": TUF if by_tuf else config.signature.kind,
        "signed_by": trust.get("key"),
        "serial": trust.get("serial"),
        "signed_at_ns": trust.get("signed_ns"),
        "refusals": dict(state.refusals),
        "warning": state.warning or None,
    }


def unconfigured_feeds(app: App) -> list[dict[str, Any]]:
    """Feeds that are not configured any more and whose lists are still there: none of them acts."""
    found = []
    for state in app.keeper.left_over():
        counts = state.counts or {}
        found.append(
            {
                "name": state.name,
                "configured": False,
                "polarity": None,
                "format": state.format or None,
                "loaded": False,
                "entries": counts.get("entries", 0),
                "hashes": counts.get("hashes", {}),
                "overdue": False,
                "last_success_ns": state.last_success_ns or None,
                "last_error": None,
            }
        )
    return found


def volume_status(name: str, path: str | None, scans: VolumeScans | None, found: Coverage) -> dict[str, Any]:
    """A volume's last scans and how far it is covered; `path` is None for one that is not configured."""
    whole = scans.last_complete if scans else None
    return {
        "name": name,
        "path": path,
        "last_scan_ns": scans.last.finished_ns if scans else None,
        "last_complete_ns": whole.finished_ns if whole else None,
        "complete": scans is not None and scans.last.complete,
        "covered": found.share,
        "counts": dict(scans.last.counts) if scans else {},
        "coverage": to_json(found),
    }


def status(app: App, index_id: str | None = None) -> dict[str, Any]:
    """Volumes, coverage, feeds, cases, vault and brake.

    Args:
        index_id: of the lists in use; None opens them.

    Raises:
        StorageError: a store can't be read.
    """
    with app.ledger(read_only=True) as ledger:
        scans, brake = ledger.last_scans(), ledger.brake()
        cases, unsecured = sum(ledger.counts().values()), ledger.count_unsecured()
    hashing = settled(app.config, app.state).hashing
    items, size, free, securer = _vault(app)
    paths = {v.name: display(v.shown(b"")) for v in app.volumes}
    names = list({**paths, **scans})
    found = coverage(app, names, index_of_now(app) if index_id is None else index_id)
    return {
        "volumes": [volume_status(n, paths.get(n), scans.get(n), found[n]) for n in names],
        "feeds": [feed_status(app, name) for name in app.feed_names],
        "hashing": {
            "exact": list(hashing.exact),
            "perceptual": list(hashing.perceptual),
            "auto": app.config.hashing.auto,
        },
        "cases": {"total": cases, "unsecured": unsecured},
        "quarantine": {"items": items, "bytes": size, "free_bytes": free, "problem": securer},
        "brake": {
            "engaged": brake is not None,
            "reason": brake.reason if brake else None,
            "since_ns": brake.engaged_ns if brake else None,
        },
    }


def _vault(app: App) -> tuple[int | None, int | None, int | None, str | None]:
    """(items, bytes, bytes free, None), or why a separate securer does not tell."""
    try:
        return (*app.vault.figures(), None)
    except SecurerError as e:
        return None, None, None, str(e)
