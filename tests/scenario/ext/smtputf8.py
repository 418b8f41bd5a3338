#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 6531: addresses outside ASCII, where they are asked for; and only in UTF-8."""
from heddle import Site, equal, like, unlike, wait_for
from peers import Sink

E, U = "\u00e9".encode(), "\u00fc".encode()
ACL = """check_mail:
  accept logwrite = utf8=$message_smtputf8 protocol=$received_protocol
check_rcpt:
  accept
"""
old, new = Sink(extensions=("8BITMIME",)), Sink(extensions=("8BITMIME", "SMTPUTF8"))
ROUTERS = f"""remote:
  driver = manualroute
  domains = old.example : new.example
  route_data = 127.0.0.1::${{if eq{{$domain}}{{old.example}}{{{old.port}}}{{{new.port}}}}}
  self = send
  transport = smtp
inbox:
  driver = accept
  domains = +local_domains
  transport = maildir
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  utf8_downconvert = 0
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/all
"""


def ask(client, data):
    client.send(data + b"\r\n")
    return client.reply()


with Site("acl_smtp_mail = check_mail\nsmtp_max_synprot_errors = 100\n", acl=ACL, routers=ROUTERS, transports=TRANSPORTS) as site:
    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-SMTPUTF8$", "it is offered")
    like(ask(client, b"MAIL FROM:<" + E + b"@client.example>"), "^553 .*SMTPUTF8 is needed", "a sender in UTF-8 that was not announced")
    like(ask(client, b"MAIL FROM:<a@client.example> SMTPUTF8=yes"), "^501 ", "it has no value")
    like(ask(client, b"MAIL FROM:<\xe9@client.example> SMTPUTF8"), "^501 the address is not in UTF-8")
    for bad in (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe9", b"a\x80", b"\xf0\x80\x80\x80", b"\xe2\x82"):
        like(ask(client, b"MAIL FROM:<" + bad + b"@client.example> SMTPUTF8"), "^501 ", f"no UTF-8: {bad!r}")
    like(ask(client, b"MAIL FROM:<a@client.example>"), "^250")
    like(ask(client, b"RCPT TO:<" + U + b"@test.example>"), "^553 .*SMTPUTF8 is needed", "nor a recipient")
    like(ask(client, b"RSET"), "^250")
    like(ask(client, b"MAIL FROM:<" + E + b"@b" + U + b"cher.example> SMTPUTF8 BODY=8BITMIME"), "^250")
    like(ask(client, b"RCPT TO:<" + U + b"@test.example>"), "^250")
    client.ask("DATA")
    like(ask(client, b"Subject: h" + E + b"\r\n\r\nb" + E + b"\r\n."), "^250 OK id=")
    like(ask(client, b"MAIL FROM:<a@client.example>"), "^250")
    client.ask("RSET")
    wait_for("it is delivered", lambda: site.maildir("all"))
    log = site.mainlog()
    like(log, "utf8=yes protocol=utf8esmtp$")
    like(log, "utf8=no protocol=esmtp$", "and the next message is as before")
    like(log, r"<= \S+ H=\(client.example\) \[127.0.0.1\] P=utf8esmtp S=")
    text = site.maildir("all")[0]
    like(text, r"^Received: .*\n?.*with utf8esmtp", "with utf8esmtp")

    def relay(where):
        ask(client, b"MAIL FROM:<" + E + b"@client.example> SMTPUTF8")
        ask(client, b"RCPT TO:<" + U + b"@" + where + b">")
        client.ask("DATA")
        like(ask(client, b"Subject: x\r\n\r\nx\r\n."), "^250 OK id=")

    relay(b"new.example")
    wait_for("the new server has it", lambda: new.messages)
    like("\n".join(new.commands), r"^MAIL FROM:<.*> .*SMTPUTF8")
    relay(b"old.example")
    site.wait_for_log(r"\*\* .*@old.example")
    equal(old.messages, [], "a server without SMTPUTF8 does not get it")
    client.close()

with Site("smtputf8_advertise_hosts =\n", acl=ACL) as site:
    client = site.connect()
    unlike(client.ask("EHLO client.example"), "SMTPUTF8")
    like(client.ask("MAIL FROM:<a@client.example> SMTPUTF8"), "^501 ", "not offered, not taken")
