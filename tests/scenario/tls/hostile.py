#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that attack the switch to TLS, or give up in it: nothing of what they sent in clear counts, nothing is answered in clear, a
message that was cut off is none, and others do not notice."""
import os
import re
import resource
import socket
import time

import tls_client
from heddle import Client, Site, check, equal, like, unlike, wait_for
from tls_client import V12, context, message, starttls

STALLED = 500
MAIN = """smtp_receive_timeout = 4s
smtp_enforce_sync = false
smtp_accept_max = 0
smtp_accept_max_nonmail = 1000
queue_only
log_selector = +smtp_no_mail +smtp_connection
"""


def go_ahead(site):
    client = site.connect(helo="client.example")
    equal(client.ask("STARTTLS"), "220 TLS go ahead")
    return client


def silence(client):
    """What comes in clear until the server closes; b"" is right, or one alert of TLS."""
    client.sock.settimeout(20)
    got = b""
    try:
        while True:
            more = client.sock.recv(4096)
            if not more:
                return got
            got += more
    except OSError:
        return got


def in_clear(what):
    """TLS alerts begin with their type, 21."""
    return b"" if not what or what[:1] == b"\x15" else what


with Site(MAIN) as site:
    # commands behind STARTTLS, in the same packet: the end, even where synchronisation is not enforced
    client = site.connect(helo="client.example")
    client.send("STARTTLS\r\nMAIL FROM:<injected@client.example>\r\n")
    equal(client.reply(), "554 SMTP synchronization error", "injected commands end the session")
    equal(client.reply(), "")
    site.wait_for_log(r'synchronization error .*rejected "STARTTLS" .* next input="MAIL FROM:<injected@client\.example>\\r\\n"')

    # in another packet, before the handshake: they are no handshake
    client = go_ahead(site)
    client.send("MAIL FROM:<injected@client.example>\r\nRCPT TO:<alice@test.example>\r\n")
    equal(in_clear(silence(client)), b"", "commands in clear after the go-ahead get no answer")
    site.wait_for_log(r"TLS error on connection from \(client\.example\) \[127\.0\.0\.1\] \(SSL_accept\): ")

    # in front of a real ClientHello, cut so that the handshake might be taken up behind them
    client = site.connect(helo="client.example")
    client.send("STARTTLS\r\n")
    time.sleep(0.05)
    client.send("NOOP\r\n")
    equal(client.reply(), "220 TLS go ahead")
    check(tls_client.wrap(client) != "", "a handshake behind commands in clear fails")
    client.close()

    # garbage, and a client that goes in the middle
    for piece, what in ((b"\x16\x03\x01\xff\xff" + b"\0" * 200, "a record that is too long"), (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", "a hello of 16 MiB"),
                        (b"\x80\x2e\x01\x00\x02" + b"\0" * 60, "SSLv2"), (b"\x15\x03\x01\x00\x02\x02\x28", "an alert"),
                        (b"\x16\x03\x01\x00\x00" * 3000, "empty records without end")):
        client = go_ahead(site)
        try:
            client.send(piece)
        except OSError:
            pass
        equal(in_clear(silence(client)), b"", what)
    client = go_ahead(site)
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
    client.vanish()
    site.wait_for_log(r"\(SSL_accept\): TCP connection closed by peer")

    # close in DATA without close_notify: even behind the last line but the dot, it is no message
    client = starttls(site)
    client.ask("EHLO client.example")
    for line in ("MAIL FROM:<cut@client.example>", "RCPT TO:<alice@test.example>", "DATA"):
        client.ask(line)
    client.send("Subject: cut\r\n\r\nbody\r\n")
    tls_client.vanish(client)
    site.wait_for_log(r"TLS error on connection from \(client\.example\) \[127\.0\.0\.1\] \(SSL_read\): ")
    site.wait_for_log(r"SMTP connection from \(client\.example\) \[127\.0\.0\.1\] lost while reading message data")
    unlike(site.mainlog(), "<= ", "nothing was accepted so far")

    # a record that was changed on its way
    client = starttls(site, context(version=V12))
    client.ask("EHLO client.example")
    raw = socket.socket(fileno=os.dup(client.sock.fileno()))
    raw.sendall(b"\x17\x03\x03\x00\x30" + os.urandom(48))
    raw.settimeout(10)
    got = raw.recv(4096)
    equal(in_clear(got) or b"", b"", "a forged record: an alert or nothing")
    site.wait_for_log(r"\(SSL_read\): .*")
    raw.close()
    client.close()

    # a whole session in pieces of one byte
    client = starttls(site)
    client.ask("EHLO client.example")
    for letter in "MAIL FROM:<slow@client.example>\r\n":  # each a record of its own
        client.send(letter)
    like(client.reply(), "^250 ", "a command in a record for each byte")
    client.send("RSET\r\n" * 500)  # many in few records, many replies in turn
    equal({client.reply() for _ in range(500)} - {"250 Reset OK"}, set(), "500 pipelined commands in a few records")
    client.send("NOOP\r\nNOOP\r\nRSET\r\nQUIT\r\n")
    client.close()

    # handshakes that stall hold no thread: a client is served at once, and they end by themselves
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(STALLED, hard // 4)
    threads = len(os.listdir(f"/proc/{site.kernel_pid()}/task"))
    stalled = [Client(site.port) for _ in range(count)]
    for client in stalled:
        client.send("EHLO client.example\r\n")
    for client in stalled:
        client.reply()
        client.send("STARTTLS\r\n")
    for i, client in enumerate(stalled):
        client.reply()
        if i % 2:
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03")
    began = time.monotonic()
    client = starttls(site)
    client.ask("EHLO client.example")
    like(message(client), "^250 OK", f"with {count} stalled handshakes a message over TLS is accepted")
    check(time.monotonic() - began < 3, "at once", time.monotonic() - began)
    now = len(os.listdir(f"/proc/{site.kernel_pid()}/task"))
    check(now < threads + 20, "they hold no thread", f"{threads} threads before, {now} now")
    wait_for("each ends at its deadline", lambda: len(re.findall(r"\(SSL_accept\): timed out", site.mainlog())) >= count)
    equal({silence(client) for client in stalled[:20]}, {b""}, "and gets nothing in clear")
    client.close()

    # the end of the daemon during a handshake: no 421 in clear
    client = go_ahead(site)
    equal(site.stop(), 0, "the daemon stops")
    equal(silence(client), b"", "a client in its handshake is told nothing in clear")
