#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""No room for hints: mail goes on, hosts are tried, the panic log says why nothing is remembered; the kernel lives."""
import os

from _sections import ROUTERS, TRANSPORTS
from disk import may_mount, mount, unmount
from heddle import Site, equal, skip, wait_for

if not may_mount():
    skip("no small file system can be mounted here")
site = Site(start=False, routers=ROUTERS, transports=TRANSPORTS, panics=r"retry hints: .*system error")
site.make_directory("spool")
db = site.make_directory("spool/db")
mount(db, "size=1m,mode=755")
site.own(db)
try:
    with site:
        site.start()
        wait_for("there is a file", lambda: os.path.exists(os.path.join(db, "retry.kch")))
        wait_for("it is open", lambda: not site.ctl("hints", "list").returncode)
        pid = site.kernel_pid()
        with open(os.path.join(db, "filler"), "wb", buffering=0) as out:
            try:
                while True:
                    out.write(b"x" * 4096)
            except OSError:
                pass
        for i in range(20):
            name = site.send(f"x{i}@far{i}.example", f"y{i}@test.example")
        site.wait_for_log(rf"{name} == x19@far19\.example .*Connection refused|retry time", "hosts are tried")
        site.wait_for_log(rf"{name} => y19 .*T=maildir", "mail is delivered")
        equal(site.kernel_pid(), pid, "by the same kernel")
finally:
    unmount(db)
