#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Master, kernel and agents are killed under load, all at once, at random moments (HEDDLE_KILLS times, or 5), and the daemon
is started again: every message that had its 250 is delivered, what comes twice was in delivery when its kill came.  (A kernel that outlives its agents for an instant may log that they died.)"""
import random
import time

from heddle import Site
from crash import FEW, Runs, Senders, account, kill_tree

KILLS = FEW or 5

with Site("smtp_accept_queue_per_connection = 0\n", panics="") as site:
    senders, runs = Senders(site, pause=0.03), Runs()
    for number in range(KILLS):
        senders.more()
        time.sleep(random.uniform(0.02, 0.8))
        kill_tree(site, runs)
        site.start()
    senders.more()
    senders.stop()
    account(site, senders, runs)
