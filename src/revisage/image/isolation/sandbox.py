"""What Linux lets a process give up for good: files, sockets, programs, other processes.

Only system calls through libc, so nothing needs to be installed. Each of the three is used where the kernel
has it: no_new_privs (prctl(2)), Landlock (landlock(7), kernel 5.13) and a seccomp filter (seccomp(2)).
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable

_SET_DUMPABLE, _SET_SECCOMP, _SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVS = 4, 22, 1, 38
_SET_NAME = 15
_FILTER = 2

_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_VERSION = 1
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # by version: so many bits, and no more of later versions
_NET_RIGHTS, _SCOPES = 3, 3  # bind and connect; abstract sockets and signals

# What decoding from memory into memory and to one pipe needs, threads included.
_ALLOWED = {
    "x86_64": (
        0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 20, 24, 25, 28, 35, 39, 60, 96, 98, 131, 186, 202, 204,
        219, 228, 230, 231, 273, 309, 318, 324, 334,
    ),
    "aarch64": (
        63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 66, 124, 216, 233, 101, 172, 93, 169, 165,
        132, 178, 98, 123, 128, 113, 115, 94, 99, 168, 278, 283, 293,
    ),
}  # fmt: skip
"""Numbers, in this order: read, write, close, fstat, lseek, mmap, mprotect, munmap, brk, rt_sigaction,
rt_sigprocmask, rt_sigreturn, writev, sched_yield, mremap, madvise, nanosleep, getpid, exit, gettimeofday,
getrusage, sigaltstack, gettid, futex, sched_getaffinity, restart_syscall, clock_gettime, clock_nanosleep,
exit_group, set_robust_list, getcpu, getrandom, membarrier, rseq."""

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_PRCTL = {"x86_64": 157, "aarch64": 167}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}  # only to ask
_KILL = {"x86_64": (62, 234), "aarch64": (129, 131)}  # kill, tgkill
_CLONE3 = 435
_THREAD = 0x0001_0100  # CLONE_THREAD and CLONE_VM

_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ALLOW, _REFUSE, _NO_CALL, _KILL_ALL = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x8000_0000  # EPERM, ENOSYS

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def hide() -> None:
    """Let no other process of this account read this one's memory, as far as the system can."""
    if _libc is not None:
        _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def die_with(parent: int) -> None:
    """End this process when its parent, of this process id, ends."""
    if _libc is not None:
        _libc.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it has ended meanwhile
            os._exit(1)


def give_up(close: Callable[[], None]) -> list[str]:
    """Give up all that the kernel lets this process give up; what that was, in words.

    `close` lowers the limits that Landlock cannot be set up under and that the filter would not let be
    changed; it is called whatever the kernel has.

    Afterwards open files can be used, memory and threads made; no file opened, no socket, no program, no
    other process, no signal to another, no limit raised. Only for a process of one thread.
    """
    done = []
    if _libc is not None and _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        done.append("no_new_privs")
        version = _landlock()
        if version:
            done.append(f"Landlock {version}")
    close()
    if done and _seccomp():
        done.append("seccomp")
    return done


def _landlock() -> int:
    """Forbid every access to files that Landlock knows; its version, 0 without it."""
    assert _libc is not None
    version: int = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return 0
    rights = struct.pack("=Q", (1 << _FS_RIGHTS.get(version, max(_FS_RIGHTS.values()))) - 1)
    if version >= 4:
        rights += struct.pack("=Q", _NET_RIGHTS)
    if version >= 6:
        rights += struct.pack("=Q", _SCOPES)
    rules = _libc.syscall(_LANDLOCK_CREATE, rights, ctypes.c_size_t(len(rights)), 0)
    if rules < 0:
        return 0
    refused = _libc.syscall(_LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)
    return 0 if refused else version


def _seccomp() -> bool:
    """Install the filter; False where the kernel or this machine's architecture has none."""
    assert _libc is not None
    machine = platform.machine()
    if machine not in _AUDIT:
        return False
    program = _program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return bool(_libc.prctl(_SET_SECCOMP, _FILTER, head, 0, 0) == 0)


def _program(machine: str, pid: int) -> bytes:
    """The filter in classic BPF over struct seccomp_data: number at 0, architecture at 4, arguments from 16.

    What is not allowed answers EPERM, so that a library that only asks goes on; a foreign architecture ends
    the process. clone3, whose flags a filter cannot see, answers ENOSYS, upon which libc takes clone.
    """
    code = [_step(_LOAD, 4), _step(_EQUAL, _AUDIT[machine], 1, 0), _step(_RETURN, _KILL_ALL), _step(_LOAD, 0)]
    for number in _ALLOWED[machine]:
        code += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ALLOW)]
    code += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _NO_CALL)]
    first, third = 16, 32
    code += _when(_CLONE[machine], [(first, _THREAD, _THREAD)])
    code += _when(_PRCTL[machine], [(first, None, _SET_NAME)])
    code += _when(_PRLIMIT[machine], [(first, None, 0), (third, None, 0), (third + 4, None, 0)])
    for number in _KILL[machine]:
        code += _when(number, [(first, None, pid)])  # abort() signals its own process
    return b"".join([*code, _step(_RETURN, _REFUSE)])


def _when(number: int, conditions: list[tuple[int, int | None, int]]) -> list[bytes]:
    """Allow a call when its words at these offsets, masked, are these values. Keeps the number loaded."""
    block: list[bytes] = []
    left = sum(2 if mask is None else 3 for _, mask, _ in conditions)
    for offset, mask, value in conditions:
        steps = [_step(_LOAD, offset)] + ([] if mask is None else [_step(_AND, mask)])
        left -= len(steps) + 1
        block += [*steps, _step(_EQUAL, value, 0, left + 1)]
    block += [_step(_RETURN, _ALLOW), _step(_RETURN, _REFUSE)]
    return [_step(_EQUAL, number, 0, len(block)), *block]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
