"""The image, built from the Dockerfile on a bare Debian and run, without any engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from bare_debian import CHECKOUT, CannotRun, Workshop, copy_sources, require, run
from PIL import Image

# A network of its own, so that the fixed port of the health check is free: bring up its loopback, then run.
ALONE = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as s:
    fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])
"""

# The rights a container has unless they are dropped, and their numbers (linux/capability.h).
DEFAULT_RIGHTS = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "SYS_CHROOT": 18,
    "SETFCAP": 31,
}


class Builder:
    """buildah with a storage of its own: the machine's images are left alone."""

    def __init__(self, workshop: Workshop) -> None:
        require("buildah")
        self._storage = workshop.cache / "images"
        self._bare, self._wheels = workshop.bare(), workshop.wheels()

    def __call__(self, *command: str) -> str:
        return run(*self._command(*command))

    def _command(self, *command: str) -> list[str]:
        # vfs needs nothing of the kernel and of the file system below.
        place = ["--root", f"{self._storage}/root", "--runroot", f"{self._storage}/run"]
        return ["buildah", *place, "--storage-driver", "vfs", *command]

    def base(self) -> str:
        """The bare Debian as an image; kept."""
        name = f"localhost/{self._bare.name}"
        if self._bare.name not in self("images", "--format", "{{.Name}}"):
            container = self("from", "scratch").strip()
            self("copy", "--quiet", container, str(self._bare), "/")
            self("commit", "--quiet", "--rm", container, name)
        return name

    def build(self, sources: Path) -> str:
        """Build from the Dockerfile, without network: what pip needs is handed in."""
        copy_sources(sources)
        for name in ("Dockerfile", ".dockerignore"):
            (sources / name).write_text((CHECKOUT / name).read_text())
        arguments = {"BASE": self.base(), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt/wheels"}
        build = ["bud", "--quiet", "--isolation=chroot", "--format=docker", "--layers=false", "--pull-never"]
        build += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        return self(*build, f"--volume={self._wheels}:/mnt/wheels:ro", str(sources)).strip().splitlines()[-1]

    def run(
        self,
        container: str,
        *command: str,
        alone: bool = False,
        options: Sequence[str] = (),
        **mounts: Path,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container, with `mounts` below /data; `alone` in a network of its own."""
        volumes = [f"--volume={path}:/data/{name}" for name, path in mounts.items()]
        inside = self._command("run", "--isolation=chroot", *options, *volumes, container, "--", *command)
        if alone:
            inside = ["unshare", "--net", sys.executable, "-c", ALONE, *inside]
        return subprocess.run(inside, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def builder(workshop: Workshop) -> Builder:
    try:
        return Builder(workshop)
    except CannotRun as e:
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def image(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = builder.build(tmp_path_factory.mktemp("image") / "sources")
    yield made
    builder("rmi", "--force", made)


@pytest.fixture
def container(builder: Builder, image: str) -> Iterator[str]:
    name = builder("from", "--pull-never", image).strip()
    yield name
    builder("rm", name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A volume with a listed picture and a closed one, and the list."""
    volume = tmp_path / "www"
    volume.mkdir()
    for name in ("listed.png", "closed.png"):
        Image.frombytes("L", (16, 16), os.urandom(256)).save(volume / name)
        (volume / name).chmod(0o600 if name == "closed.png" else 0o644)
    digest = hashlib.sha256((volume / "listed.png").read_bytes()).hexdigest()
    (tmp_path / "list.txt").write_text(f"{digest}  listed.png\n")
    return tmp_path


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_image_has_what_an_engine_needs_to_know(builder: Builder, image: str) -> None:
    config = json.loads(builder("inspect", "--type=image", image))["Docker"]["config"]
    assert config["User"] == "hostsweep"
    assert config["Entrypoint"] == ["hostsweep"]
    assert config["Volumes"] == {"/var/lib/hostsweep": {}}
    assert config["ExposedPorts"] == {"9797/tcp": {}}
    assert "/healthz" in config["Healthcheck"]["Test"][-1]


def test_image_scans_a_mounted_folder_as_an_ordinary_user(
    builder: Builder, container: str, tree: Path
) -> None:
    command = ("hostsweep", "scan", "/data/www", "--feed", "/data/list", "--json")
    done = builder.run(container, *command, www=tree / "www", list=tree / "list.txt")
    assert done.returncode == 1, done.stderr
    found = events(done)
    assert [e["path"] for e in found if e["event"] == "hit"] == ["/data/www/listed.png"]
    # What another user closed is no clean file: it is said.
    assert found[-1]["errors"] == 1
    assert found[-1]["complete"] is False


def test_hits_in_a_container_are_shown_with_their_path_on_the_host(
    builder: Builder, container: str, tree: Path
) -> None:
    config = {
        "volumes": [{"name": "web", "path": "/data/www", "shown_as": "/srv/www"}],
        "feeds": [],
        "http": {"listen": "127.0.0.1:9797"},
    }
    (tree / "config.yaml").write_text(yaml.safe_dump(config))
    command = ("hostsweep", "-c", "/data/config", "scan", "/data/www", "--feed", "/data/list", "--json")
    done = builder.run(
        container, *command, www=tree / "www", list=tree / "list.txt", config=tree / "config.yaml"
    )
    assert done.returncode == 1, done.stderr
    assert [e["path"] for e in events(done) if e["event"] == "hit"] == ["/srv/www/listed.png"]


def test_image_secures_as_root_with_the_documented_rights(
    builder: Builder, container: str, tree: Path
) -> None:
    for path in (tree / "www", *(tree / "www").iterdir()):
        os.chown(path, 4711, 4711)
        path.chmod(path.stat().st_mode & 0o700)
    rights = set(re.findall(r"--cap-add[= ](\w+)", (CHECKOUT / "docs/deployment.md").read_text()))
    options = ["--user=0:0", *(f"--cap-drop=CAP_{right}" for right in DEFAULT_RIGHTS.keys() - rights)]
    command = ("hostsweep", "scan", "/data/www", "--feed", "/data/list", "--quarantine", "--json")
    told = ("sh", "-c", 'grep CapEff /proc/self/status >&2; exec "$@"', "sh", *command)
    done = builder.run(container, *told, options=options, www=tree / "www", list=tree / "list.txt")
    assert int(done.stderr.split()[1], 16) == sum(1 << DEFAULT_RIGHTS[right] for right in rights)
    assert done.returncode == 1, done.stderr
    assert [e["action"] for e in events(done) if e["event"] == "hit"] == ["quarantined"]
    assert events(done)[-1]["complete"] is True
    assert [path.name for path in (tree / "www").glob("*.png")] == ["closed.png"]


def test_health_check_tells_a_running_daemon_from_none(
    builder: Builder, image: str, container: str, tree: Path
) -> None:
    config = {"volumes": [{"name": "web", "path": "/data/www"}], "feeds": []}
    (tree / "config.yaml").write_text(yaml.safe_dump(config))
    check = json.loads(builder("inspect", "--type=image", image))["Docker"]["config"]["Healthcheck"]["Test"][
        1:
    ]
    script = """
        "$@" 2>/dev/null && exit 10
        hostsweep -c /data/config daemon & daemon=$!
        until "$@" 2>/dev/null; do kill -0 $daemon || exit 11; sleep 0.1; done
        kill $daemon && wait $daemon
    """
    done = builder.run(
        container, "sh", "-c", script, "sh", *check, alone=True, www=tree / "www", config=tree / "config.yaml"
    )
    assert done.returncode == 0, done.stderr
