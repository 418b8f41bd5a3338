#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times in the main log, in the places and forms that exim4 has: of what was delivered, deferred and failed, with milliseconds or
without."""
from heddle import Site, like, unlike, wait_for

ROUTERS = """no:
  driver = redirect
  local_parts = no
  allow_fail
  data = :fail: no
later:
  driver = redirect
  local_parts = later
  allow_defer
  data = :defer: later
yes:
  driver = accept
  transport = maildir
"""
TRANSPORTS = "maildir:\n  driver = appendfile\n  maildir_format\n  directory = DIR/mail/box\n"

for selector, seconds in (("", r"\ds"), (" +millisec", r"\d\.\d\d\ds")):
    with Site(f"log_selector = +queue_time +queue_time_overall +deliver_time +receive_time{selector}\n", routers=ROUTERS,
              transports=TRANSPORTS) as site:
        site.send("yes@test.example", "no@test.example", sender="yes@test.example")
        site.send("later@test.example")
        wait_for("all is done", lambda: "Completed" in site.mainlog() and " == " in site.mainlog())
        log = site.mainlog()
        like(log, rf" <= yes@test\.example .* S=\d+ RT={seconds}( |$)")
        like(log, rf" => yes <yes@test\.example> R=yes T=maildir QT={seconds} DT={seconds}$")
        like(log, rf" \*\* no@test\.example R=no: no DT={seconds}$")
        like(log, rf" == later@test\.example R=later defer \(-1\) DT={seconds}: later$")
        like(log, rf" Completed QT={seconds}$")
        if not selector:
            unlike(log, r"[A-Z]=\d+\.\d+s")
