#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""queue_only_load: over that load messages wait for a queue run; below it they go at once."""
import time

from heddle import Site, equal

with Site("queue_only_load = -1\n") as site:
    name = site.send("alice@test.example")
    time.sleep(0.5)  # a delivery takes a hundredth of that
    equal(site.cli("-bpi").stdout.split(), [name], "it waits")
    site.cli("-q")
    site.wait_for_log(rf"{name} Completed")
with Site("queue_only_load = -1\nqueue_only_load_latch = false\n") as site:
    name = site.send("alice@test.example")
    time.sleep(0.5)
    equal(site.cli("-bpi").stdout.split(), [name], "each message is looked at by itself, without the latch")
with Site("queue_only_load = 1000000\n") as site:
    site.wait_for_log(rf"{site.send('alice@test.example')} Completed")
