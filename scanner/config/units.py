"""Durations, sizes and listening addresses: how people write them, and the plain values they stand for."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fractions import Fraction

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_DURATION_PART = re.compile(r"([0-9]+)([wdhms])")
# Ten years: anything longer is a slip of the pen, and stays far from overflowing a timer.
_LONGEST = 3_650 * 86_400

_BYTES = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_UNITS = {unit.casefold(): size for unit, size in _BYTES.items()}
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,6})?) ?([A-Za-z]{1,3})")
_UNIX = "unix:"
_LONGEST_SOCKET = 107  # bytes: sun_path of unix(7) has 108 with the zero at its end
_LARGEST = 1 << 62  # what a file system can hold, and a signed 64-bit number


class Expected(ValueError):
    """A value is not what its key needs; the text says what was expected, what was found is added to it."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: a host and a port (0: any free one), or the `path` of a UNIX socket."""

    host: str
    port: int
    path: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or is_loopback(self.host)

    def __str__(self) -> str:
        if self.path:
            return f"{_UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without brackets) is this machine itself."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_duration(value: object) -> float:
    """Seconds of ``90s``, ``30m``, ``24h``, ``7d``, ``2w`` or several of them in a row (``1h30m``).

    A number without a unit is refused: nobody remembers which one was meant.

    Raises:
        Expected: it is no duration, or none between a second and ten years.
    """
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise Expected("expected a duration with its unit, such as 90s, 30m, 24h or 7d")
    seconds = sum(int(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(value))
    if not 1 <= seconds <= _LONGEST:
        raise Expected("expected a duration between 1s and 3650d")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """The shortest way to write whole seconds that `parse_duration` reads back."""
    whole = int(seconds)
    for unit, size in _SECONDS.items():
        if unit != "w" and whole % size == 0:
            return f"{whole // size}{unit}"
    raise RuntimeError("a second divides everything")


def parse_size(value: object) -> int:
    """Bytes of ``500MB``, ``16GiB``, ``1.5TB``; a plain whole number is bytes.

    Raises:
        Expected: it is no size.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None or found[2].casefold() not in _UNITS:
            raise Expected("expected a size such as 500MB or 16GiB")
        size = int(Fraction(found[1]) * _UNITS[found[2].casefold()])
    if not 0 <= size <= _LARGEST:
        raise Expected("expected a size between 0 and 4 EiB")
    return size


def format_size(size: int) -> str:
    """The shortest exact way to write a size that `parse_size` reads back."""
    ways = [f"{size // unit}{name}" for name, unit in _BYTES.items() if size % unit == 0]
    return min(ways, key=len)


def parse_listen(value: object) -> Listen:
    """Where to listen: ``127.0.0.1:9797``, ``[::1]:9797``, ``localhost:9797``, ``unix:/run/x/http.sock``.

    Raises:
        Expected: it is none.
    """
    if isinstance(value, Listen):
        return value
    expected = Expected("expected an address with a port, such as 127.0.0.1:9797 or [::1]:9797")
    if not isinstance(value, str):
        raise expected
    if value.startswith(_UNIX):
        return Listen("", 0, _socket_path(value.removeprefix(_UNIX)))
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise expected
    if host.startswith("[") and host.endswith("]"):
        return Listen(_ipv6(host[1:-1]), int(port))
    if ":" in host or not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})", host):
        raise expected  # an IPv6 address needs its brackets: where it ends can't be told otherwise
    return Listen(host, int(port))


def _socket_path(text: str) -> str:
    parts = text.split("/")
    plain = text.startswith("/") and not {"", ".", ".."} & set(parts[1:]) and text.isprintable()
    if not plain or len(text.encode()) > _LONGEST_SOCKET:
        raise Expected(
            f"expected unix: and an absolute path of at most {_LONGEST_SOCKET} bytes, "
            "such as unix:/run/hostsweep/http.sock"
        )
    return text


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise Expected("expected an IPv6 address between the brackets, such as [::1]:9797") from None
