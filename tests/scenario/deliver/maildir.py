#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message from the socket to a Maildir: what arrives, what is logged, and that nothing is left behind."""
import os

from heddle import Site, equal, like

BODY = "A line.\n.\n..two dots\n\nThe end, " + "long " * 50 + "\n"

with Site() as site:
    name = site.send("alice@test.example", subject="hello", body=BODY)
    (text,) = site.maildir("alice", 1)
    head, _, body = text.partition("\n\n")
    equal(body, BODY, "the body is as it was sent")
    like(head, r"\AReturn-path: <sender@client\.example>\nEnvelope-to: alice@test\.example\nDelivery-date: ") if "Return-path" in head else None
    like(head, rf"^Received: from \[127\.0\.0\.1\] \(helo=client\.example\)\n\tby mx\.test\.example with esmtp \(Heddle [^)]*\)\n"
               rf"\t\(envelope-from <sender@client\.example>\)\n\tid {name}\n\tfor alice@test\.example;\n\t\w\w\w, ")
    like(head, r"^Subject: hello$")
    site.wait_for_log(rf"{name} Completed$")
    site.wait_for_log(rf"{name} <= sender@client\.example H=\(client\.example\) \[127\.0\.0\.1\] P=esmtp S=\d+$")
    site.wait_for_log(rf"{name} => alice <alice@test\.example> R=inbox T=maildir$")
    equal(site.queued(), 0)
    equal(os.listdir(site.path("mail/alice/tmp")), [], "nothing stays in tmp")
    equal(oct(os.stat(site.path("mail/alice/new")).st_mode & 0o777), "0o700", "a Maildir is its owner's")
    for number in range(20):
        site.send("bob@test.example", "alice@test.example", subject=f"number {number}")
    equal(len(site.maildir("bob", 20)), 20)
    equal(len(site.maildir("alice", 21)), 21)
