# SPDX-License-Identifier: GPL-3.0-or-later
"""Small disks for the scenarios: a tmpfs where root may mount one, or in a name space of its own for an ordinary user."""
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)


def mount(where, options):
    """A tmpfs with these options, or False."""
    return LIBC.mount(b"tmpfs", where.encode(), b"tmpfs", 0, options.encode()) == 0


def unmount(where):
    LIBC.umount2(where.encode(), 2)  # MNT_DETACH


def may_mount():
    """True: here.  An ordinary user's scenario is started again, as itself, in a name space where it may."""
    with tempfile.TemporaryDirectory() as where:
        if mount(where, "size=64k"):
            unmount(where)
            LIBC.prctl(47, 4, 0, 0, 0)  # no ambient capabilities: what is started from here has none
            return True
    if os.getuid() == 0 or "HEDDLE_UNSHARED" in os.environ or not shutil.which("unshare"):
        return False
    words = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    if subprocess.run(words + ["true"], check=False, stderr=subprocess.DEVNULL).returncode:
        return False
    os.environ["HEDDLE_UNSHARED"] = "1"
    os.execvp(words[0], words + [sys.executable] + sys.argv)
    return False
