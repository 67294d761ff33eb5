"""The process that reads a list to be published: `python -I -m scanner.pipeline.publish_process`.

Confined as the one that reads a list to be matched (see `import_process`). It differs in what it leaves: all
entries as lines in the order of their keys, in the clear, since that is what is published.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from scanner.feeds import FormatOptions, import_list, our_formats
from scanner.feeds.tree.sorting import LineSorter
from scanner.pipeline import feed_confinement
from scanner.pipeline.feed_answers import ListFigures
from scanner.pipeline.feed_child import answer_orders
from scanner.pipeline.feed_confinement import Confinement
from scanner.pipeline.import_process import load_codecs

LINES = "lines"
"""Name of the sorted lines in the process's directory."""


def sort(order: dict[str, Any]) -> dict[str, Any]:
    """Give up all power, read the list of `order["descriptor"]` and write its lines.

    Raises:
        FeedError: the list can't be used.
        StorageError: the lines can't be written.
    """
    load_codecs(order)
    our_formats()  # while their modules can be reached
    feed_confinement.enter(Confinement.of(order["confinement"]), network=False, keep={order["descriptor"]})
    sorter = LineSorter(Path())
    result = import_list(
        Path(order["source"]),
        order["format"],
        FormatOptions(**order["options"]),
        sorter.add,
        max_bytes=order["max_bytes"],
        descriptor=order["descriptor"],
        max_malformed=order["max_malformed"],
    )
    with open(LINES, "wb") as file:  # noqa: PTH123 - in the current directory
        file.writelines(sorter.lines())
    counts = result.counts
    figures = ListFigures(counts.entries, counts.hashes, counts.categories, counts.entries, 0, 0, 0, 0)
    return {
        "format": result.format,
        "sha256": result.sha256,
        "counts": asdict(counts),
        "list": asdict(figures),
    }


if __name__ == "__main__":
    answer_orders(sort)
