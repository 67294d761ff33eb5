"""Landlock with paths that stay, and filters of system calls as data."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.hashing import policy
from scanner.system import landlock, numbers, refusing, seccomp

CODE = """
import os, sys
from scanner.system import landlock
read, write, secret = sys.argv[1:]
assert landlock.restrict(read=[read], write=[write])
def attempt(what):
    try:
        what()
        return "yes"
    except PermissionError:
        return "no"
print(
    attempt(lambda: open(read).close()), attempt(lambda: open(read, "w").close()),
    attempt(lambda: open(write + "/new", "w").close()), attempt(lambda: os.unlink(write + "/new")),
    attempt(lambda: open(secret).close()), attempt(lambda: os.mkfifo(write + "/pipe")),
)
"""


@pytest.mark.skipif(landlock.abi() < 1, reason="this kernel has no Landlock")
def test_landlock_leaves_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "write").mkdir()
    for name in ("read", "secret"):
        (tmp_path / name).write_text("x")
    paths = [str(tmp_path / name) for name in ("read", "write", "secret")]
    done = subprocess.run([sys.executable, "-c", CODE, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["yes", "no", "yes", "yes", "no", "no"]


@pytest.mark.parametrize(
    ("arch", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_of_system_calls_are_the_kernel_s(arch: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed: apt install linux-libc-dev")
    found = {m[1]: int(m[2]) for m in re.finditer(r"__NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())}
    found.setdefault("newfstatat", found.get("fstatat", -1))
    last = max(found.values())  # what is newer than the header can't be looked up in it
    known = {
        name: number for name, number in numbers.NUMBERS[arch].items() if number <= last or name in found
    }
    assert {name: found.get(name) for name in known} == known
    assert len(known) > 90


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_every_system_call_we_make_has_a_number(arch: str) -> None:
    """One without fails with ENOSYS, which its callers take for an old kernel: it would never be made."""
    source = Path(numbers.__file__).parents[1]
    made = {
        name
        for path in source.rglob("*.py")
        for name in re.findall(r"libc\.(?:syscall|number)\(\s*\"(\w+)\"", path.read_text())
    }
    assert {"name_to_handle_at", "openat2", "seccomp"} <= made
    assert made <= set(numbers.NUMBERS[arch])


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_what_is_refused_has_a_number_and_the_rest_is_let_through(arch: str, network: bool) -> None:
    rules = refusing.rules(network=network)
    missing = {rule.call for rule in rules} - set(numbers.NUMBERS[arch])
    old = {"fork", "vfork", "chmod", "chown", "lchown", "utime", "utimes", "futimesat"}  # of x86_64 alone
    assert missing == (old if arch == "aarch64" else set())
    program = seccomp.assemble(rules, arch, seccomp.Otherwise.ALLOW)
    assert program.endswith((0x7FFF0000).to_bytes(4, "little"))


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_policy_can_be_assembled_for_every_machine(arch: str) -> None:
    program = seccomp.assemble(policy.rules(3), arch)
    assert len(program) % 8 == 0 and len(program) // 8 < 4096
    assert program.endswith((0x80000000).to_bytes(4, "little"))  # whatever is not named kills


def test_call_without_a_number_and_machine_that_is_not_known_are_errors() -> None:
    with pytest.raises(ValueError, match="no number"):
        seccomp.assemble([seccomp.Rule("no_such_call")], "x86_64")
    with pytest.raises(OSError, match="no seccomp filter"):
        seccomp.assemble([], "riscv64")
