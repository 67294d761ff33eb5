"""Days of service in short: nothing grows, nothing is lost, every listed file is found exactly once.

`make test-endurance` is the long run.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter

import pytest
from e2e_host import Host, wait_for
from endurance import ListOf, Tree, Watch, room, unrest
from test_daemon_command import Running, daemon  # noqa: F401 - a fixture

FILES = int(os.environ.get("ENDURANCE_FILES", "2000"))
SECONDS = float(os.environ.get("ENDURANCE_SECONDS", "15"))
PLANTS = max(6, int(SECONDS / 4))
_A_FILE = 4600  # bytes of a small file with its inode on ext4
# What a process may take more after its first third: the allocator's own ups and downs.
_MORE_MIB, _MORE_DESCRIPTORS = 12.0, 4.0


def test_under_constant_change_nothing_grows_is_lost_or_found_twice(
    host: Host,
    daemon: Running,  # noqa: F811
) -> None:
    if room(host.base) < FILES * _A_FILE:
        pytest.skip(f"{FILES:,} files need {FILES * _A_FILE:,} bytes, and there is less room")
    rng = random.Random(1)
    tree, police = Tree(host.tree, rng), ListOf(host.base / "list.txt", rng)
    tree.grow(FILES)
    daemon.config.write_text(
        f"volumes: [{{name: web, path: {host.tree}}}]\n"
        f"feeds: [{{name: police, url: 'file://{host.base}/list.txt', hash: sha256, every: 1s}}]\n"
        "schedule: {scan_every: 1s}\n"
        f"http: {{listen: '127.0.0.1:{daemon.port}'}}\nbrake: {{max_share: 0.5}}\n"
    )
    daemon.start()
    assert daemon.process is not None
    watch = Watch(daemon.process.pid)
    unrest(tree, police, watch, rng, SECONDS, PLANTS)
    police.write()
    memory, descriptors = watch.growth()
    print(f"\n{len(watch.memory)} looks, {watch.killed} workers killed")
    print(f"{memory:+.1f} MiB, {descriptors:+.0f} descriptors")
    wait_for(lambda: not any(path.exists() for path in tree.planted), 60 + FILES / 5000)
    assert memory < _MORE_MIB and descriptors < _MORE_DESCRIPTORS
    assert watch.killed
    assert daemon.stop() == 0
    assert tree.wrong() == []
    cases = [json.loads(line) for line in host.run("hits", "list", "--json").out.splitlines()]
    found = Counter(case["digests"]["sha256"] for case in cases)
    assert found == Counter(tree.planted.values())
    assert {case["action"] for case in cases} == {"quarantined"}
    assert host.run("quarantine", "verify").code == 0
    told = {str(entry.get("event")) for entry in daemon.log()}
    assert not told & {"task_failed", "crashed"} and b"Traceback" not in (host.base / "log").read_bytes()
