#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many senders (HEDDLE_SLOW, or 1,600) that are each in the middle of 250 KiB at the same time: together more than the budget
for bodies being received, which the kernel's memory keeps to; a normal client is served within a second; those who finish get
250, or 452."""
import os
import resource
import time

from heddle import BUILD, Client, Site, check, equal, wait_for

COUNT = int(os.environ.get("HEDDLE_SLOW", "1600"))
PIECE, PIECES = 25600, 10
BUDGET, SESSION = 256 << 20, 32 << 10
# what a sanitizer keeps of memory that was given back is not the kernel's
KEEP_LITTLE = {"ASAN_OPTIONS": ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=8")))}
# tsan keeps several bytes for each byte, and takes ten times as long
IS_TSAN = "tsan" in os.path.basename(os.path.abspath(BUILD))
PATIENT = 10 if IS_TSAN else 1
LINE = b"a line of a slow sender, 64 characters long with its ending..\r\n"


def memory(pid):
    """Its own, without what it shares with files."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon", "RssShmem", "VmSwap"))) << 10


_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard != resource.RLIM_INFINITY:
    COUNT = min(COUNT, hard - 500)
resource.setrlimit(resource.RLIMIT_NOFILE, (COUNT + 500, hard))
with Site(f"queue_only\nsmtp_accept_max = {COUNT + 100}\nsmtp_connect_backlog = 1000\nsmtp_receive_timeout = 10m\n", environment=KEEP_LITTLE) as site:
    before = memory(site.kernel_pid())
    clients = []
    for _ in range(COUNT):
        client = Client(site.port)
        client.ask("EHLO slow.example")
        client.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n")
        clients.append(client)
    ready = 0
    for client in clients:
        replies = [client.reply() for _ in range(3)]
        ready += replies[-1].startswith("354")
        client.send("Subject: slow\r\n\r\n")
    equal(ready, COUNT, f"{COUNT} senders are in DATA")
    waits, most, piece = [], 0, (LINE * (PIECE // len(LINE) + 1))[:PIECE // len(LINE) * len(LINE)]
    for _ in range(PIECES):
        for client in clients:
            client.send(piece)
        began = time.monotonic()
        site.send("bob@test.example", subject="normal")
        waits.append(time.monotonic() - began)
        most = max(most, memory(site.kernel_pid()))
    time.sleep(0.5)
    most = max(most, memory(site.kernel_pid()))
    print(f"# {COUNT} senders, {COUNT * PIECE * PIECES >> 20} MiB begun: memory grew by {most - before >> 20} MiB; the normal client waited {max(waits):.3f} s")
    check(IS_TSAN or most - before <= BUDGET + COUNT * SESSION + (32 << 20), "memory stays within the budget and what sessions take", f"{most - before >> 20} MiB")
    check(sorted(waits)[PIECES // 2] < PATIENT and max(waits) < 5 * PATIENT, "a normal client is served within a second", waits)
    for client in clients[60:]:
        client.vanish()
    answers = []
    for client in clients[:60]:
        client.send("\r\n.\r\n")
        answers.append(client.reply())
    equal([a for a in answers if a[:3] not in ("250", "452")], [], "each has a clear answer")
    accepted = sum(a.startswith("250") for a in answers)
    check(accepted >= 30, "and most of them are accepted", answers[:3])
    site.wait_for_queue(accepted + PIECES)
    bodies = site.path("spool/queue/body")
    wait_for("what the others had begun is gone", lambda: sum(len(f) for _, _, f in os.walk(bodies)) <= accepted)
    check(sum(len(f) for _, _, f in os.walk(bodies)) <= accepted, "no file of a body is left of those who vanished", os.listdir(bodies)[:5])
