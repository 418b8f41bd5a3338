#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""queue_only_load: over that load messages wait for a queue run; below it they go at once."""
from heddle import Site, equal, wait_for

with Site("queue_only_load = -1\n") as site:
    name = site.send("alice@test.example")
    equal(site.cli("-bpi").stdout.split(), [name], "it waits")
    site.cli("-q")
    site.wait_for_log(rf"{name} Completed")
with Site("queue_only_load = 1000000\n") as site:
    site.wait_for_log(rf"{site.send('alice@test.example')} Completed")
