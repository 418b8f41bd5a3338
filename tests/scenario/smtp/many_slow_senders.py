#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Five hundred sessions that wait in the middle of a message: few threads, little memory, and the next client is greeted at once."""
import time

from heddle import Site, check, equal, like

MAIN = "queue_only\nsmtp_accept_max = 1000\nsmtp_accept_max_per_host = 1000\nsmtp_connect_backlog = 1000\n"

def status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1])

with Site(MAIN) as site:
    pid = site.kernel_pid()
    clients = []
    for number in range(500):
        client = site.connect(helo="client.example")
        client.ask("MAIL FROM:<a@client.example>")
        client.ask("RCPT TO:<alice@test.example>")
        client.ask("DATA")
        client.send(f"Subject: {number}\r\n\r\n" + "x" * 500)
        clients.append(client)
    check(status(pid, "Threads:") < 60, "few threads", status(pid, "Threads:"))
    check(status(pid, "VmRSS:") < 400000, "little memory (also under a sanitizer)", status(pid, "VmRSS:"))
    began = time.monotonic()
    like(site.connect().greeting, "^220 ", "another client is greeted")
    check(time.monotonic() - began < 5, "soon", time.monotonic() - began)
    for client in clients[:100]:
        client.vanish()
    for client in clients[100:]:
        client.send("\r\n.\r\n")
    equal([c.reply()[:3] for c in clients[100:]], ["250"] * 400, "those who go on are answered")
    equal(site.queued(), 400, "and those who left sent nothing")
