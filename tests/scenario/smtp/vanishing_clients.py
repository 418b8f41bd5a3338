#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that vanish at every step, stall, or send one byte at a time: no message comes of it, others are served."""
from heddle import Site, equal, like

STEPS = ["EHLO client.example", "MAIL FROM:<a@client.example>", "RCPT TO:<alice@test.example>", "DATA",
         "Subject: cut\r\n\r\nhalf a message"]

with Site("queue_only\nsmtp_receive_timeout = 2s\n") as site:
    for steps in range(len(STEPS) + 1):
        for leave in ("close", "vanish"):
            client = site.connect()
            for step in STEPS[:steps]:
                client.send(step + "\r\n")
                if not step.startswith("Subject"):
                    client.reply()
            getattr(client, leave)()
    equal(site.queued(), 0, "no message of those who left")
    slow = site.connect()
    for letter in "EHLO slow.example\r\n":
        slow.send(letter)
    like(slow.reply(), "^250-mx.test.example Hello slow.example", "one byte at a time")
    other = site.connect(helo="client.example")
    equal(other.ask("NOOP"), "250 OK", "another session is served meanwhile")
    like(slow.reply(), "^421 mx.test.example: SMTP command timeout - closing connection", "a client that stalls")
    equal(site.send("alice@test.example") != "no id", True)
    equal(site.queued(), 1)
