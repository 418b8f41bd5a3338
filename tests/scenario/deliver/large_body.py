#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A body over the threshold for a file of its own, with lines of every length: it survives a restart, and arrives byte for byte
in a Maildir and at another server."""
import hashlib
import random

from heddle import Site, equal
from peers import Sink

ROUTERS = """out:
  driver = manualroute
  domains = far.example
  route_list = * 127.0.0.1::PORT byname
  self = send
  transport = smtp
inbox:
  driver = accept
  local_parts = alice
  transport = maildir
"""
TRANSPORTS = """maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
smtp:
  driver = smtp
  allow_localhost
"""
maker = random.Random(1)
LINES = [maker.choice(["", ".", "..", "text " * maker.randrange(200), "\xe9" * 70, ">From x"]) for _ in range(12000)]
BODY = "\n".join(LINES) + "\n"
DIGEST = hashlib.sha256(BODY.encode("latin-1")).hexdigest()

sink = Sink()
with Site("queue_only\n", routers=ROUTERS.replace("PORT", str(sink.port)), transports=TRANSPORTS) as site:
    site.send("alice@test.example", "x@far.example", body=BODY)
    site.kill()
    site.start()
    site.wait_for_queue(1)
    equal(site.cli("-q").returncode, 0, "a queue run delivers what queue_only kept")
    (text,) = site.maildir("alice", 1)
    equal(hashlib.sha256(text.partition("\n\n")[2].encode("latin-1")).hexdigest(), DIGEST, "in the Maildir")
    ((_, _, text),) = sink.wait(1)
    equal(hashlib.sha256(text.replace("\r\n", "\n").partition("\n\n")[2].encode("latin-1")).hexdigest(), DIGEST, "at the server")
    site.wait_for_queue(0)
