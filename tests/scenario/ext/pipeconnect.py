#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""PIPECONNECT: a client that knows the server may send before the greeting, where it is offered; and what the log says of it."""
from heddle import Client, Site, equal, like, unlike

ALL = "EHLO me.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n"
END = "Subject: x\r\n\r\nx\r\n.\r\n"


def early(site):
    client = Client(site.port, greeting=False)
    client.send(ALL)
    return client


with Site("log_selector = +pipelining\nqueue_only\nacl_smtp_connect = slow\n", acl="slow:\n  accept delay = 1s\ncheck_rcpt:\n  accept\n") as site:
    client = early(site)
    like(client.reply(), "^220 ")
    like(client.reply(), "^250-PIPECONNECT$")
    equal([client.reply()[:3] for _ in range(3)], ["250", "250", "354"])
    client.send(END)
    like(client.reply(), "^250 OK id=")
    client.close()
    client = site.connect()
    client.send("EHLO me.example\r\nMAIL FROM:<a@client.example>\r\n")
    like(client.reply(), "^250-")
    equal(client.reply(), "250 OK", "behind the greeting it is as good")
    client.ask("RCPT TO:<alice@test.example>")
    client.ask("DATA")
    client.send(END)
    like(client.reply(), "^250 OK id=")
    client.ask("MAIL FROM:<a@client.example>")
    client.send("RCPT TO:<alice@test.example>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n")
    equal([client.reply()[:3] for _ in range(3)], ["250", "250", "354"])
    client.send(END)
    like(client.reply(), "^250 OK id=")
    client.close()
    log = site.mainlog()
    like(log, r"P=esmtp L\* S=", "L* in the log")
    like(log, r"P=esmtp L.- S=", "offered")
    like(log, r"P=esmtp L. S=", "PIPELINING alone was used")

with Site("log_selector = +pipelining\npipelining_connect_advertise_hosts =\nqueue_only\nacl_smtp_connect = slow\n",
          acl="slow:\n  accept delay = 1s\ncheck_rcpt:\n  accept\n") as site:
    client = early(site)
    like(client.reply(), "^554 SMTP synchronization error")
    equal(client.reply(), "")
    client.close()
    client = site.connect()
    unlike(client.ask("EHLO me.example"), "PIPECONNECT")
    client.close()
    site.wait_for_log("input sent without waiting for greeting")
