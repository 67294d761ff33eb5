"""A certificate authority for one test, by the openssl command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl, which makes the certificates"
)

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Authority:
    """Its certificate is `ca`; `issue` makes more.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca, self._key = folder / "ca.pem", folder / "ca.key"
        folder.mkdir(exist_ok=True)
        subject = ("-subj", "/CN=Test Authority", "-keyout", str(self._key), "-out", str(self.ca))
        _openssl("req", "-x509", *_KEY, *subject)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for a host or a client, and its key."""
        key, request, made = (self._folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        alternative = "IP" if name[0].isdigit() else "DNS"
        (extensions := self._folder / f"{name}.ext").write_text(f"subjectAltName={alternative}:{name}\n")
        _openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        signed = ("-CA", str(self.ca), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2")
        _openssl("x509", "-req", "-in", str(request), *signed, "-extfile", str(extensions), "-out", str(made))
        return made, key

    def server(self, name: str, *, clients: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
        """What a server of that name speaks TLS with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.verify_mode = clients
        context.load_cert_chain(*self.issue(name))
        return context


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
