#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A name that does not exist fails; one whose servers do not answer waits; the order of MX hosts is kept; names are followed."""
from heddle import Site, check, equal
from peers import Dns, Sink

ROUTERS = "out:\n  driver = dnslookup\n  transport = smtp\n  self = send\n  no_more\n"
TRANSPORTS = "smtp:\n  driver = smtp\n  port = {}\n  allow_localhost\n"
ZONE = """servfail.example FAIL
silent.example SILENT
alias.example CNAME real.example
real.example MX 10 mx.real.example
mx.real.example A 127.0.0.1
order.example MX 30 third.order.example
order.example MX 10 first.order.example
order.example MX 20 second.order.example
first.order.example TXT nothing-here
second.order.example A 127.0.0.1
third.order.example A 127.0.0.9
v6.example AAAA ::1
deferring.example MX 10 host.servfail.example
host.servfail.example FAIL
"""

sink = Sink()
dns = Dns(ZONE)
with Site(dns=dns, routers=ROUTERS, transports=TRANSPORTS.format(sink.port), retry="* * F,1d,1h\n") as site:
    for domain in ("nosuch.example", "deep.below.nosuch.example"):
        id = site.send(f"x@{domain}", sender="")
        site.wait_for_log(rf"{id} \*\* x@{domain}.*: Unrouteable address", f"{domain} does not exist")
    for domain in ("servfail.example", "deferring.example"):
        id = site.send(f"x@{domain}")
        site.wait_for_log(rf"{id} == x@{domain} R=out .*defer", f"{domain} cannot be told")
    id = site.send("x@order.example")
    site.wait_for_log(rf"{id} => x@order\.example R=out T=smtp H=second\.order\.example \[127\.0\.0\.1\]", "the first MX with an address")
    id = site.send("x@alias.example")
    site.wait_for_log(rf"{id} => x@\S+ (<x@alias\.example> )?R=out T=smtp H=mx\.real\.example \[127\.0\.0\.1\]", "an alias is followed")
    silent = site.send("x@silent.example")
    id = site.send("y@real.example")
    site.wait_for_log(rf"{id} => y@real\.example", "a silent server keeps nobody else waiting")
    site.wait_for_log(rf"{silent} == x@silent\.example R=out .*defer", "silence is a deferral", patience=90)
    equal(len(sink.messages), 3)
    check(("order.example", 15) in dns.questions, "MX records were asked for")
