"""A site that was renamed: nothing in it is read again, and all of it is told where it is."""

from __future__ import annotations

import hashlib
import json
import os

from e2e_host import Host, picture

from scanner.sources.moved import keeps_inodes


def test_a_renamed_site_is_not_read_and_its_files_are_told_where_they_are(host: Host) -> None:
    bad = host.save("old/deep/b.png", picture(1, 160, 120))
    host.save("old/a.png", picture(2, 160, 120))
    (host.tree / "old" / "page.html").write_text("<html>")
    config = host.base / "config.yaml"
    config.write_text(f"volumes: [{{name: web, path: {host.tree}}}]\n")
    feed = host.list_of(f"sha256,category\n{hashlib.sha256(bad.read_bytes()).hexdigest()},1\n", "list.csv")
    fd = os.open(host.tree, os.O_RDONLY)
    known_again = keeps_inodes(fd)  # else everything is read again
    os.close(fd)
    host.until_old()
    assert host.scan("--feed", feed, config=config).summary["hashed"] == 2

    os.rename(host.tree / "old", host.tree / "renamed")
    outcome = host.scan("--feed", feed, config=config)
    summary = outcome.summary
    if known_again:
        assert (summary["hashed"], summary["bytes"], summary["moved"]) == (0, 0, 3)
    assert [os.path.relpath(hit["path"], host.tree) for hit in outcome.hits] == ["renamed/deep/b.png"]
    ended = [summary[what] for what in ("matched", "clean", "unchanged", "errors")]
    assert summary["files"] == host.find_count() == sum(ended) + summary["skipped"]["not_media"]
    said = host.run("explain", str(host.tree / "renamed/a.png"), "--json", config=config)
    assert json.loads(said.out)["volumes"][0]["known"]["unchanged"], said.out
