#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same commands to exim4 and to us get the same replies; what sets us apart on purpose is not among them."""
import re
import socket

import exim
from heddle import PATIENCE, Site, equal

exim.enter()

MAIN = """acl_smtp_etrn = accept
acl_smtp_expn = accept
acl_smtp_vrfy = accept
acl_smtp_data_prdr = check_prdr
dsn_advertise_hosts = *
prdr_enable
tls_advertise_hosts =
message_size_limit = 5000
smtp_max_synprot_errors = 100
smtp_accept_max_nonmail = 100
queue_only
"""
ACL = """check_rcpt:
  accept
check_prdr:
  deny local_parts = bob
       message = no prdr for bob
  accept
"""
ROUTERS = """alias:
  driver = redirect
  local_parts = list
  data = alice@test.example, bob@test.example
inbox:
  driver = accept
  domains = test.example
  local_parts = alice : bob
  transport = box
"""
EXIM = "primary_hostname = mx.test.example\nacl_smtp_rcpt = check_rcpt\n" + MAIN + "begin acl\n" + ACL + "begin routers\n" + ROUTERS + """begin transports
box:
  driver = appendfile
  file = DIR/exim/box
  user = Debian-exim
"""
TRANSPORTS = "box:\n  driver = appendfile\n  file = DIR/mail/box\n"
BEGIN = ["EHLO me.example", "MAIL FROM:<a@client.example>", "RCPT TO:<alice@test.example>"]
DIALOGUES = [
    ["EHLO me.example", "MAIL FROM:<a@client.example> RET=FULL RET=HDRS", "MAIL FROM:<a@client.example> RET=NO", "MAIL FROM:<a@client.example> ENVID=a ENVID=b",
     "MAIL FROM:<a@client.example> RET=hdrs ENVID=x+20y SIZE=100 BODY=8BITMIME", "RCPT TO:<alice@test.example> NOTIFY=NEVER,DELAY",
     "RCPT TO:<alice@test.example> NOTIFY=SOMETIMES", "RCPT TO:<alice@test.example> ORCPT=rfc822;a ORCPT=rfc822;b",
     "RCPT TO:<alice@test.example> NOTIFY=DELAY NOTIFY=DELAY", "RCPT TO:<alice@test.example> FOO=BAR",
     "RCPT TO:<alice@test.example> NOTIFY=success,FAILURE ORCPT=rfc822;alice@test.example", "RSET"],
    ["HELO me.example", "MAIL FROM:<a@client.example> RET=FULL", "MAIL FROM:<a@client.example>", "RCPT TO:<alice@test.example> NOTIFY=NEVER"],
    BEGIN + [b"BDAT 18 LAST\r\nSubject: x\r\n\r\nab\r\n", "NOOP"],
    BEGIN + [b"BDAT 9\r\nSubject: ", b"BDAT 5\r\nx\r\n\r\n", "NOOP"],
    BEGIN + [b"BDAT 14 last\r\nSubject: x\r\n\r\n"],
    BEGIN + [b"BDAT 12\r\nSubject: x\r\n", "DATA", "NOOP", "MAIL FROM:<b@client.example>"],
    BEGIN + [b"BDAT 15 LAST\r\nSubject: x\n\nab\n", "NOOP"],
    BEGIN[:2] + [b"BDAT 5 LAST\r\nabc\r\n", "NOOP"],
    BEGIN + [b"BDAT 6000 LAST\r\nSubject: x\r\n\r\n" + b"y" * 5984 + b"\r\n", "NOOP"],
    BEGIN + ["BDAT 0"],
    ["EHLO me.example", "MAIL FROM:<a@client.example> PRDR", "RCPT TO:<alice@test.example>", "RCPT TO:<bob@test.example>", "DATA", "Subject: x\r\n\r\nx\r\n."],
    ["EHLO me.example", "MAIL FROM:<a@client.example> PRDR", "RCPT TO:<alice@test.example>", "RCPT TO:<alice@test.example>", "DATA", "Subject: x\r\n\r\nx\r\n."],
    ["EHLO me.example", "MAIL FROM:<a@client.example> PRDR", "RCPT TO:<bob@test.example>", "RCPT TO:<bob@test.example>", "DATA", "Subject: x\r\n\r\nx\r\n."],
    ["EHLO me.example", "MAIL FROM:<\u00e9@client.example> SMTPUTF8", "RCPT TO:<\u00fc@b\u00fccher.example>", "RSET"],
    ["EHLO me.example", "VRFY alice@test.example", "VRFY nobody@test.example", "VRFY alice", "EXPN list@test.example", "EXPN alice@test.example",
     "EXPN nobody@test.example", "ETRN", "ETRN x", "MAIL FROM:<a@client.example>", "ETRN #x"],
    ["EHLO me.example", "XCLIENTS ADDR=1.2.3.4", "FOO"],
]


def talk(port, dialogue):
    """The replies, ids and what only one of the two offers put aside."""
    out = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        file = sock.makefile("rb")
        first = [file.readline()]
        for line in dialogue:
            sock.sendall(line if isinstance(line, bytes) else line.encode() + b"\r\n")
            reply = []
            while True:
                text = file.readline().decode("utf-8", "replace").rstrip("\r\n")
                if not re.match(r"250-(LIMITS|XCLIENT)", text):
                    reply.append(re.sub(r"id=[\w-]{16,23}", "id=ID", text))
                done = text[3:4] != "-"
                if text.startswith("353 ") or re.match(r"(250 PRDR R=|550 no prdr)", text):
                    continue
                if done:
                    break
            out.append("\n".join(reply))
        assert first
    return out


with Site(MAIN, acl=ACL, routers=ROUTERS, transports=TRANSPORTS) as site:
    peer = exim.Exim(site, EXIM, port=2526)
    peer.start()
    for number, dialogue in enumerate(DIALOGUES):
        theirs, ours = talk(2526, dialogue), talk(site.port, dialogue)
        for line, want, got in zip(dialogue, theirs, ours):
            equal(got, want, f"{number}: {line[:60]!r}")
    peer.stop()
