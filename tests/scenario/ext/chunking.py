#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""BDAT: chunks add up to the message, byte for byte; what is wrong with one never makes commands of its bytes."""
import re

from heddle import Site, check, equal, like, unlike, wait_for

EVIL = b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@test.example>\r\nDATA\r\nx\r\n.\r\n"


def begun(site, recipients=1, ehlo=True):
    client = site.connect()
    client.ask("EHLO client.example" if ehlo else "HELO client.example")
    client.ask("MAIL FROM:<a@client.example>")
    for _ in range(recipients):
        client.ask("RCPT TO:<alice@test.example>")
    return client


def chunk(client, data, last=False):
    client.send(f"BDAT {len(data)}{' LAST' if last else ''}\r\n".encode() + data)
    return client.reply()


def bodies(site):
    return [re.sub(r"^.*?\n\n", "", text, flags=re.S) for text in site.maildir("alice")]


with Site("message_size_limit = 20K\nacl_smtp_data = data\nacl_smtp_predata = never\nsmtp_max_synprot_errors = 3\n",
          acl="check_rcpt:\n  accept\nnever:\n  deny message = predata\ndata:\n  deny condition = ${if match{$message_body}{refuse me}}\n"
              "       message = not this\n  accept\n") as site:
    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-CHUNKING$", "EHLO offers CHUNKING")
    client.close()

    client = begun(site)
    equal(chunk(client, b"Subj"), "250 4 byte chunk received")
    equal(chunk(client, b"ect: one\r\n\r\n.\r\n..\r"), "250 18 byte chunk received")
    equal(client.ask("NOOP"), "250 OK", "NOOP between chunks")
    like(chunk(client, b"\n.x\r\nbare\nlf\r\nend", last=True), r"^250- 17 byte chunk, total 39\n250 OK id=", "the last chunk")
    wait_for("it is delivered", lambda: len(bodies(site)) == 1)
    equal(bodies(site), [".\n..\n.x\nbare\nlf\nend\n"], "no dot is removed, a missing newline is added")
    client.close()

    client = begun(site)
    equal(chunk(client, b"Subject: two\r\n\r\nbody\r\n"), "250 22 byte chunk received")
    like(chunk(client, b"", last=True), "^250- 0 byte chunk, total 22\n250 OK id=", "LAST with nothing")
    like(client.ask("MAIL FROM:<a@client.example>"), "^250", "another message on the connection")
    client.ask("RCPT TO:<alice@test.example>")
    like(chunk(client, b"Subject: no\r\n\r\nrefuse me\r\n", last=True), "^550 not this$", "the data ACL runs after LAST")
    client.ask("MAIL FROM:<a@client.example>")
    client.ask("RCPT TO:<alice@test.example>")
    client.send("DATA\r\n")
    like(client.reply(), "^550 predata", "acl_smtp_predata is for DATA alone")
    client.close()

    # what is out of place
    client = begun(site, recipients=0)
    like(chunk(client, EVIL, last=True), "^503 valid RCPT command must precede BDAT|^503 Valid", "a chunk without recipients")
    equal(client.ask("NOOP"), "250 OK", "its bytes were no commands")
    client.close()
    client = begun(site)
    chunk(client, b"Subject: x\r\n\r\n")
    equal(client.ask("DATA"), "503 only BDAT permissible after non-LAST BDAT")
    equal(client.ask("MAIL FROM:<b@client.example>"), "503 only RSET accepted now")
    like(chunk(client, EVIL, last=True), "^503 only RSET accepted now", "a spoilt series")
    equal(client.ask("RSET"), "250 Reset OK")
    like(chunk(client, EVIL), "^503.valid RCPT|too many", "a chunk after RSET")
    client.close()
    client = begun(site)
    equal(client.ask("BDAT 0"), "250 0 byte chunk received")
    like(chunk(client, b"Subject: zero\r\n\r\nx\r\n", last=True), "^250", "and the next is taken")
    client.ask("MAIL FROM:<a@client.example>")
    client.ask("RCPT TO:<alice@test.example>")
    chunk(client, b"Subject: no\r\n")
    equal(client.ask("BDAT 0"), "504 zero size for BDAT command")
    like(chunk(client, EVIL, last=True), "^503 only RSET accepted now", "nothing in the middle is an error")
    client.close()
    for header in (b"Subject: x\nTo: y\r\n\r\n", b"Subject: x\n\nbody\n"):
        client = begun(site)
        equal(chunk(client, header + EVIL, last=True), "552 Message header not CRLF terminated")
        equal(client.ask("NOOP"), "250 OK")
        client.close()

    # sizes
    client = begun(site)
    equal(chunk(client, b"Subject: big\r\n\r\n" + b"x" * 78 + b"\r\n"), "250 96 byte chunk received")
    equal(chunk(client, (b"y" * 78 + b"\r\n") * 200), "250 16000 byte chunk received")
    equal(chunk(client, EVIL * 80), "552 Message size exceeds maximum permitted", "the limit is for the sum")
    like(chunk(client, EVIL, last=True), "^503", "and the rest is refused")
    equal(client.ask("NOOP"), "250 OK")
    client.close()
    for size in ("", "-5", "+5", "x", "0x10", "5x", "5 FIRST", "99999999999999999999", "1 LAST x", "9223372036854775807",
                 "18446744073709551617 LAST", "200000000", "4294967296 LAST"):
        client = begun(site)
        client.send(f"BDAT {size}\r\n".encode() + EVIL)
        like(client.reply(), "^(501|552) ", f"BDAT {size[:22]}")
        equal(client.reply(), "", "ends the connection")
        client.close()
    client = begun(site, ehlo=False)
    client.send(b"BDAT 5 LAST\r\n" + EVIL)
    equal(client.reply(), "503 BDAT command used when CHUNKING not advertised")
    equal(client.reply(), "", "ends the connection")
    client.close()

    # the client goes in the middle
    client = begun(site)
    client.send(b"BDAT 1000 LAST\r\nSubject: half\r\n\r\n" + EVIL)
    client.vanish()
    site.wait_for_log("lost while reading message data")
    client = begun(site)
    chunk(client, b"Subject: half\r\n\r\n")
    client.vanish()
    client = begun(site)
    chunk(client, b"Subject: half\r\n\r\n")
    like(client.ask("QUIT"), "^221")
    client.close()

    # all at once, and one byte at a time
    client = site.connect(helo="client.example")
    client.ask("EHLO client.example")
    client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@test.example>\r\nBDAT 13\r\nSubject: p\r\n\rBDAT 5 LAST\r\n\nab\r\nNOOP\r\n")
    equal([client.reply()[:4] for _ in range(5)], ["250 ", "250 ", "250 ", "250-", "250 "], "pipelined chunks")
    client.close()
    client = begun(site)
    for byte in b"Subject: s\r\n\r\n.\r\n":
        if chunk(client, bytes([byte])) != "250 1 byte chunk received":
            check(False, "a chunk of one byte")
    like(chunk(client, b"", last=True), "^250", "chunks of one byte")
    client.close()
    wait_for("all are delivered", lambda: len(bodies(site)) == 5)
    equal(sorted(bodies(site)), sorted([".\n..\n.x\nbare\nlf\nend\n", "body\n", "x\n", "ab\n", ".\n"]))
    like(site.mainlog(), "<= a@client.example H=.* P=esmtp K S=", "K= in the log")
    unlike(site.mainlog(), "<= evil@")
    unlike(site.mainlog(), "Subject: half")
