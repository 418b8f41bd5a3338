#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRDR: an answer for each recipient after the data."""
from heddle import Site, equal, like, unlike, wait_for

ACL = """check_rcpt:
  accept
prdr:
  deny local_parts = bob
       message = not bob
  defer local_parts = carol
  accept
data:
  deny senders = no@client.example
       message = not at all
  accept
"""
MAIN = "prdr_enable\nacl_smtp_data_prdr = prdr\nacl_smtp_data = data\n"


def send(site, sender, *names, bdat=False, mail=" PRDR"):
    client = site.connect()
    client.ask("EHLO client.example")
    first = client.ask(f"MAIL FROM:<{sender}@client.example>{mail}")
    for name in names:
        client.ask(f"RCPT TO:<{name}@test.example>")
    if bdat:
        client.send(b"BDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n")
    else:
        client.ask("DATA")
        client.send("Subject: x\r\n\r\nx\r\n.\r\n")
    client.send("RSET\r\n")
    out = [first]
    while out[-1] not in ("250 Reset OK", ""):
        out.append(client.reply())
    client.close()
    return [line if "id=" not in line else line.split("id=")[0] + "ID" + line[line.index("id=") + 19:] for line in out[:-1]]


with Site(MAIN, acl=ACL) as site:
    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-PRDR$", "it is offered")
    client.close()
    BEGIN = ["250 OK, PRDR Requested", "353 PRDR content analysis beginning"]
    equal(send(site, "a", "alice", "bob", "carol"), BEGIN + ["250 PRDR R=<alice@test.example> acceptance", "550 not bob",
          "450 Temporary local problem - please try later", "250 ID message accepted for some recipients"])
    equal(send(site, "a", "alice", "alice"), BEGIN + ["250 PRDR R=<alice@test.example> acceptance"] * 2 + ["250 ID message accepted"])
    equal(send(site, "a", "bob", "bob"), BEGIN + ["550 not bob"] * 2 + ["550 ID message rejected for all recipients"])
    equal(send(site, "no", "alice", "bob"), BEGIN + ["250 PRDR R=<alice@test.example> acceptance", "550 not bob", "550 not at all"])
    equal(send(site, "a", "alice", "bob", bdat=True), BEGIN + ["250 PRDR R=<alice@test.example> acceptance", "550 not bob",
          "250 ID message accepted for some recipients"], "with BDAT")
    equal(send(site, "a", "bob"), ["250 OK, PRDR Requested", "250 OK ID"], "one recipient has one answer, and the ACL is not asked")
    equal(send(site, "a", "alice", "bob", mail=""), ["250 OK", "250 OK ID"], "only where it is asked for")
    wait_for("delivered", lambda: len(site.maildir("alice")) == 4)
    wait_for("delivered", lambda: len(site.maildir("bob")) == 2)
    log = site.mainlog()
    like(log, r"PRDR R=<alice@test.example> acceptance$")
    like(log, r"PRDR bob@test.example not bob$")
    like(log, r"<= a@client.example H=.* P=esmtp PRDR S=")
    like(log, r"<= a@client.example H=.* P=esmtp PRDR K S=")
    unlike(log, r"=> carol")

with Site("", acl="check_rcpt:\n  accept\n") as site:
    client = site.connect()
    unlike(client.ask("EHLO client.example"), "PRDR")
    like(client.ask("MAIL FROM:<a@client.example> PRDR"), "^250 OK$", "not offered, not heeded: as exim4 has it")
