"""seccomp: a filter of system calls, assembled from rules that are data.

A program of classic BPF (seccomp(2), linux/filter.h) looks at each call's number and first 32 bits of its
arguments. What no rule names kills the process (not the thread, which could leave a lock held), or is let
through: a list of what is allowed, or of what is refused. Calls that a rule allows without looking at
arguments cost nothing more from Linux 5.11 on (the kernel keeps a bitmap of them); before, the first rules
are the fastest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from scanner.system import libc, power
from scanner.system.numbers import NUMBERS, machine

_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_GET_ACTION_AVAIL = 2

_KILL_PROCESS = 0x80000000  # Linux 4.14
_ERRNO = 0x00050000
_ALLOW = 0x7FFF0000

_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32_BIT = 0x40000000  # calls of the x32 ABI: other numbers for the same powers

# struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits. Both machines are
# little-endian, so the low half of an argument comes first.
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
_LOAD, _RETURN = 0x20, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_RET|BPF_K
_JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT = 0x15, 0x35, 0x45  # BPF_JMP|BPF_K with JEQ, JGE, JSET
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS


class Test(Enum):
    """What an argument is held against a value by."""

    EQUAL = "equal"
    ANY_BIT = "any bit"  # at least one of the value's bits is set
    NO_BIT = "no bit"  # none of them is


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on the low 32 bits of an argument, counted from 0.

    Only for arguments that the kernel itself takes as 32 bits (descriptors, options), or whose high bits
    give no power (mmap's protection, clone's flags).
    """

    index: int
    test: Test
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One system call. A call may have several rules: the first whose conditions all hold decides.

    Attributes:
        error: the errno it fails with, without being made; 0: it is made.
    """

    call: str
    arguments: tuple[Argument, ...] = ()
    error: int = 0


class Otherwise(Enum):
    """What becomes of a call that no rule decides about."""

    KILL = _KILL_PROCESS
    ALLOW = _ALLOW


def assemble(rules: Sequence[Rule], arch: str, otherwise: Otherwise = Otherwise.KILL) -> bytes:
    """The BPF program of a list of rules: struct sock_filter, 8 bytes each.

    Calls that the machine does not have (`open` on aarch64) are left out. Calls of another machine or under
    the numbers of x32, which would mean something else, kill the process in any case.

    Raises:
        OSError: ENOSYS, the machine is not known.
        ValueError: a call without a known number, or a program that is too long.
    """
    if arch not in _ARCHES:
        raise OSError(errno.ENOSYS, f"no seccomp filter is known for {arch}")
    program = [
        _instruction(_LOAD, k=_ARCH),
        _instruction(_JUMP_EQUAL, 1, 0, _ARCHES[arch]),
        _instruction(_RETURN, k=_KILL_PROCESS),
        _instruction(_LOAD, k=_NR),
        _instruction(_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        _instruction(_RETURN, k=_KILL_PROCESS),
    ]
    for call in dict.fromkeys(rule.call for rule in rules):
        if all(call not in numbers for numbers in NUMBERS.values()):
            raise ValueError(f"no number is known for {call}")
        if call in NUMBERS[arch]:
            block = _block([rule for rule in rules if rule.call == call], otherwise)
            program += [_instruction(_JUMP_EQUAL, 0, len(block), NUMBERS[arch][call]), *block]
    program.append(_instruction(_RETURN, k=otherwise.value))
    if len(program) > _MOST_INSTRUCTIONS:
        raise ValueError("a filter with too many rules")
    return b"".join(program)


def _block(rules: Sequence[Rule], otherwise: Otherwise) -> list[bytes]:
    """What decides about one call; never falls out at its end."""
    block: list[bytes] = []
    for rule in rules:
        block += _decide(rule)
        if not rule.arguments:
            return block
    return [*block, _instruction(_RETURN, k=otherwise.value)]


def _decide(rule: Rule) -> list[bytes]:
    """Conditions, each of which jumps behind the rule if it does not hold, and the answer."""
    out = []
    for n, argument in enumerate(rule.arguments):
        behind = 2 * (len(rule.arguments) - n) - 1  # the conditions that follow, and the answer
        out.append(_instruction(_LOAD, k=_ARGUMENTS + 8 * argument.index))
        code = _JUMP_EQUAL if argument.test is Test.EQUAL else _JUMP_ANY_BIT
        holds, fails = (behind, 0) if argument.test is Test.NO_BIT else (0, behind)
        out.append(_instruction(code, holds, fails, argument.value))
    answer = _ERRNO | rule.error if rule.error else _ALLOW
    return [*out, _instruction(_RETURN, k=answer)]


def _instruction(code: int, if_true: int = 0, if_false: int = 0, k: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, k)


def available() -> bool:
    """Whether this kernel filters system calls and can kill a whole process for one."""
    action = ctypes.c_uint32(_KILL_PROCESS)
    try:
        libc.syscall(
            "seccomp",
            ctypes.c_int(_GET_ACTION_AVAIL),
            ctypes.c_int(0),
            ctypes.cast(ctypes.byref(action), ctypes.c_void_p),
        )
    except OSError:
        return False
    return machine() in _ARCHES


def install(rules: Sequence[Rule]) -> bool:
    """Filter the system calls of all threads of this process by an allow list, for good. Sets no_new_privs.

    Returns:
        False where the kernel or the machine has no such filter: nothing was given up then.

    Raises:
        OSError: the kernel refused; the process must not go on.
    """
    if not available():
        return False
    load(assemble(rules, machine()))
    return True


def load(program: bytes) -> None:
    """Put a program into force for all threads of this process, for good. Sets no_new_privs.

    Raises:
        OSError: ENOSYS, the kernel has no filters; any other: it refused, and the process must not go on.
    """
    code = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(code)), 16)
    power.no_new_privs()
    stray = libc.syscall(
        "seccomp",
        ctypes.c_int(_SET_MODE_FILTER),
        ctypes.c_int(_FLAG_TSYNC),
        ctypes.cast(head, ctypes.c_void_p),
    )
    if stray:  # not an error to the kernel: the number of a thread with another filter
        raise OSError(errno.EBUSY, f"{os.strerror(errno.EBUSY)}: a thread has a filter of its own")
