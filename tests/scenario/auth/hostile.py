#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that abuse AUTH: huge, binary and half responses, thousands of failures, exchanges that are left in the middle, what is sent
without waiting.  The server goes on serving others, and no log has what was tried."""
import os
import re
import threading

from heddle import Site, equal, like, unlike, wait_for
from sasl_peer import b64

MAIN = """tls_advertise_hosts =
smtp_accept_max_nonmail = 5000
smtp_max_synprot_errors = 2
smtp_receive_timeout = 2s
log_selector = +smtp_syntax_error +smtp_protocol_error
acl_smtp_notquit = gone
queue_only
"""
ACL = "check_rcpt:\n  accept\ngone:\n  warn logwrite = notquit $smtp_notquit_reason fail_id=$authenticated_fail_id failed=$authentication_failed\n"
AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{alice}}{eq{$auth2}{s3cret}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{alice}{s3cret}fail}
"""
GOOD, WRONG = b64("\0alice\0s3cret"), b64("\0alice\0tryme")
BAD64, WRONG_DATA = "501 Invalid base64 data", "535 Incorrect authentication data"


def memory(site):
    with open(f"/proc/{site.kernel_pid()}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def good(site, what):
    """Somebody else can log in."""
    other = site.connect(helo="other.example")
    equal(other.ask(f"AUTH PLAIN {GOOD}"), "235 Authentication succeeded", f"after {what} others can log in")
    other.close()


with Site(MAIN, acl=ACL, authenticators=AUTH) as site:
    client = site.connect(helo="client.example")
    for size in (16000, 16380):
        equal(client.ask(f"AUTH PLAIN {'A' * (size - 16)}")[:3], "535", f"a command of {size} bytes is decoded")
        client.ask("AUTH PLAIN")
        equal(client.ask("A" * (size // 4 * 4)), WRONG_DATA, f"a response of {size} bytes")
    for size in (16384, 20000, 1 << 20):
        equal(client.ask("AUTH PLAIN"), "334 ")
        equal(client.ask("A" * size), BAD64, f"a response of {size} bytes is too long")
    client.close()
    client = site.connect(helo="client.example")
    equal(client.ask(f"AUTH PLAIN {'A' * 50000}"), "500 line too long", "a command of 50,000 bytes")
    equal(client.ask("NOOP"), "250 OK", "it is one line")
    client.close()
    good(site, "long lines")
    for junk in ("\0", "\0" * 1000, "\xff\xfe\xfd", "A\0\0\0", "====", "A===", "====AAAA", "AAAA\x01", "*\0", "**", "* *", "\x1b[2J"):
        client = site.connect(helo="client.example")
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
            like(client.ask(f"AUTH {mechanism}"), "^334 ")
            equal(client.ask(junk), BAD64, f"{mechanism} is answered {junk[:8]!r}")
        client.close()
    good(site, "binary")
    # responses that decode to nothing a person would type
    client = site.connect(helo="client.example")
    for data in (b"\0" * 9000, bytes(range(256)) * 40, b"\r\n.\r\nQUIT\r\n", "${run{/bin/sh}}\0${acl{x}}\0$auth1".encode(), b"%s%n%s\0%n\0%s"):
        equal(client.ask(f"AUTH PLAIN {b64(data)}"), WRONG_DATA, f"PLAIN with {data[:12]!r}")
        client.ask("AUTH CRAM-MD5")
        equal(client.ask(b64(data)), WRONG_DATA, f"CRAM-MD5 with {data[:12]!r}")
    client.close()
    # left in the middle
    for lines in (["AUTH PLAIN"], ["AUTH LOGIN", b64("alice")], ["AUTH CRAM-MD5"], [f"AUTH PLAIN {WRONG}", "AUTH LOGIN"]):
        for end in ("close", "vanish"):
            client = site.connect(helo="client.example")
            for line in lines:
                client.ask(line)
            client.send("dHJ5b")  # half a line
            getattr(client, end)()
    wait_for("they are gone", lambda: site.mainlog().count("notquit connection-lost") >= 8)
    like(site.mainlog(), "notquit connection-lost fail_id=alice failed=1", "what was tried is known to the ACL")
    stuck = site.connect(helo="client.example")
    stuck.ask("AUTH LOGIN")
    like(stuck.reply(), "^421 mx.test.example: SMTP command timeout", "an exchange has the time of a command")
    # what comes without waiting
    client = site.connect(helo="client.example")
    client.send(f"AUTH PLAIN\r\n{WRONG}\r\n")
    like(client.reply(), "^554 SMTP synchronization error", "a response ahead of its prompt")
    client.close()
    client = site.connect(helo="client.example")
    client.send(f"NOOP\r\nAUTH PLAIN {WRONG}\r\n")
    like(client.reply(), "^554 SMTP synchronization error", "AUTH ahead of an answer")
    client.close()
    client = site.connect(helo="client.example")
    client.ask("AUTH PLAIN")
    client.ask("!")
    like(client.ask(WRONG), "^500 ", "what follows a failed exchange is no command")
    client.close()
    client = site.connect(helo="client.example")
    like(client.ask(f"AUTH PLAIN {WRONG}\0"), "^501 NUL")
    like(client.ask(f"AUTH\tPLAIN {WRONG}"), "^500 ")
    like(client.ask(f"AUTH NOSUCH {WRONG}"), "^504")
    equal(client.ask("NOOP"), "", "too many errors end the session")
    client.close()
    # a thousand failures on one connection, and many at once
    before = memory(site)
    client = site.connect(helo="client.example")
    client.send("")
    equal({client.ask(f"AUTH PLAIN {WRONG}") for _ in range(1000)}, {WRONG_DATA}, "a thousand failures")
    equal(client.ask(f"AUTH PLAIN {GOOD}"), "235 Authentication succeeded", "and the right one")
    client.close()

    def storm():
        for _ in range(5):
            one = site.connect(helo="client.example")
            for _ in range(20):
                one.ask("AUTH LOGIN")
                one.ask(b64("alice"))
                one.ask(b64("tryme"))
            one.close()
    threads = [threading.Thread(target=storm) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(len(re.findall(r"login authenticator failed .* 535 .*\(set_id=alice\)$", site.mainlog(), re.M)), 1000, "a thousand from ten at once")
    good(site, "all that")
    grown = memory(site) - before
    like("fine" if grown < 32 << 20 else f"{grown} bytes", "^fine$", "memory has not grown by much")
    everything = site.mainlog() + site.rejectlog() + site.paniclog() + site.read("stderr")
    for secret in (GOOD, WRONG, "s3cret", "tryme", b64("tryme"), WRONG[:12]):
        unlike(everything, re.escape(secret), f"no log has {secret}")
