#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""In a sanitizer build: each process knows where reports go, also the one that master starts.  In any other nothing is handed
on but what master says."""
import os
import re

from heddle import BUILD, Site, equal


def environment(pid):
    with open(f"/proc/{pid}/environ", encoding="latin-1") as file:
        return sorted(line.split("=")[0] for line in file.read().split("\0") if line)


with Site(environment={"LD_PRELOAD": "", "SECRET": "1"}) as site:
    sanitized = re.search("asan|tsan", os.path.basename(os.path.abspath(BUILD))) is not None
    options = ["ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"] if sanitized else []
    equal(environment(site.kernel_pid()), sorted(options), "the kernel's environment")
    site.send("alice@test.example")
    site.maildir("alice", 1)
    for agent in site.pids("heddle-agent"):
        equal(environment(agent), sorted(options), "an agent's environment")
