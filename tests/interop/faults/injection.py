"""strace as a fault: a signal or an error at the K-th call of a system call."""

from programs import tool

# Everything by which a store changes what lies on the medium.
SYSTEM_CALLS = ("fdatasync", "fsync", "pwrite64", "write", "ftruncate", "fallocate", "openat", "rename", "unlink")


def strace(calls: str, what: str, when: str) -> list[str]:
    """The command in front of a program: `what` happens at the `when`-th of these calls ("5", "5+", "5..9")."""
    return [
        *(tool("strace"), "-f", "-qqq", "-o", "/dev/null", "-e", "signal=none"),
        *("-e", f"trace={calls}", "-e", f"inject={calls}:{what}:when={when}"),
    ]


def kill_at(call: str, when: int) -> list[str]:
    """kill -9 as the `when`-th of these calls begins."""
    return strace(call, "signal=KILL", str(when))


def fail_at(calls: str, error: str, when: str) -> list[str]:
    """These calls fail."""
    return strace(calls, f"error={error}", when)


def skip(calls: str) -> list[str]:
    """These calls do nothing and say that all is well: a disk that lies."""
    return strace(calls, "retval=0", "1+")
