#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message that stays on the queue has a log of its own, which -Mvl shows: how it came, what was done, why not the rest.  One
that leaves at once has none, and it goes with the message."""
import os

from heddle import DEFAULTS, Site, equal, like, wait_for

ROUTERS = "waits:\n  driver = redirect\n  local_parts = waits\n  condition = ${if !exists{DIR/gone}}\n  allow_defer\n  data = :defer: not today\n\n" \
    "never:\n  driver = redirect\n  local_parts = never\n  allow_fail\n  data = :fail: not ever\n\n"


def logs(site):
    return sorted(os.listdir(site.path("spool/msglog"))) if os.path.isdir(site.path("spool/msglog")) else []


for options in ("", "preserve_message_logs\n", "message_logs = false\n"):
    with Site(options, routers=ROUTERS + DEFAULTS["routers"]) as site:
        at_once = site.send("alice@test.example")
        site.wait_for_log(f"{at_once} Completed")
        stays = site.send("alice@test.example", "waits@test.example", "never@test.example")
        site.wait_for_log(rf"{stays} == waits@test\.example ")
        if "false" in options:
            equal(logs(site), [], "none is wanted")
            continue
        wait_for("its log is there", lambda: stays in logs(site))
        equal(at_once in logs(site), False, "a message that left at once has none")
        shown = site.cli("-Mvl", stays).stdout
        like(shown, r"\A\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d Received from sender@client\.example H=\S*.*\[127\.0\.0\.1\] P=e?smtp S=\d+\n")
        like(shown, r"(?m)^[-\d]+ [:\d]+ waits@test\.example R=waits defer \(-1\): not today$")
        like(shown, r"(?m)^[-\d]+ [:\d]+ alice@test\.example: \w+ transport succeeded$")
        like(shown, r"(?m)^[-\d]+ [:\d]+ never@test\.example R=never: not ever$")
        site.cli("-M", stays)
        wait_for("a second attempt is told too", lambda: site.cli("-Mvl", stays).stdout.count(" R=waits defer ") > 1)
        equal(site.cli("-Mvl", stays).stdout.count("Received from"), 1)
        open(site.path("gone"), "w").close()
        site.cli("-M", stays)
        site.wait_for_log(f"{stays} Completed")
        wait_for("it goes with the message", lambda: stays not in logs(site))
        kept = site.path("spool/msglog.OLD/" + stays)
        equal(os.path.exists(kept), "preserve" in options, "kept only where that is wanted")
