#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""route_list: every kind of pattern, what a match leaves for the hosts, and what is wrong with one is said at load."""
import re

from heddle import Site, equal, like

ROUTERS = r"""mr:
  driver = manualroute
  transport = relay
  route_list = ^rx([0-9]+)\\.test\$ 10.0.0.$1 byname ; +dl "10.0.0.2 : 10.0.0.3" ; \
     lsearch;;DIR/doms "10.0.0.4 : 10.0.0.$value" ; partial-lsearch;;DIR/pdoms $value ; \
     *.star.test 10.0.0.6 ; opt.test 10.0.0.7 byname other ; \
     ^v{1,1}x-${lc:ABC}.*\$ 10.0.0.12 ; $primary_hostname 10.0.0.13 ; x.test 10.0.0.9 ; !+dl 10.0.0.11
"""
TRANSPORTS = "relay:\n  driver = smtp\nother:\n  driver = smtp\n"
# as exim4 4.96 routes them
WANTED = (("rx12.test", "relay", "10.0.0.12"), ("RX7.TEST", "relay", "10.0.0.7"), ("rx.test", "relay", "10.0.0.11"),
          ("inlist.test", "relay", "10.0.0.2"), ("a.sub.test", "relay", "10.0.0.2"), ("look.test", "relay", "10.0.0.4 10.0.0.44"),
          ("q.part.test", "relay", "10.0.0.8"), ("a.star.test", "relay", "10.0.0.6"), ("star.test", "relay", "10.0.0.11"),
          ("opt.test", "other", "10.0.0.7"), ("vx-abcd.test", "relay", "10.0.0.12"), ("mx.test.example", "relay", "10.0.0.13"),
          ("x.test", "relay", "10.0.0.9"), ("zz.test", "relay", "10.0.0.11"))

with Site(start=False) as site:
    site.write("doms", "look.test: 44\n")
    site.write("pdoms", "*.part.test: 10.0.0.8\n")
    site.write("heddle.conf", site.text("domainlist dl = inlist.test : *.sub.test\n", routers=ROUTERS, transports=TRANSPORTS))
    for domain, transport, hosts in WANTED:
        said = site.cli("-bt", f"u@{domain}").stdout
        got = " ".join(re.findall(r"\[(.*?)\]", said))
        equal((re.findall(r"transport = (\S+)", said), got.startswith(hosts)), ([transport], True), f"{domain}: {hosts} in {got}")
    for pattern, why in (("^rx([ 10.0.0.1", r"regular expression error in .*\^rx\(\["), ("+none 10.0.0.1", "unknown named domain list"),
                         ("$nosuch 10.0.0.1", "nosuch"),
                         ("a.test 10.0.0.1 relay other", r"unknown routing option or transport name \"other\"")):
        site.write("heddle.conf", site.text(routers=f"mr:\n  driver = manualroute\n  transport = relay\n  route_list = {pattern}\n",
                                            transports=TRANSPORTS))
        said = site.cli("-bt", "u@a.test")
        like(said.stderr + said.stdout, why, f"{pattern}: what is wrong with it is said")
    # the first host is this one
    for self, said in (("pass", r"router = other, transport = other"), ("fail", r"undeliverable: remote host address is the local host"),
                       ("send", r"host 127.0.0.1 +\[127.0.0.1\]"), ("defer", "cannot be resolved at this time: remote host address"),
                       ("reroute: other.test", r"u@other.test\n    <-- u@self.test\n  router = other, transport = other"),
                       ("reroute: rewrite: other.test", "not supported yet: self = reroute: rewrite:")):
        site.write("heddle.conf", site.text(routers="mr:\n  driver = manualroute\n  domains = !other.test\n  transport = relay\n"
                                            f"  self = {self}\n  route_list = self.test 127.0.0.1\n"
                                            "other:\n  driver = accept\n  transport = other\n",
                                            transports="relay:\n  driver = smtp\nother:\n  driver = smtp\n  hosts = 10.1.1.1\n"))
        like(site.cli("-bt", "u@self.test").stdout, said, f"self = {self}")
