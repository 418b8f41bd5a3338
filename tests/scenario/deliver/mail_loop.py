#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message that has been received too often goes round in circles: nobody gets it, its sender is told, whoever submitted it."""
from heddle import Site, equal, like, unlike

ROUTERS = """list:
  driver = redirect
  local_parts = list
  data = alice@test.example, bob@test.example
inbox:
  driver = accept
  local_parts = alice : bob : carol
  transport = maildir
"""
TRACE = "Received: from a.example by b.example; Mon, 1 Jan 2024 00:00:00 +0000\n"
LOOP = r'Too many "Received" headers - suspected mail loop'

with Site(main="received_headers_max = 2\n", routers=ROUTERS) as site:
    name = site.send("bob@test.example", "list@test.example", sender="carol@test.example", headers=TRACE + TRACE)
    site.wait_for_log(rf"{name} \*\* bob@test\.example: {LOOP}$")
    site.wait_for_log(rf"{name} \*\* list@test\.example: {LOOP}$", "before it is redirected")
    site.wait_for_log(rf"{name} Completed")
    bounce = site.maildir("carol", 1)[0]
    like(bounce, r"^X-Failed-Recipients: (bob|list)@test\.example,\n  (list|bob)@test\.example$")
    like(bounce, r"following address\(es\) failed:\n\n  (bob|list)@test\.example\n  (list|bob)@test\.example\n\n", "without a reason, as from exim4")
    like(bounce, r"^Final-Recipient: rfc822;bob@test\.example\nStatus: 5\.0\.0$")
    equal(site.maildir("bob"), [], "nobody got it")
    # our own field counts, one more than that is allowed
    site.send("bob@test.example", sender="carol@test.example", headers=TRACE)
    site.maildir("bob", 1)
    site.cli("-bs", stdin=f"EHLO me\nMAIL FROM:<carol@test.example>\nRCPT TO:<alice@test.example>\nDATA\n{TRACE}{TRACE}\nx\n.\nQUIT\n")
    site.wait_for_log(rf"\*\* alice@test\.example: {LOOP}$", "a local submission too")
    site.maildir("carol", 2)
    unlike(site.mainlog(), r"=> alice")
