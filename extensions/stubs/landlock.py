"""Let this process, and all that it starts, write only below some folders: Landlock, which Linux has since
5.13.

It is copied beside the tests and runs on the project's Python, so it imports nothing of this package. Numbers
are the kernel's: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls
VERSION, PATH_BENEATH, NO_NEW_PRIVILEGES = 1, 1, 38
WRITE_FILE, REFER, TRUNCATE = 1 << 1, 1 << 13, 1 << 14
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))


def write_only_below(folders: list[str]) -> bool:
    """Refuse every later write elsewhere, with PermissionError.

    False where the system can't: then nothing is changed.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    if version < 1:
        return False
    writing = (
        WRITE_FILE | REMOVE_AND_MAKE | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    )
    attributes = struct.pack("=Q", writing)
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for folder in filter(os.path.isdir, folders):
            at = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            try:
                if libc.syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", writing, at), 0):
                    return False
            finally:
                os.close(at)
        return bool(
            libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and libc.syscall(RESTRICT_SELF, rules, 0) == 0
        )
    finally:
        os.close(rules)
