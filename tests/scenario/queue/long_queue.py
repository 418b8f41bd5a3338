#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A long queue (HEDDLE_QUEUE, or 20,000 messages) does not keep a restart from greeting, after a stop and after
a kill; all of it is listed, and one of its messages is delivered when asked for."""
import os
import threading
import time

from heddle import Client, Site, check, equal, like, wait_for

COUNT = int(os.environ.get("HEDDLE_QUEUE", "20000"))


def fill(site, who, share):
    client = Client(site.port)
    client.ask("EHLO client.example")
    for n in range(share):
        client.send(f"MAIL FROM:<s{who}-{n}@d{n % 997}.example>\r\nRCPT TO:<alice+{who}-{n}@test.example>\r\nDATA\r\n")
        if not [client.reply() for _ in range(3)][-1].startswith("354"):
            return
        client.send(f"Subject: {who}-{n}\r\n\r\ntext\r\n.\r\n")
        client.reply()
    client.close()


def greeted(site):
    """Seconds from the start of the program to a greeting."""
    began = time.monotonic()
    site.start()
    client = site.connect()
    took = time.monotonic() - began
    like(client.greeting, "^220 ", "it greets")
    client.close()
    return took


SENDERS = 16
LIMIT = 1 if "HEDDLE_QUEUE" in os.environ else 5  # on a machine that does nothing else, or any
ROUTERS = "inbox:\n  driver = accept\n  local_part_suffix = +*\n  local_parts = alice\n  transport = maildir\n"
with Site("queue_only\nsmtp_accept_max_per_connection = 0\n", routers=ROUTERS) as site:
    threads = [threading.Thread(target=fill, args=(site, who, COUNT // SENDERS)) for who in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.wait_for_queue(COUNT // SENDERS * SENDERS)
    first = site.send("alice+first@test.example")
    wanted = COUNT // SENDERS * SENDERS + 1
    for end in (site.stop, site.kill):
        end()
        took = greeted(site)
        check(took < LIMIT, f"within {LIMIT} s after {end.__name__}", took)
        began = time.monotonic()
        wait_for("the index is whole", lambda: site.queued() == wanted)
        print(f"# greeted after {took:.3f} s, whole {time.monotonic() - began:.3f} s later")
    began = time.monotonic()
    listing = site.cli("-bp").stdout
    took = time.monotonic() - began
    equal(listing.count("@test.example"), wanted, "all of it is listed")
    check(took < LIMIT, f"in less than {LIMIT} s", took)
    print(f"# listed in {took:.3f} s")
    site.cli("-M", first)
    site.wait_for_log(rf"{first} => .*alice\+first@")
    site.wait_for_queue(wanted - 1)
