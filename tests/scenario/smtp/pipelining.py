#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipelined commands are answered one for one and in order; who speaks before the greeting or without leave is cut off."""
from heddle import Site, equal, like

ONE = ("MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@test.example>\r\nRCPT TO:<nobody@elsewhere.example>\r\n"
       "RCPT TO:<bob@test.example>\r\nDATA\r\n")
ACL = "check_rcpt:\n  accept domains = +local_domains\n  deny message = relay not permitted\n"

with Site("queue_only\npipelining_connect_advertise_hosts =\n", acl=ACL) as site:
    client = site.connect(helo="client.example")
    client.send(ONE)
    equal([client.reply()[:3] for _ in range(5)], ["250", "250", "550", "250", "354"], "five replies")
    client.send("Subject: one\r\n\r\nbody\r\n.\r\n" + ONE)
    like(client.reply(), "^250 OK id=", "the first message")
    equal([client.reply()[:3] for _ in range(5)], ["250", "250", "550", "250", "354"], "again")
    client.send("Subject: two\r\n\r\nbody\r\n.\r\nQUIT\r\n")
    like(client.reply(), "^250 OK id=", "the second message")
    like(client.reply(), "^221 ")
    equal(site.queued(), 2)

    client = site.connect()
    client.send("EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n")
    like(client.reply(), "^554 SMTP synchronization error", "EHLO is the last of its group")
    equal(client.reply(), "", "and the session ends")
    site.wait_for_log(r"SMTP protocol synchronization error \(next input sent too soon: pipelining was not advertised\)")
    client = site.connect()
    client.ask("HELO client.example")
    client.ask("MAIL FROM:<a@client.example>")
    client.ask("RCPT TO:<alice@test.example>")
    client.send("DATA\r\nSubject: not yet\r\n\r\nsent before the 354\r\n.\r\n")
    like(client.reply(), "^(354|554) ", "data sent along with DATA: an error or a wait, never half a message")
