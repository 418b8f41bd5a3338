#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""-Mf freezes, -Mt thaws, -Mrm removes; all of it survives a restart, and the log says who did it."""
from heddle import Site, equal, like, unlike

with Site("queue_only\n") as site:
    kept, removed = site.send("alice@test.example"), site.send("bob@test.example")
    like(site.cli("-Mf", kept).stdout, f"Message {kept} is now frozen")
    like(site.cli("-bp").stdout, rf"{kept} <sender@client\.example> \*\*\* frozen \*\*\*")
    like(site.cli("-Mrm", removed).stdout, f"Message {removed} has been removed")
    equal(site.cli("-Mrm", removed).returncode, 1, "only once")
    site.stop()
    site.start()
    site.wait_for_queue(1)
    like(site.cli("-bp").stdout, rf"{kept} .*frozen", "still frozen after a restart")
    like(site.cli("-Mt", kept).stdout, f"Message {kept} is no longer frozen")
    unlike(site.cli("-bp").stdout, "frozen")
    site.wait_for_log(rf"{kept} frozen by ")
    site.wait_for_log(rf"{kept} unfrozen by ")
    site.wait_for_log(rf"{removed} removed by ")
    site.wait_for_log(rf"{removed} Completed")
    equal(site.cli("-M", "garbage").returncode != 0, True, "no message id")
