"""Setting up the log: structlog for our own records, the libraries' records routed into the same stream."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

from scanner.observability.harmless import harmless

LogFormat = Literal["console", "json"]

# Verbosity -1 to 2: the lowest level of our own records, and of the libraries' (aiohttp, asyncio).
_LEVELS = {
    -1: (logging.ERROR, logging.ERROR),
    0: (logging.INFO, logging.WARNING),
    1: (logging.DEBUG, logging.INFO),
    2: (logging.DEBUG, logging.DEBUG),
}
_OURS = ("hostsweep", "scanner")


class _Handler(logging.StreamHandler[TextIO]):
    """Our own handler, told apart from others by its class, so that setting up twice replaces it."""


def configure_logging(log_format: str = "console", verbosity: int = 0, stream: TextIO | None = None) -> None:
    """Set up logging for this process. Called by the command line; calling it again replaces the set-up.

    Args:
        log_format: "console" for people, "json" for programs: one object a line.
        verbosity: -1 errors only, 0 what happens, 1 more, 2 all, that of libraries too.
        stream: where to; by default stderr.
    """
    ours, theirs = _LEVELS[max(-1, min(verbosity, 2))]
    target = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(ours),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    _install(_Handler(target), _formatter(log_format, shared, colors=target.isatty()), ours, theirs)


def _formatter(log_format: str, shared: list[Processor], *, colors: bool) -> logging.Formatter:
    last: Processor
    if log_format == "json":
        last = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            harmless,  # after everything that adds text, before what writes it
            last,
        ],
    )


def _install(handler: logging.Handler, formatter: logging.Formatter, ours: int, theirs: int) -> None:
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(theirs)
    for name in _OURS:
        logging.getLogger(name).setLevel(ours)
    logging.captureWarnings(True)
