#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hints file that is damaged, locked, or no file: the daemon greets, delivers, names it in the panic log, and begins a new one."""
import fcntl
import os
import time

from _sections import ROUTERS, TRANSPORTS
from heddle import Site, check, like, wait_for



def garbage(path):
    with open(path, "wb") as out:
        out.write(os.urandom(50000))


def cut(path):
    os.truncate(path, 3000)


def folder(path):
    os.unlink(path)
    os.mkdir(path)


for what, spoil, said in (("garbage", garbage, r"retry hints: .*retry\.kch: .*renamed to .*retry\.kch\.aside"),
                          ("cut short", cut, r"retry hints: .*retry\.kch"), ("a folder", folder, r"is no plain file")):
    with Site(routers=ROUTERS, transports=TRANSPORTS, panics=said if what != "cut short" else "") as site:
        db = os.path.join(site.spool, "db", "retry.kch")
        wait_for("there is a file", lambda: os.path.exists(db))
        site.stop()
        spoil(db)
        site.own(db)
        site.start()
        name = site.send("x@test.example")
        site.wait_for_log(rf"{name} Completed", f"{what}: mail is delivered")
        name = site.send("x@far.example")
        site.wait_for_log(rf"{name} == x@far\.example .* Connection refused", f"{what}: hosts are tried")
        name = site.send("x@far.example")
        site.wait_for_log(rf"{name} == x@far\.example .* retry time not reached", f"{what}: and remembered")

with Site(routers=ROUTERS, transports=TRANSPORTS, panics=r"is held by another process") as site:
    db = os.path.join(site.spool, "db", "retry.kch")
    wait_for("there is a file", lambda: os.path.exists(db))
    site.stop()
    with open(db, "r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        began = time.monotonic()
        site.start()
        client = site.connect()
        check(time.monotonic() - began < 5, "locked: nobody who connects waits for it")
        name = site.send("x@test.example")
        site.wait_for_log(rf"{name} Completed", "locked: mail is delivered")
        wait_for("it is set aside in the end", lambda: os.path.exists(db + ".aside"))
    name = site.send("x@far.example")
    site.wait_for_log(rf"{name} == x@far\.example", "locked: hosts are tried")
