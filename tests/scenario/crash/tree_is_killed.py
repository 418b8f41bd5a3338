#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Master, kernel and agents are killed under load, all at once, at random moments (HEDDLE_KILLS times, or 5), and the daemon
is started again: every message that had its 250 is delivered, duplicates are no more than what was in delivery.  (A kernel that outlives its agents for an instant may log that they died.)"""
import random
import time

from heddle import Site
from crash import FEW, Senders, account, kill_tree

KILLS = FEW or 5

with Site("smtp_accept_queue_per_connection = 0\n", panics="") as site:
    senders = Senders(site, pause=0.04)
    for number in range(KILLS):
        senders.more()
        time.sleep(random.uniform(0.02, 0.8))
        kill_tree(site)
        site.start()
    senders.more()
    senders.stop()
    account(site, senders, KILLS)
