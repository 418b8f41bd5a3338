#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""heddle -bt and -bv: where an address would go, what is undeliverable, and the exit status that says so."""
from heddle import Site, equal, like
from peers import Dns

ROUTERS = """out:
  driver = dnslookup
  domains = ! +local_domains
  transport = smtp
  no_more
aliases:
  driver = redirect
  allow_fail
  data = ${lookup{$local_part}lsearch{DIR/aliases}}
inbox:
  driver = accept
  local_parts = alice : bob
  transport = maildir
"""
TRANSPORTS = "maildir:\n  driver = appendfile\n  maildir_format\n  directory = DIR/mail/$local_part_data\nsmtp:\n  driver = smtp\n"

dns = Dns("far.example MX 10 mx.far.example\nmx.far.example A 192.0.2.25\nbroken.example FAIL\n")
with Site("qualify_domain = test.example\n", dns=dns, routers=ROUTERS, transports=TRANSPORTS, start=False) as site:
    site.write("aliases", "team: alice, bob\ngone: :fail: moved away\n")
    def test(mode, address):
        done = site.cli(mode, address)
        return done.returncode, done.stdout + done.stderr
    status, text = test("-bt", "alice@test.example")
    equal(status, 0)
    like(text, r"^alice@test\.example\n  router = inbox, transport = maildir$")
    like(test("-bt", "alice")[1], r"^alice@test\.example$", "an unqualified address is qualified")
    status, text = test("-bt", "x@far.example")
    equal(status, 0)
    like(text, r"^  router = out, transport = smtp\n  host mx\.far\.example +\[192\.0\.2\.25\] +MX=10$")
    status, text = test("-bt", "team@test.example")
    like(text, r"^alice@test\.example\n    <-- team@test\.example\n  router = inbox, transport = maildir$")
    like(text, r"^bob@test\.example\n    <-- team@test\.example\n")
    status, text = test("-bt", "gone@test.example")
    equal(status, 2)
    like(text, r"^gone@test\.example is undeliverable: moved away$")
    status, text = test("-bt", "x@broken.example")
    equal(status, 1)
    like(text, r"^x@broken\.example cannot be resolved at this time")
    equal(test("-bv", "alice@test.example"), (0, "alice@test.example verified\n"))
    status, text = test("-bv", "nobody@test.example")
    equal(status, 2)
    like(text, r"^nobody@test\.example failed to verify: ")
