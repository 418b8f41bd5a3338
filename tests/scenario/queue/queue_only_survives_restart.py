#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""queue_only keeps what is accepted on the queue; it is there after a clean stop, and after the whole tree was killed."""
from heddle import Site, equal, like

LISTING = r"^ *0m +[\d.K]+ {id} <sender@client\.example>\n +alice@test\.example\n +bob@test\.example\n"

with Site("queue_only\n") as site:
    first = site.send("alice@test.example", "bob@test.example", body="One.\n" * 1000)
    equal(site.queued(), 1)
    like(site.cli("-bp").stdout, LISTING.format(id=first), "-bp")
    equal(site.stop(), 0, "it stops")
    site.start()
    site.wait_for_queue(1)
    like(site.cli("-bp").stdout, LISTING.format(id=first), "after a restart")
    second = site.send("alice@test.example", "bob@test.example")
    site.kill()
    site.start()
    site.wait_for_queue(2)
    listing = site.cli("-bp").stdout
    like(listing, LISTING.format(id=first), "after everything was killed: the first")
    like(listing, LISTING.format(id=second), "and the second")
    like(site.mainlog(), rf"{second} <= sender@client\.example H=\(client\.example\) \[127\.0\.0\.1\] P=esmtp S=\d+")
    equal(len({first, second}), 2, "no id is given twice")
