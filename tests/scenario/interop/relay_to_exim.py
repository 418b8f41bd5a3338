#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's exim4 takes what we relay, and relays to us: content, envelope, many recipients, many messages on a connection."""
import os
import re

import exim
from heddle import Site, check, equal, wait_for

exim.enter()
EXIM = """primary_hostname = exim.example
acl_smtp_rcpt = accept
smtp_accept_queue_per_connection = 0
tls_advertise_hosts =
log_selector = +smtp_connection
begin routers
back:
  driver = manualroute
  domains = test.example
  route_list = * 127.0.0.1
  self = send
  transport = smtp
all:
  driver = accept
  transport = files
begin transports
smtp:
  driver = smtp
  port = 2525
  allow_localhost
files:
  driver = appendfile
  directory = DIR/exim/in
  create_directory
  user = Debian-exim
  envelope_to_add
  return_path_add
  batch_max = 1000
"""
ROUTERS = """out:
  driver = manualroute
  domains = !+local_domains
  route_list = * 127.0.0.1
  self = send
  transport = smtp
inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice : bob : carol
  transport = maildir
"""
TRANSPORTS = """smtp:
  driver = smtp
  port = 2526
  allow_localhost
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
"""
BODY = f".\n..\n.end\nna\xefve\nlong {'y' * 990}\n\nFrom here\n"
COUNT = 40
MANY = 120  # recipients; smtp's max_rcpt is 100


def taken(site):
    """What exim4 has written, whole files only."""
    folder = site.path("exim/in")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [site.read(f"exim/in/{name}") for name in names if name.startswith("q")]


def envelope_to(text):
    """The recipients of one delivery."""
    return [word.strip() for word in re.search("^Envelope-to: (.*(?:\n .*)*)", text, re.M).group(1).split(",")]


with Site(routers=ROUTERS, transports=TRANSPORTS, arguments=["-oX", "127.0.0.1.2525"]) as site:
    peer = exim.Exim(site, EXIM, port=2526)
    peer.start()
    for i in range(COUNT):
        site.send(f"x{i}@there.example", f"y{i}@there.example", subject=f"number {i}", body=BODY)
    texts = wait_for(f"{COUNT} messages at exim4", lambda: (lambda t: t if len(t) >= COUNT else None)(taken(site))) or taken(site)
    equal(sorted(re.search("^Subject: number (.*)$", t, re.M).group(1) for t in texts), sorted(map(str, range(COUNT))), "each has come")
    equal({t.partition("\n\n")[2] for t in texts}, {BODY}, "the bodies are as they were")
    equal({re.search("^Return-path: (.*)$", t, re.M).group(1) for t in texts}, {"<sender@client.example>"}, "the sender")
    equal(sorted(sorted(envelope_to(t)) for t in texts), sorted([f"x{i}@there.example", f"y{i}@there.example"] for i in range(COUNT)),
          "two recipients each")
    site.send(*[f"r{i}@there.example" for i in range(MANY)], subject="many", body=BODY)
    site.wait_for_queue(0)
    texts = wait_for("the last one at exim4", lambda: (lambda t: t if len(t) >= COUNT + 2 else None)(taken(site))) or []
    equal(sorted(r for t in texts if "Subject: many" in t for r in envelope_to(t)), sorted(f"r{i}@there.example" for i in range(MANY)), "each of many recipients, once")
    calls = len(re.findall(r"SMTP connection from \S+.* \(TCP/IP connection count", peer.mainlog()))
    check(1 <= calls < COUNT, f"connections are used again: {calls} for {COUNT + 2} transactions", peer.mainlog()[-2000:])
    # the other way
    mail = f"From: <me@exim.example>\nSubject: back\n\n{BODY}"
    done = peer.run("-odi", "-oi", "-f", "me@exim.example", "alice@test.example", "bob@test.example", stdin=mail)
    equal((done.returncode, done.stderr), (0, ""), "exim4 sends")
    for who in ("alice", "bob"):
        (text,) = site.maildir(who, 1) or [""]
        equal(text.partition("\n\n")[2], BODY, f"what {who} got is as it was")
    peer.stop()
    equal(peer.site.read("exim/log/paniclog"), "", "exim4 has not panicked")
