#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came with the envelope goes on: DSN's parameters where they are offered, else the sender hears that the message was relayed;
SMTPUTF8 where it is needed, and a refusal with its code where it is not offered."""
import smtp_peer
from heddle import Site, equal, like, unlike

ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_data = ${lookup{$domain}lsearch{DIR/hosts}}
  self = send
  transport = smtp
inbox:
  driver = accept
  local_parts = alice
  transport = maildir
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
"""
MAIN = "dsn_advertise_hosts = *\nsmtputf8_advertise_hosts = *\n"


def send(site, mail, *recipients, header="Subject: x\r\n"):
    client = site.connect(helo="client.example")
    like(client.ask(mail), "^250 ")
    for recipient in recipients:
        like(client.ask(recipient), "^250 ")
    client.ask("DATA")
    answer = client.ask(f"From: alice@test.example\r\n{header}\r\nhello\r\n.")
    client.ask("QUIT")
    return answer.rpartition("id=")[2]


with Site(start=False, panics="") as site:
    peers = {
        "dsn.example": smtp_peer.Peer(extensions=("PIPELINING", "DSN")),
        "none.example": smtp_peer.Peer(extensions=("PIPELINING",)),
        "utf8.example": smtp_peer.Peer(extensions=("PIPELINING", "SMTPUTF8", "8BITMIME")),
    }
    site.write("hosts", "".join(f"{name}: 127.0.0.1::{peer.port}\n" for name, peer in peers.items()))
    site.write("heddle.conf", site.text(MAIN, routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1h,1h\n"))
    site.start()

    name = send(site, "MAIL FROM:<alice@test.example> RET=HDRS ENVID=QQ314159+2B", "RCPT TO:<a@dsn.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bx@dsn.example",
                "RCPT TO:<b@dsn.example> NOTIFY=NEVER", "RCPT TO:<c@dsn.example>")
    site.wait_for_log(rf"{name} Completed")
    (message,) = peers["dsn.example"].messages
    like(message.mail, r"^MAIL FROM:<alice@test\.example> RET=HDRS ENVID=QQ314159\+2B$")
    equal(message.rcpt, ["RCPT TO:<a@dsn.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bx@dsn.example", "RCPT TO:<b@dsn.example> NOTIFY=NEVER",
                         "RCPT TO:<c@dsn.example>"], "each recipient's parameters")
    equal(site.maildir("alice"), [], "and nothing comes from us")

    name = send(site, "MAIL FROM:<alice@test.example> ENVID=E1", "RCPT TO:<a@none.example> NOTIFY=SUCCESS", "RCPT TO:<b@none.example> NOTIFY=FAILURE")
    site.wait_for_log(rf"{name} Completed")
    (report,) = site.maildir("alice", 1)
    like(report, r"(?i)^Action: relayed")
    like(report, r"(?i)Original-Envelope-ID: E1")
    like(report, r"a@none\.example")
    unlike(report, r"b@none\.example")
    unlike(str(peers["none.example"].messages), r"ENVID|NOTIFY", "no parameter for who does not know them")

    name = send(site, "MAIL FROM:<> SMTPUTF8", "RCPT TO:<j\xc3\xbcrgen@utf8.example>", header="Subject: \xc3\xbc\r\n")
    site.wait_for_log(rf"{name} => ")
    (message,) = peers["utf8.example"].messages
    like(message.mail, " SMTPUTF8$")
    equal(message.rcpt, ["RCPT TO:<j\xc3\xbcrgen@utf8.example>"], "the address as it is")

    for recipient, header in (("j\xc3\xbcrgen@none.example", ""), ("joe@none.example", "Subject: \xc3\xbc\r\n")):
        name = send(site, "MAIL FROM:<> SMTPUTF8", f"RCPT TO:<{recipient}>", header=header or "Subject: x\r\n")
        site.wait_for_log(rf'{name} \*\* .*: response to "EHLO" did not include SMTPUTF8', "what cannot go without it fails")
    name = send(site, "MAIL FROM:<alice@test.example> SMTPUTF8", "RCPT TO:<j\xc3\xbcrgen@none.example>")
    like(site.maildir("alice", 2)[-1], r"^Status: 5\.6\.7", "the bounce has the right code")
    name = send(site, "MAIL FROM:<> SMTPUTF8", "RCPT TO:<joe@none.example>")
    site.wait_for_log(rf"{name} => joe@none\.example", "what needs it for nothing just goes")
