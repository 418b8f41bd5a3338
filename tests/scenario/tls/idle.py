#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Idle TLS sessions: after a moment each has given back what it does not need, and none has a thread; all can go on."""
import os
import re
import time

from heddle import BUILD, Site, check, like, wait_for
from tls_client import context, message, starttls

COUNT = 200
MOST = 32 << 10  # bytes each; sanitizers and tests' own builds need more, so only the plain one is measured


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"Private_Dirty:\s+(\d+) kB", file.read()).group(1)) << 10


def greeted(site):
    client = starttls(site)
    client.ask("EHLO client.example")
    return client


with Site("queue_only\nsmtp_accept_max = 0\nsmtp_accept_max_per_host = 0\n") as site:
    pid = site.kernel_pid()
    for client in [greeted(site) for _ in range(20)]:  # what the library keeps for itself
        client.close()
    first = greeted(site)
    time.sleep(3)
    before, threads = resident(pid), len(os.listdir(f"/proc/{pid}/task"))
    clients = [greeted(site) for _ in range(COUNT)]
    plain = re.fullmatch("build", os.path.basename(BUILD.rstrip("/"))) and "LD_PRELOAD" not in os.environ
    each = lambda: (resident(pid) - before) / COUNT
    if plain:
        wait_for(f"{MOST >> 10} KiB each", lambda: each() <= MOST, 10)
        check(each() <= MOST, f"{MOST >> 10} KiB each", f"{each()} bytes")
    print(f"# {each() / 1024:.1f} KiB each")
    now = len(os.listdir(f"/proc/{pid}/task"))
    check(now < threads + 16, "no thread each", f"{threads} threads, then {now}")
    for client in (clients[0], clients[-1], first):
        like(message(client), "^250 OK", "one that was idle goes on")
    for client in clients:
        client.close()
