#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""-bp, -bpr, -bpi and -bpc, mailq and exim's names: the same queue in every form."""
import os

from heddle import Site, equal, like, wait_for

ROUTERS = """wait:
  driver = redirect
  local_parts = later
  allow_defer
  data = :defer: not now
inbox:
  driver = accept
  local_parts = alice
  transport = maildir
"""

with Site(routers=ROUTERS) as site:
    site.send("alice@test.example", "later@test.example")
    wait_for("one recipient has it", lambda: " D alice" in site.cli("-bp").stdout)
    like(site.cli("-bp").stdout, r"^ +D alice@test\.example\n +later@test\.example\n")
    shown = site.cli("-bpu").stdout
    like(shown, r"^ +0m +\d+ \S+ <sender@client\.example>\n +later@test\.example\n\n", "-bpu: who has not got it yet")
    equal(site.cli("-bpru").stdout, shown)

with Site("queue_only\n") as site:
    ids = [site.send("alice@test.example", sender=f"s{n}@client.example", body="x" * 100 * n + "\n") for n in range(1, 4)]
    ids.append(site.send("bob@test.example", "x@far.example", sender=""))
    equal(site.cli("-bpc").stdout, "4\n")
    equal(site.cli("-bpi").stdout.split(), ids, "-bpi: only the ids, in order")
    listing = site.cli("-bp").stdout
    for n, name in enumerate(ids[:3], 1):
        like(listing, rf"^ ?\s*0m\s+\d+ {name} <s{n}@client\.example>\n\s+alice@test\.example\n\n")
    like(listing, rf"^ ?\s*0m\s+\d+ {ids[3]} <>\n\s+bob@test\.example\n\s+x@far\.example\n\n")
    equal(sorted(site.cli("-bpr").stdout.split()), sorted(listing.split()), "-bpr: the same, in any order")
    os.symlink(os.path.join(site.programs, "heddle"), site.path("mailq"))
    equal(site._run(site.path("mailq"), "-C", site.config).stdout, listing, "called as mailq")
