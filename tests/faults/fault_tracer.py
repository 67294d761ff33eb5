"""A small tracer: runs some work in a child and strikes at a system call of it, before the call is made.

The child is forked from a warm process, so a run costs milliseconds where strace costs half a second. Written
on ptrace(2): PTRACE_GET_SYSCALL_INFO (Linux 5.3) tells calls alike on all machines. Changing a call into an
error needs the machine's registers: x86_64 only.

The child must not start threads or processes: they would not be traced, so it is an error if it does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import mmap
import os
import platform
import signal
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fault_calls import MARK, Shape, Table

from scanner.model.errors import ScannerError

_TRACEME, _CONT, _POKEUSER, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 7, 6, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x100000  # TRACESYSGOOD | EXITKILL
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_INFO_SIZE = 88  # struct ptrace_syscall_info
_RAX, _ORIG_RAX = 10 * 8, 15 * 8  # offsets in struct user of x86_64
_ANSWER_SIZE = 1 << 20  # bytes of shared memory for what the work tells
_HANGS_AFTER = 120  # seconds; real time, since a work that waits for a lock uses none
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def can_inject_errors() -> bool:
    """Whether calls can be made to fail on this machine; killing works on all."""
    return platform.machine() == "x86_64"


@dataclass(frozen=True, slots=True)
class Event:
    """One call that changes a file system, as the order rules see it.

    Attributes:
        call: its name.
        path: of what it changes, absolute; "" where there is none.
        to: the second path of a rename or link.
        error: errno it ended with, 0 for success.
    """

    call: str
    path: str = ""
    to: str = ""
    error: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the work.

    Attributes:
        first: the number, from 1, of the counted call that is struck.
        error: errno that the call gets; 0 kills the process instead. Either way the call is not made.
        on: all counted calls from the first one on get the error, not only that one.
        every_call: count all system calls; else only those that change a file system.
        below: strike only calls about paths below this one: that disk is broken, the others are not.
    """

    first: int
    error: int = 0
    on: bool = False
    every_call: bool = False
    below: str = ""

    def strikes(self, number: int, event: Event | None) -> bool:
        if self.below and (event is None or not f"{event.path}/ {event.to}/".count(f"{self.below}/")):
            return False
        return number == self.first or (self.on and number > self.first)


@dataclass(slots=True)
class Run:
    """What became of some work.

    Attributes:
        calls: counted calls that were met.
        struck: names of the calls that were struck.
        killed: we killed it.
        finished: the work was done when the process ended: a fault after that proves nothing.
        returned: what the work returned (as JSON gives it back).
        raised: class of the exception that came out of it, "" for none; `ours`: a ScannerError.
        text: of the exception, with its traceback.
        events: all calls that change a file system, in order, if they were asked for.
    """

    calls: int = 0
    struck: list[str] = field(default_factory=list)
    killed: bool = False
    finished: bool = False
    returned: Any = None
    raised: str = ""
    ours: bool = False
    text: str = ""
    events: list[Event] = field(default_factory=list)


def mark() -> None:
    """Called by some work to say that what it did so far has returned: an event "mark", no counted call."""
    os.access(MARK, os.F_OK)


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    result = int(_libc.ptrace(request, pid, address, data))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace {request:#x}: {os.strerror(code)}")
    return result


class _Answer:
    """Shared memory in which the child tells how the work ended, without a system call."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ANSWER_SIZE)

    def ended(self) -> None:
        """The work is over, for good or ill; what it came to is yet to be told."""
        self._memory[0] = 1

    def tell(self, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self._memory[16 : 16 + len(text)] = text
        self._memory[8:16] = struct.pack("Q", len(text))

    @property
    def is_over(self) -> bool:
        return bool(self._memory[0])

    def told(self) -> dict[str, Any] | None:
        (length,) = struct.unpack("Q", self._memory[8:16])
        return dict(json.loads(self._memory[16 : 16 + length])) if length else None

    def close(self) -> None:
        self._memory.close()


def run(work: Callable[[], Any], fault: Fault | None = None, *, record: bool = False) -> Run:
    """Run some work in a traced child.

    Args:
        work: returns something JSON can hold; exceptions are told in the result.
        fault: what to do to it; None only counts.
        record: note the calls that change a file system.

    Raises:
        RuntimeError: the child started a thread or process, hung, or died of something else than our kill.
    """
    answer = _Answer()
    # On one processor, switching between the two is several times faster.
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        pid = os.fork()
        if pid == 0:
            _child(work, answer)
        result = _Tracer(pid, fault, record).follow()
        result.finished, told = answer.is_over, answer.told()
    finally:
        os.sched_setaffinity(0, usable)
        answer.close()
    if told is not None:
        for name, value in told.items():
            setattr(result, name, value)
    elif not result.killed:
        raise RuntimeError("the child ended without telling how the work ended")
    return result


def _child(work: Callable[[], Any], answer: _Answer) -> None:
    """The child's whole life."""
    try:
        gc.disable()  # else finalizers of the parent's objects run here, at any point
        signal.alarm(_HANGS_AFTER)
        _ptrace(_TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            told = {"returned": work()}
            answer.ended()
        except BaseException as e:  # noqa: BLE001 - all of it is told to the parent
            answer.ended()
            told = {"raised": type(e).__name__, "ours": isinstance(e, ScannerError)}
            told["text"] = "".join(traceback.format_exception(e))
        answer.tell(told)
    finally:
        os._exit(0)


class _Tracer:
    """The parent's side of one run."""

    def __init__(self, pid: int, fault: Fault | None, record: bool) -> None:
        self._pid = pid
        self._fault = fault
        self._record = record
        self._table = Table.here()
        self._info = ctypes.create_string_buffer(_INFO_SIZE)
        self._memory = -1
        self._pending: Event | None = None  # a call that was entered, until its result is known
        self._fail = 0  # errno for the call that was entered, 0 for none
        self.run = Run()

    def follow(self) -> Run:
        """From the child's first stop to its end."""
        pid, status = os.waitpid(self._pid, 0)
        if not os.WIFSTOPPED(status):
            raise RuntimeError("the child could not be traced")
        _ptrace(_SETOPTIONS, pid, 0, _OPTIONS)
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._steps()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        finally:
            os.close(self._memory)
        return self.run

    def _steps(self) -> None:
        forward = 0
        while True:
            _ptrace(_SYSCALL, self._pid, 0, forward)
            _, status = os.waitpid(self._pid, 0)
            if os.WIFEXITED(status):
                if os.WEXITSTATUS(status):
                    raise RuntimeError(f"the child ended with status {os.WEXITSTATUS(status)}")
                return
            if os.WIFSIGNALED(status):
                raise RuntimeError(f"the child died of signal {os.WTERMSIG(status)}")
            forward = os.WSTOPSIG(status)
            if forward == _SYSCALL_STOP:
                forward = 0
                if not self._syscall():
                    os.waitpid(self._pid, 0)
                    return

    def _syscall(self) -> bool:
        """One stop at a call; False once the child was killed."""
        size = ctypes.addressof(self._info)
        _ptrace(_GET_SYSCALL_INFO, self._pid, _INFO_SIZE, size)
        raw = self._info.raw
        if raw[0] == _ENTRY:
            number, *args = struct.unpack_from("7Q", raw, 24)
            return self._enter(number, tuple(args))
        if raw[0] == _EXIT:
            self._leave(struct.unpack_from("q", raw, 24)[0])
        return True

    def _enter(self, number: int, args: tuple[int, ...]) -> bool:
        if number in self._table.starts:
            raise RuntimeError("the work starts a thread or a process, which would not be traced")
        shape = self._table.shape(number, args, self._read)
        if self._record and number in self._table.looking:
            self._mark(self._event(self._table.looking[number], args))
        every = self._fault is not None and self._fault.every_call
        if shape is None and not (every and number not in self._table.exits):
            return True
        self.run.calls += 1
        event = None
        if shape is not None and (self._record or (self._fault is not None and self._fault.below)):
            event = self._event(shape, args)
        if self._record:
            self._pending = event
        if self._fault is None or not self._fault.strikes(self.run.calls, event):
            return True
        self.run.struck.append(shape.name if shape is not None else f"call {number}")
        if not self._fault.error:
            self.run.killed = True
            os.kill(self._pid, signal.SIGKILL)
            return False
        self._fail = self._fault.error
        _ptrace(_POKEUSER, self._pid, _ORIG_RAX, ctypes.c_ulong(-1).value)
        return True

    def _mark(self, event: Event) -> None:
        if event.path == MARK:
            self.run.events.append(event)

    def _leave(self, result: int) -> None:
        if self._fail:
            _ptrace(_POKEUSER, self._pid, _RAX, ctypes.c_ulong(-self._fail).value)
            result, self._fail = -self._fail, 0
        if self._pending is not None:
            e, self._pending = self._pending, None
            self.run.events.append(Event(e.call, e.path, e.to, -result if result < 0 else 0))

    # Reading the child

    def _event(self, shape: Shape, args: tuple[int, ...]) -> Event:
        path = self._of_fd(args[shape.fd]) if shape.fd >= 0 else ""
        if shape.path >= 0:
            path = self._of_path(args[shape.at] if shape.at >= 0 else _AT_FDCWD, args[shape.path])
        to = ""
        if shape.to >= 0:
            to = self._of_path(args[shape.to_at] if shape.to_at >= 0 else _AT_FDCWD, args[shape.to])
        return Event(shape.name, path, to)

    def _of_fd(self, number: int) -> str:
        number = ctypes.c_int(number & 0xFFFFFFFF).value
        link = f"/proc/{self._pid}/cwd" if number == _AT_FDCWD else f"/proc/{self._pid}/fd/{number}"
        try:
            return os.readlink(link)
        except OSError:
            return f"?{number}"

    def _of_path(self, directory: int, address: int) -> str:
        path = os.fsdecode(self._text(address))
        return path if path.startswith("/") else os.path.join(self._of_fd(directory), path)

    def _read(self, address: int, length: int) -> bytes:
        return os.pread(self._memory, length, address)

    def _text(self, address: int) -> bytes:
        """A string that ends with a zero byte; read page by page, as what comes after may not be mapped."""
        found = b""
        while len(found) < 1 << 16:
            part = self._read(address, 4096 - address % 4096)
            end = part.find(b"\0")
            if end >= 0:
                return found + part[:end]
            found, address = found + part, address + len(part)
        raise OSError(errno.ENAMETOOLONG, "a path without an end")


class NothingStruck(AssertionError):
    """The fault would have come after the end of the work: it proves nothing."""


def strike(work: Callable[[], Any], fault: Fault, *, record: bool = False) -> Run:
    """Run some work with a fault, which must really strike while work is left.

    Raises:
        NothingStruck: it did not.
    """
    result = run(work, fault, record=record)
    if not result.struck:
        raise NothingStruck(f"the work ended after {result.calls} calls, before {fault}")
    if not fault.error and (result.finished or not result.killed):
        raise NothingStruck(f"the work was done when it was killed at {result.struck}")
    return result
