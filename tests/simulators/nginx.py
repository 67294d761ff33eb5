"""nginx from Debian as a publisher would set it up: files by TLS, with client certificates if wanted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from simulators.authority import Authority

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
NGINX = shutil.which("nginx", path=_PATH)
needs_nginx = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx")

_STARTS = 10.0  # seconds; it takes some hundredths

_CONFIGURATION = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log info;
{user}
events {{ worker_connections 64; }}
http {{
    log_format told '$request_method $request_uri $status $bytes_sent "$http_range" "$ssl_client_s_dn"';
    access_log {folder}/access.log told;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    types {{ application/json json; }}
    default_type application/octet-stream;
    sendfile on;
    server {{
        listen 127.0.0.1:{port} ssl sndbuf=64k;
        server_name localhost;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {clients}
        root {root};
        {more}
    }}
}}
"""


class Nginx:
    """A running server.

    Attributes:
        url: of its root, https://localhost:PORT/.
        port: it listens to on 127.0.0.1.
    """

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.url = f"https://localhost:{port}/"
        self._folder = folder
        self.process = process

    def log(self) -> list[str]:
        """A line for each request: method, path, status, bytes, Range, subject of the client certificate."""
        return (self._folder / "access.log").read_text().splitlines()

    def kill_workers(self) -> None:
        """As if they crashed; the master starts new ones."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for child in children.split():
            os.kill(int(child), signal.SIGKILL)


@contextmanager
def nginx(
    folder: Path, root: Path, authority: Authority, *, client_certificates: bool = False, more: str = ""
) -> Iterator[Nginx]:
    """Serve `root`.

    Args:
        folder: for its own files; made anew.
        authority: certifies the server, and the clients.
        client_certificates: who shows none gets nothing.
        more: lines for its `server` block.
    """
    assert NGINX is not None
    (folder / "tmp").mkdir(parents=True)
    certificate, key = authority.issue("localhost")
    port = _free_port()
    text = _CONFIGURATION.format(
        folder=folder, port=port, certificate=certificate, key=key, root=root, more=more,
        # Its workers would be nobody, to whom a test's folder is closed.
        user="user root;" if os.geteuid() == 0 else "",
        clients=f"ssl_client_certificate {authority.ca}; ssl_verify_client on;" * client_certificates,
    )  # fmt: skip
    (folder / "nginx.conf").write_text(text)
    errors = folder / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
        )  # fmt: skip
    try:
        _wait(port, process, errors)
        yield Nginx(folder, port, process)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], errors: Path) -> None:
    until = time.monotonic() + _STARTS
    while True:
        assert process.poll() is None, errors.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, errors.read_text()
            time.sleep(0.01)
