"""Every metric of hostsweep, on a registry of its own. `docs/metrics.md` says what each means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scanner import __version__
from scanner.model.outcomes import Outcome, ScanCounts
from scanner.observability.labels import Labels
from scanner.observability.tally import Tally
from scanner.observability.textfile import write_atomically

# Seconds from a file's last change to its securing: from a minute (watched) over days (a sweep's turn) to
# years (an old file, a new list).
_EXPOSURE_BUCKETS = tuple(
    float(s)
    for s in (60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 86_400, 3 * 86_400, 7 * 86_400,
              30 * 86_400, 90 * 86_400, 365 * 86_400, 3 * 365 * 86_400)
)  # fmt: skip


class Metrics:
    """The metrics of one process. Every method may be called from any thread.

    Label values that could be a path or a hash become "other" (see `Labels`).
    """

    def __init__(self, version: str = __version__) -> None:
        self._registry = CollectorRegistry()
        self._labels = Labels()
        self._tally = Tally()
        self._names: dict[str, tuple[str, ...]] = {}
        self._define_scans()
        self._define_feeds()
        self._define_coverage()
        self._define_state()
        self._build_info.labels(version).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self._names[f"hostsweep_{name}"] = labels
        return Counter(f"hostsweep_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self._names[f"hostsweep_{name}"] = labels
        return Gauge(f"hostsweep_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        self._names[f"hostsweep_{name}"] = ()
        return Histogram(f"hostsweep_{name}", text, buckets=buckets, registry=self._registry)

    def _define_scans(self) -> None:
        self._files = self._counter("files_total", "Files met, by what became of them.", "volume", "outcome")
        self._skipped = self._counter(
            "skipped_total", "Files that were not looked at, by reason.", "volume", "reason"
        )
        self._bytes = self._counter("bytes_hashed_total", "Bytes read and hashed.", "volume")
        self._moved = self._counter(
            "moved_files_total",
            "Files known by the former path of their directory, not read again.",
            "volume",
        )
        self._hits = self._counter(
            "hits_total", "Files that match a list, by what was done.", "feed", "kind", "action"
        )
        self._errors = self._counter("errors_total", "What could not be done.", "stage", "reason")
        self._duration = self._gauge(
            "scan_duration_seconds", "How long the last finished scan of a volume took.", "volume"
        )
        self._complete = self._gauge(
            "scan_last_complete_timestamp_seconds", "When a scan last saw all of a volume.", "volume"
        )
        self._names_left = self._counter(
            "names_left_total", "Names of secured files that were not found in their volume.", "volume"
        )
        self._exposure = self._histogram(
            "exposure_seconds", "From a file's last change to its securing.", _EXPOSURE_BUCKETS
        )

    def _define_coverage(self) -> None:
        self._covered = self._gauge("coverage_ratio", "Share of a volume's files that is covered.", "volume")
        self._covered_files = self._gauge(
            "coverage_files", "Files of a volume: covered, uncovered, left_out.", "volume", "state"
        )
        self._uncovered = self._gauge(
            "uncovered_files", "Files of a volume that are not covered, by reason.", "volume", "reason"
        )
        self._unknown = self._gauge(
            "uncovered_directories", "Directories of a volume whose files are not even counted.", "volume"
        )
        self._oldest_gap = self._gauge(
            "coverage_oldest_gap_seconds",
            "For how long the oldest file is not covered: 0 if none is.",
            "volume",
        )
        self._walked = self._gauge(
            "coverage_walk_timestamp_seconds", "Begin of the last walk that came to its end.", "volume"
        )
        self._progress = self._gauge(
            "scan_progress_ratio", "How far the running scan is; 0 while none runs.", "volume"
        )
        self._eta = self._gauge(
            "scan_eta_timestamp_seconds", "When the running or the next scan will have ended.", "volume"
        )

    def _define_feeds(self) -> None:
        self._feed_entries = self._gauge("feed_entries", "Hashes of a list in use.", "feed", "kind")
        self._feed_success = self._gauge(
            "feed_last_success_timestamp_seconds", "When a list was last known to be current.", "feed"
        )
        self._feed_sync = self._counter("feed_sync_total", "Attempts to sync a list.", "feed", "result")
        self._checks = self._counter("checks_total", "Hash checks of others, by answer.", "result")
        self._feed_refused = self._counter(
            "feed_refused_total", "Lists that were refused, by what was wrong with them.", "feed", "reason"
        )
        self._feed_benign = self._gauge(
            "feed_benign_entries", "Entries of the list in use that equal known-benign content.", "feed"
        )
        self._feed_malformed = self._gauge(
            "feed_malformed_records", "Records of the list in use that were malformed and left out.", "feed"
        )
        self._suppressed = self._counter(
            "suppressed_matches_total", "Matches with suppressed entries, which did not act.", "feed"
        )
        self._feed_overdue = self._gauge(
            "feed_overdue", "1 if a list is older than its max_age, or was never fetched.", "feed"
        )

    def _define_state(self) -> None:
        self._items = self._gauge("quarantine_items", "Items in the vault.")
        self._size = self._gauge("quarantine_bytes", "Size of the vault's items.")
        self._free = self._gauge("quarantine_free_bytes", "Bytes that the vault can still take.")
        self._unsecured = self._gauge(
            "unsecured_cases", "Cases whose file was to be secured and is still in its place."
        )
        self._brake = self._gauge("brake_engaged", "1 if the brake has stopped securing.")
        self._restarts = self._counter("worker_restarts_total", "Workers that were replaced.", "reason")
        self._sandbox = self._gauge(
            "worker_sandbox", "1 for each layer that confines the workers, 0 for one that does not.", "layer"
        )
        self._queue = self._gauge("queue_depth", "Files that wait, by stage.", "stage")
        self._requests = self._counter(
            "http_requests_total", "HTTP requests by endpoint and class of answer.", "endpoint", "status"
        )
        self._limited = self._counter("http_limited_total", "HTTP requests that met a limit.", "reason")
        self._build_info = self._gauge("build_info", "1, for the version that runs.", "version")

    def _safe(self, **values: str) -> tuple[str, ...]:
        return tuple(self._labels.safe(name, value) for name, value in values.items())

    # Scans

    def record_scan(self, volume: str, counts: ScanCounts) -> None:
        """Bring the counters up to a scan's running counts; may be called as often as one likes.

        What is added is what changed since the last call with the same object: `counts` must be the scan's
        own record, not a copy, and a new one for each scan.
        """
        news = self._tally.news(counts)
        for outcome in Outcome:
            amount = getattr(news, outcome.value, None)
            if outcome is Outcome.SKIPPED:
                amount = sum(news.skipped.values())
            elif outcome is Outcome.FAILED:
                amount = news.errors
            self._files.labels(*self._safe(volume=volume, outcome=outcome.value)).inc(amount or 0)
        self._bytes.labels(*self._safe(volume=volume)).inc(news.bytes)
        self._moved.labels(*self._safe(volume=volume)).inc(news.moved)
        for reason, files in news.skipped.items():
            self._skipped.labels(*self._safe(volume=volume, reason=reason)).inc(files)
        for kind, files in news.failed.items():
            self.error("file", kind, files)
        self.error("directory", "unreadable", news.directories_failed)

    def scan_finished(self, volume: str, seconds: float, *, complete: bool, now_ns: int) -> None:
        """A scan came to its end; `complete` if it saw all there is."""
        labels = self._safe(volume=volume)
        self._duration.labels(*labels).set(seconds)
        if complete:
            self._complete.labels(*labels).set(now_ns / 1e9)

    def coverage(self, volume: str, share: float, files: Mapping[str, int], directories_unknown: int) -> None:
        """How far a volume is covered, in place of what was said before; files by `state`."""
        labels = self._safe(volume=volume)
        self._covered.labels(*labels).set(share)
        self._unknown.labels(*labels).set(directories_unknown)
        for state, number in files.items():
            self._covered_files.labels(*labels, state).set(number)

    def uncovered(self, volume: str, reasons: Mapping[str, int], oldest_seconds: float) -> None:
        """What of a volume is not covered, by reason, and for how long; infinite if it never was scanned."""
        labels = self._safe(volume=volume)
        for old in self._children(self._uncovered, volume=labels[0]):
            self._uncovered.remove(*old)
        for reason, number in reasons.items():
            self._uncovered.labels(*self._safe(volume=volume, reason=reason)).set(number)
        self._oldest_gap.labels(*labels).set(oldest_seconds)

    def scan_times(self, volume: str, walked_ns: int | None, progress: float, eta_ns: int | None) -> None:
        """When a volume was walked last, how far its running scan is, and when it will have ended."""
        labels = self._safe(volume=volume)
        self._walked.labels(*labels).set((walked_ns or 0) / 1e9)
        self._progress.labels(*labels).set(progress)
        self._eta.labels(*labels).set((eta_ns or 0) / 1e9)

    def hit(self, feed: str, kind: str, action: str) -> None:
        self._hits.labels(*self._safe(feed=feed, kind=kind, action=action)).inc()

    def secured(self, exposure_seconds: float) -> None:
        """A file was secured, so long after its last change (a time in the future counts as none)."""
        self._exposure.observe(max(exposure_seconds, 0.0))

    def names_left(self, volume: str, count: int) -> None:
        """A secured file has other names that could not be found."""
        self._names_left.labels(*self._safe(volume=volume)).inc(count)

    def error(self, stage: str, reason: str, count: int = 1) -> None:
        self._errors.labels(*self._safe(stage=stage, reason=reason)).inc(count)

    # Feeds

    def feed_entries(self, feed: str, counts: Mapping[str, int]) -> None:
        """Hashes of a list by kind, in place of all that was said of it before."""
        for labels in self._children(self._feed_entries, feed=self._labels.safe("feed", feed)):
            self._feed_entries.remove(*labels)
        for kind, number in counts.items():
            self._feed_entries.labels(*self._safe(feed=feed, kind=kind)).set(number)

    def feed_synced(self, feed: str, result: str, success_ns: int | None = None) -> None:
        """A sync ended; `success_ns` is the time if the list is current now."""
        self._feed_sync.labels(*self._safe(feed=feed, result=result)).inc()
        if success_ns is not None:
            self.feed_success(feed, success_ns)

    def check_answered(self, result: str) -> None:
        """Somebody asked for a hash: true, false, prefix, refused, limited, malformed."""
        self._checks.labels(*self._safe(result=result)).inc()

    def feed_success(self, feed: str, success_ns: int) -> None:
        """When a list was last known to be current, e.g. as remembered from before a restart."""
        self._feed_success.labels(*self._safe(feed=feed)).set(success_ns / 1e9)

    def feed_refused(self, feed: str, reason: str, count: int = 1) -> None:
        """A list was refused; the last good one stays."""
        self._feed_refused.labels(*self._safe(feed=feed, reason=reason)).inc(count)

    def feed_quality(self, feed: str, benign: int, malformed: int) -> None:
        """What is wrong with the list in use, and was let pass."""
        self._feed_benign.labels(*self._safe(feed=feed)).set(benign)
        self._feed_malformed.labels(*self._safe(feed=feed)).set(malformed)

    def suppressed_match(self, feed: str) -> None:
        """A file equals or resembles an entry that is suppressed."""
        self._suppressed.labels(*self._safe(feed=feed)).inc()

    def feed_overdue(self, feed: str, overdue: bool) -> None:
        self._feed_overdue.labels(*self._safe(feed=feed)).set(overdue)

    # State

    def vault(self, items: int, size: int, free: int, unsecured: int) -> None:
        self._items.set(items)
        self._size.set(size)
        self._free.set(free)
        self.unsecured(unsecured)

    def unsecured(self, cases: int) -> None:
        self._unsecured.set(cases)

    def brake(self, engaged: bool) -> None:
        self._brake.set(engaged)

    def workers(
        self, restarts: Mapping[str, int], layers: Collection[str], known: Collection[str] = ()
    ) -> None:
        """Workers replaced since the last call, by reason, and which of the known layers confine them now."""
        for reason, number in restarts.items():
            self._restarts.labels(*self._safe(reason=reason)).inc(number)
        for (layer,) in self._children(self._sandbox):
            self._sandbox.labels(layer).set(0)
        for layer in known:
            self._sandbox.labels(*self._safe(layer=layer)).set(0)
        for layer in layers:
            self._sandbox.labels(*self._safe(layer=layer)).set(1)

    def queue(self, stage: str, depth: int) -> None:
        self._queue.labels(*self._safe(stage=stage)).set(depth)

    # The HTTP surface

    def http_request(self, endpoint: str, status: int) -> None:
        """A request was answered; the status is counted by its class, such as 2xx."""
        self._requests.labels(*self._safe(endpoint=endpoint, status=f"{status // 100}xx")).inc()

    def http_limited(self, reason: str) -> None:
        self._limited.labels(*self._safe(reason=reason)).inc()

    def _children(self, metric: Gauge, **wanted: str) -> list[tuple[str, ...]]:
        """Label values that a gauge has, of those that have the wanted ones."""
        samples = [s for m in metric.collect() for s in m.samples]
        return [tuple(s.labels.values()) for s in samples if wanted.items() <= s.labels.items()]

    # Output

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(_WithoutCreated(self._registry))

    def write_textfile(self, path: Path) -> None:
        """Write `render` for node_exporter's textfile collector: whole or not at all, readable by all.

        Raises:
            OSError: it can't be written, or something that is no regular file is in its place.
        """
        write_atomically(path, self.render())

    def names(self) -> dict[str, tuple[str, ...]]:
        """Names of all metrics with their labels, whether they have values yet or not."""
        return dict(self._names)


class _WithoutCreated(Collector):
    """A registry without the `_created` series that the client adds to every counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._kept()

    def _kept(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric
