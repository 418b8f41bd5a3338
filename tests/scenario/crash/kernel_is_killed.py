#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel is killed under load at random moments (HEDDLE_KILLS times, or 8): master starts it again on the same sockets,
every message that had its 250 is delivered, and what comes twice was in delivery when its kill came."""
import random
import time

from heddle import Site, equal
from crash import FEW, Runs, Senders, account, kill_kernel

KILLS = FEW or 8

with Site("smtp_accept_queue_per_connection = 0\n") as site:
    senders, runs = Senders(site, pause=0.03), Runs()
    for number in range(KILLS):
        senders.more()
        # one that lived a while is started again at once, one that did not a little later
        time.sleep(random.uniform(0.02, 0.3) if number % 3 == 0 else random.uniform(1.6, 2.2))
        kill_kernel(site, runs)
    senders.more()
    senders.stop()
    account(site, senders, runs)
    equal(site.mainlog().count("daemon started"), KILLS + 1, f"started {KILLS + 1} times")
    equal(site.read("stderr").count("the kernel died of signal 9"), KILLS, "master said so")
