#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many hosts are tried for one delivery: hosts_max_try of them, those not counted whose retry time has not come, and one more of
each worse MX; never more than hosts_max_try_hardlimit are looked at."""
from heddle import Site, equal, unlike
from peers import Dns, Sink

ROUTERS = """listed:
  driver = manualroute
  route_list = listed.example 127.0.4.1:127.0.4.2:127.0.4.3
  self = send
  transport = smtp
out:
  driver = dnslookup
  domains = ! +local_domains
  self = send
  transport = smtp
"""
TRANSPORTS = "smtp:\n  driver = smtp\n  port = {}\n  allow_localhost\n  hosts_max_try = 2\n  hosts_max_try_hardlimit = 4\n"
ZONE = """same.example MX 10 a.example
worse.example MX 10 b.example
worse.example MX 20 c.example
a.example A 127.0.1.1
a.example A 127.0.1.2
a.example A 127.0.1.3
b.example A 127.0.2.1
b.example A 127.0.2.2
b.example A 127.0.2.3
c.example A 127.0.0.1
hard.example MX 10 d1.example
hard.example MX 20 d2.example
hard.example MX 30 d3.example
hard.example MX 40 d4.example
hard.example MX 50 c.example
d1.example A 127.0.3.1
d2.example A 127.0.3.2
d3.example A 127.0.3.3
d4.example A 127.0.3.4
"""

sink = Sink()  # on 127.0.0.1 only: the others refuse
with Site(dns=Dns(ZONE), routers=ROUTERS, transports=TRANSPORTS.format(sink.port), retry="* * F,1d,1h\n", panics="") as site:
    def tried(name):
        return sum(name in line and " H=" in line and "Connection refused" in line and "==" not in line for line in site.mainlog().splitlines())

    first = site.send("x@same.example")
    site.wait_for_log(rf"{first} == x@same\.example .*Connection refused")
    equal(tried(first), 2, "two of three are tried")
    second = site.send("y@same.example")
    site.wait_for_log(rf"{second} == y@same\.example ")
    equal(tried(second), 1, "the third one by the next message, as the others are not counted")
    for sender, tries in ("x", 2), ("y", 1):  # and in an order that is not left to chance: those that wait come first
        name = site.send(f"{sender}@listed.example")
        site.wait_for_log(rf"{name} == {sender}@listed\.example ")
        equal(tried(name), tries, "of three in the router's order")
    name = site.send("x@worse.example")
    site.wait_for_log(rf"{name} => x@worse\.example .* H=c\.example \[127\.0\.0\.1\]", "one of a worse MX is tried when enough have been")
    equal(tried(name), 2, "after two")
    name = site.send("x@hard.example")
    site.wait_for_log(rf"{name} == x@hard\.example ")
    unlike(site.mainlog(), rf"{name} => ", "the hard limit keeps it from the fifth")
    equal(tried(name), 4, "four are looked at")
