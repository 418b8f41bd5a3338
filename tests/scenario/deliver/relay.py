#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relaying through MX records: one connection for all recipients of a host, dots doubled, the peer's words in the log."""
from heddle import Site, equal
from peers import Dns, Sink

ROUTERS = """out:
  driver = dnslookup
  domains = ! +local_domains
  transport = smtp
  self = send
  no_more
"""
TRANSPORTS = "smtp:\n  driver = smtp\n  port = {}\n  allow_localhost\n"
ZONE = """far.example MX 10 mx1.far.example
far.example MX 20 mx2.far.example
mx1.far.example A 127.0.0.1
mx2.far.example A 127.0.0.1
plain.example A 127.0.0.1
null.example MX 0 .
odd.example MX 10 gone.odd.example
"""
BODY = ".\n..\nno dot\n.end\n"

sink = Sink({"RCPT": lambda line: "550 5.1.1 who is that" if "nobody" in line else "250 OK"})
dns = Dns(ZONE)
with Site("dns_again_means_nonexist =\n", dns=dns, routers=ROUTERS, transports=TRANSPORTS.format(sink.port)) as site:
    name = site.send("x@far.example", "y@far.example", subject="away", body=BODY)
    site.wait_for_log(rf"{name} => x@far\.example R=out T=smtp H=mx1\.far\.example \[127\.0\.0\.1\].* C=\"250 OK taken\"$")
    site.wait_for_log(rf"{name} -> y@far\.example R=out T=smtp H=mx1\.far\.example \[127\.0\.0\.1\].* C=\"250 OK taken\"$")
    site.wait_for_log(rf"{name} Completed$")
    (message,) = sink.wait(1)
    equal((message[0], sorted(message[1])), ("sender@client.example", ["x@far.example", "y@far.example"]), "envelope")
    equal(message[2].replace("\r\n", "\n").partition("\n\n")[2], BODY, "dots arrive as they were sent")
    equal(message[2].count("\n"), message[2].count("\r\n"), "every line ends in CR LF")
    plain = site.send("z@plain.example")
    site.wait_for_log(rf"{plain} => z@plain\.example R=out T=smtp H=plain\.example \[127\.0\.0\.1\]")
    partly = site.send("x@far.example", "nobody@far.example", sender="")
    site.wait_for_log(rf"{partly} => x@far\.example")
    site.wait_for_log(rf"{partly} \*\* nobody@far\.example R=out T=smtp H=mx1.far.example \[127.0.0.1\]: SMTP error from remote mail "
                      r"server after RCPT TO:<nobody@far\.example>: 550 5\.1\.1 who is that")
    for domain in ("nosuch.example", "null.example", "odd.example"):
        lost = site.send(f"x@{domain}", sender="")
        site.wait_for_log(rf"{lost} \*\* x@{domain}")
    equal(len(sink.messages), 3)
