#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every user may ask over the control socket, but only so many at a time: what one of them keeps open costs the others nothing,
and root is answered all the same."""
import os
import socket

from heddle import IS_ROOT, Site, equal, like, skip, wait_for

if not IS_ROOT:
    skip("here everybody who asks is the daemon's own account")

CHILD = 65534


def idle_connections(path, count):
    """A child with another uid that opens them and says nothing; how many the daemon has closed, and the pipe that ends it."""
    told, tell = os.pipe()
    wait, end = os.pipe()
    if os.fork() == 0:
        os.close(end)
        os.setgroups([])
        os.setgid(CHILD)
        os.setuid(CHILD)
        socks = []
        for _ in range(count):
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            socks.append(s)
        closed = 0
        for s in socks:
            s.settimeout(0.02)
            try:
                closed += s.recv(1) == b""
            except ConnectionResetError:
                closed += 1
            except socket.timeout:
                pass
        os.write(tell, b"%d\n" % closed)
        os.read(wait, 1)
        os._exit(0)
    os.close(wait)
    os.close(tell)
    return int(os.read(told, 16)), end


with Site() as site:
    os.chmod(site.path("spool"), 0o755)
    closed, end = idle_connections(site.path("spool/control.sock"), 100)
    equal(closed, 36, "64 are held, no more")
    equal(site.ctl("queue", "count").stdout, "0\n", "root is answered")
    os.close(end)
    os.wait()
    def again():
        closed, end = idle_connections(site.path("spool/control.sock"), 10)
        os.close(end)
        os.wait()
        return closed == 0
    wait_for("those that have gone make room", again)
    like(site.ctl("stats").stdout, r"\S")
