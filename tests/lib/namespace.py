# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario in namespaces of its own: enter() runs it again where it has its own network, host name, /etc and mail folders.

There port 25 is free for every account, 10.9.9.0/24 is answered by this host though no interface has the addresses that the
servers use, and files of /etc can be replaced without the host noticing.  As an ordinary user this needs user namespaces."""
import os
import socket
import struct
import subprocess
import sys
import tempfile

import packages
from heddle import IS_ROOT, skip

HOST = "mx.test.example"
REMOTE = "10.9.9.9"  # reached through the loopback interface, but not the address of an interface
# Who runs the scenario, also while an ordinary user is root for the setting up.
AS_ROOT = IS_ROOT and "HEDDLE_USER" not in os.environ
UID, GID = (int(part) for part in os.environ.get("HEDDLE_USER", f"{os.getuid()}:{os.getgid()}").split(":"))


def _interface(name, request, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        import fcntl
        fcntl.ioctl(sock, request, struct.pack("16s", name) + data)


def _address(text):
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _network():
    up = struct.pack("H14x", 0x1 | 0x8 | 0x40)
    _interface(b"lo", 0x8914, up)                            # SIOCSIFFLAGS
    _interface(b"lo:1", 0x8916, _address("10.9.9.1"))        # SIOCSIFADDR
    _interface(b"lo:1", 0x891c, _address("255.255.255.0"))   # SIOCSIFNETMASK: on lo, the whole network is local
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w", encoding="ascii") as out:
        out.write("0")


def _mount(*words):
    subprocess.run(["mount", *words], check=True)


def _own_etc(files):
    """/etc is a copy, so that files can be changed and made."""
    copy = tempfile.mkdtemp(prefix="heddle-etc-")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", copy)
    # as an ordinary user not everything can be read, and nothing of that is needed
    subprocess.run(["cp", "-a", "/etc/.", copy], stderr=subprocess.DEVNULL, check=False)
    for path, text in files.items():
        name = os.path.join(copy, os.path.relpath(path, "/etc"))
        if text.startswith("+"):
            with open(name, encoding="utf-8") as file:
                text = text[1:] + file.read()
        with open(name, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(name, 0o644)
    _mount("--bind", copy, "/etc")
    subprocess.run(["umount", copy], check=True)  # it stays where it is bound
    os.rmdir(copy)


def _setup(files):
    socket.sethostname(HOST)
    _network()
    for folder, mode in (("/var/mail", 0o1777), ("/var/spool", 0o1777)):
        _mount("-t", "tmpfs", "-o", f"mode={mode:o}", "tmpfs", folder)
    _own_etc(dict({"/etc/hosts": f"+10.9.9.1 {HOST}\n"}, **files))


def enter(files=None):
    """Returns inside.  files: a text for a file of /etc, or "+" and what comes before what is there.
    Packages must be fetched before: inside there is no network."""
    stage = os.environ.get("HEDDLE_NAMESPACE", "")
    if stage == "inside":
        return
    env = dict(os.environ)
    if stage == "setup":
        _setup(files or {})
        env["HEDDLE_NAMESPACE"] = "inside"
        if "HEDDLE_USER" in env:  # what was root for the setting up is itself again
            uid, gid = env["HEDDLE_USER"].split(":")
            os.execvpe("unshare", ["unshare", "-U", f"--map-user={uid}", f"--map-group={gid}", sys.executable, *sys.argv], env)
        os.execvpe(sys.executable, [sys.executable, *sys.argv], env)
    words = ["unshare", "-mnu", "--propagation", "private"] if IS_ROOT else ["unshare", "-rUmnu"]
    try:
        able = subprocess.run([*words, "true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)
    except FileNotFoundError:
        skip("there is no unshare")
    if able.returncode:
        skip(f"namespaces are not permitted here: {able.stdout.strip()}")
    env["HEDDLE_NAMESPACE"] = "setup"
    env["HEDDLE_CACHE"] = packages.CACHE
    if not IS_ROOT:
        env["HEDDLE_USER"] = f"{os.getuid()}:{os.getgid()}"
    os.execvpe(words[0], [*words, sys.executable, *sys.argv], env)
