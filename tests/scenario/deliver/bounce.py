#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fails for good comes back to the sender; a bounce that fails is frozen, never bounced again."""
from heddle import Site, equal, like

ROUTERS = """inbox:
  driver = accept
  local_parts = alice
  transport = maildir
nobody:
  driver = redirect
  local_parts = bob : carol
  allow_fail
  data = :fail: $local_part does not live here
"""

with Site(routers=ROUTERS) as site:
    name = site.send("bob@test.example", "carol@test.example", "alice@test.example", sender="alice@test.example", subject="come back")
    texts = site.maildir("alice", 2)
    site.wait_for_log(rf"{name} \*\* bob@test\.example R=nobody: bob does not live here")
    site.wait_for_log(rf"{name} \*\* carol@test\.example R=nobody: carol does not live here")
    found = site.wait_for_log(r"(\S+) <= <> R={} U=\S+ P=local S=\d+".format(name))
    bounce = next((t for t in texts if "Mail delivery failed" in t), "")
    like(bounce, r"^From: Mail Delivery System <Mailer-Daemon@mx\.test\.example>$")
    like(bounce, r"^To: alice@test\.example$")
    like(bounce, r"^Auto-Submitted: auto-replied$")
    like(bounce, r"^X-Failed-Recipients: .*bob@test\.example")
    like(bounce, r"^Content-Type: multipart/report; report-type=delivery-status;\s+boundary=")
    like(bounce, r"^Final-Recipient: rfc822;bob@test\.example$")
    like(bounce, r"^Action: failed$")
    like(bounce, r"^Subject: come back$", "the message that it is about")
    site.wait_for_log(rf"{name} Completed")
    site.wait_for_log(rf"{found.group(1)} Completed")
    lost = site.send("bob@test.example", sender="carol@test.example")
    site.wait_for_log(r"\*\* carol@test\.example")
    site.wait_for_log(r"(?i)frozen \(delivery error message\)")
    like(site.cli("-bp").stdout, r"<> \*\*\* frozen \*\*\*\n +carol@test\.example")
    equal(site.queued(), 1)
    site.wait_for_log(rf"{lost} Completed")
