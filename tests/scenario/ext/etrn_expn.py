#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ETRN, EXPN and VRFY: for whom the ACLs say so, and never more than one word of a client's in a command."""
import os

from heddle import Site, equal, like, unlike, wait_for

ROUTERS = """list:
  driver = redirect
  local_parts = list
  data = alice@test.example, bob@test.example, list2@test.example
list2:
  driver = redirect
  local_parts = list2
  data = carol@test.example
empty:
  driver = redirect
  local_parts = empty
  data = :blackhole:
inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice : bob : carol
  transport = maildir
"""
MAIN = "acl_smtp_etrn = accept\nacl_smtp_expn = accept\nacl_smtp_vrfy = accept\nsmtp_accept_max_nonmail = 100\nsmtp_max_synprot_errors = 100\nqueue_only\n"

with Site(MAIN, routers=ROUTERS) as site:
    client = site.connect()
    hello = client.ask("EHLO client.example")
    for word in ("ETRN", "VRFY", "EXPN"):
        like(hello, f"^250-{word}$", f"EHLO offers {word}")
    equal(client.ask("EXPN list@test.example"), "250-<alice@test.example>\n250-<bob@test.example>\n250 <carol@test.example>")
    equal(client.ask("EXPN <alice@test.example>"), "250 <alice@test.example>")
    like(client.ask("EXPN nobody@test.example"), "^553 nobody@test.example is undeliverable")
    like(client.ask("EXPN empty@test.example"), "^553 ")
    like(client.ask("EXPN"), "^50[1-3] |^553 ")
    like(client.ask("EXPN <<>>"), "^501 ")
    like(client.ask("VRFY alice@test.example"), "^250 <alice@test.example> is deliverable")
    like(client.ask("VRFY nobody@test.example"), "^550 <nobody@test.example> Unrouteable address")
    equal(client.ask("ETRN"), "501 argument must begin with #")
    equal(client.ask("ETRN test.example"), "501 argument must begin with #")
    equal(client.ask("ETRN #"), "501 argument must begin with #")
    site.send("alice@test.example")
    site.send("bob@test.example")
    client.ask("MAIL FROM:<a@client.example>")
    like(client.ask("ETRN #alice"), "^503 ETRN is not permitted inside a transaction")
    client.ask("RSET")
    equal(len(site.maildir("alice")), 0, "queued")
    equal(client.ask("ETRN #alice"), "250 OK")
    wait_for("alice's is delivered", lambda: site.maildir("alice"))
    equal(len(site.maildir("bob")), 0, "bob's is not")
    client.close()

with Site("", routers=ROUTERS) as site:
    client = site.connect(helo="client.example")
    like(client.ask("ETRN #alice"), "^458 Administrative prohibition")
    like(client.ask("EXPN list@test.example"), "^550 Administrative prohibition")
    like(client.ask("VRFY alice@test.example"), "^252 Administrative prohibition")

with Site(MAIN + "smtp_etrn_command = DIR/run $domain end\n") as site:
    site.write("run", f"#!/bin/sh\nfor word; do echo \"[$word]\"; done > {site.path('mail')}/out.new\nmv {site.path('mail')}/out.new {site.path('mail')}/out\n"
               f"while test ! -e {site.path('mail')}/go; do sleep 0.05; done\n", 0o755)
    client = site.connect(helo="client.example")
    for bad in ("a b", "a;b|c d", "$(id)", "`id`", "a'b", 'a"b', "a\\b"):
        equal(client.ask(f"ETRN {bad}"), "501 invalid argument", f"ETRN {bad}")
    equal(client.ask("ETRN some.domain;x"), "250 OK")
    wait_for("the command runs", lambda: os.path.exists(site.path("mail/out")))
    equal(site.read("mail/out"), "[some.domain;x]\n[end]\n", "its words")
    equal(client.ask("ETRN SOME.domain;x"), "458 Already processing SOME.domain;x", "one at a time")
    equal(client.ask("ETRN other"), "250 OK", "of each")
    site.write("mail/go", "")
    wait_for("it can be asked for again", lambda: client.ask("ETRN some.domain;x") == "250 OK")
    client.close()
