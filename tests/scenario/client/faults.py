#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server in TLS that refuses, stalls, drops or babbles at each command, those of the extensions too: what it has not taken is
deferred or bounced as its replies say, nothing is called delivered that was not, and what follows is not confused."""
import pki
import smtp_peer
from heddle import Site, equal, like
from peers import DROP, STALL

HOW = {"refuses": "550 5.7.1 no", "later": "451 4.3.0 later", "drops": DROP, "stalls": STALL, "babbles": "x" * 3000 + "\n" + "\1\2\3 nonsense"}
STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "BDAT", "353", "PRDR", "END")
EXTENSIONS = ("PIPELINING", "CHUNKING", "PRDR", "8BITMIME")
ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_data = ${lookup{$domain}lsearch{DIR/ports}}
  self = send
  transport = smtp
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  hosts_require_tls = *
  tls_verify_certificates = CA
  tls_verify_cert_hostnames =
  connect_timeout = 1s
  command_timeout = 1s
  data_timeout = 1s
  final_timeout = 1s
"""
FINE = {("EHLO", "refuses")}  # then it is HELO
BIG = "".join(f"{i:06d} {'x' * 70}\n" for i in range(3000))


def later(step, reply):
    """The second hello and what follows: the first one is fine."""
    return ["250-peer.example\n250 STARTTLS", reply] if step == "EHLO" else reply


with Site(start=False, panics="") as site:
    ca = pki.Authority(site.path("pki"))
    certificate = ca.issue("any")
    peers = {(step, how): smtp_peer.Peer({step: later(step, reply)}, extensions=EXTENSIONS, certificate=certificate)
             for step in STEPS for how, reply in HOW.items()}
    # answers that are good and bad by turns, and one that is not the last
    peers["turns", "prdr"] = smtp_peer.Peer({"PRDR": ["250 mine", "550 no", "250 mine"]}, extensions=EXTENSIONS, certificate=certificate)
    peers["turns", "end"] = smtp_peer.Peer({"END": ["451 not yet"]}, extensions=EXTENSIONS, certificate=certificate)
    peers["turns", "dies"] = smtp_peer.Peer({"PRDR": ["250 mine", DROP]}, extensions=EXTENSIONS, certificate=certificate)
    site.write("ports", "".join(f"{step}-{how}.example: 127.0.0.1::{peer.port}\n".lower() for (step, how), peer in peers.items()))
    site.write("heddle.conf", site.text("", routers=ROUTERS, transports=TRANSPORTS.replace("CA", ca.pem), retry="* * F,1h,1h\n"))
    site.start()
    names = {}
    for step, how in peers:
        domain = f"{step}-{how}.example".lower()
        body = BIG if step == "BDAT" else "short\n"
        names[step, how] = site.send(f"a@{domain}", f"b@{domain}", f"c@{domain}", sender="", body=body)
    for (step, how), name in names.items():
        domain = f"{step}-{how}\\.example".lower()
        if step == "turns" or (step, how) in FINE:
            continue
        sign = r"\*\*" if how == "refuses" else "=="
        for who in "abc":
            site.wait_for_log(rf"{name} {sign} {who}@{domain} ", f"{who} at one that {how} at {step}: {'deferred' if sign == '==' else 'failed'}",
                              patience=20)
    equal([key for key, peer in peers.items() if key[0] != "turns" and key not in FINE and peer.messages], [], "nothing was taken")
    unexpected = [key for key, name in names.items() if key[0] != "turns" and key not in FINE and f"{name} => " in site.mainlog()]
    equal(unexpected, [], "none is called delivered")
    name = names["turns", "prdr"]
    for sign, who in (("=>", "a"), (r"\*\*", "b"), ("->", "c")):
        site.wait_for_log(rf"{name} {sign} {who}@turns-prdr\.example ")
    site.wait_for_log(rf"{names['EHLO', 'refuses']} => a@ehlo-refuses\.example .* X=\S+ CV=", "HELO in TLS")
    for key in ("end", "dies"):
        for who in "abc":
            site.wait_for_log(rf"{names['turns', key]} == {who}@turns-{key}\.example ")
    waiting = site.cli("-bp").stdout
    equal([key for key, name in names.items() if f"{name} == " in site.mainlog() and name not in waiting], [], "what was deferred is queued")
    like(site.mainlog(), r"== a@ehlo-stalls\.example .*: Connection timed out: SMTP timeout after EHLO")
    like(site.mainlog(), r"\*\* a@bdat-refuses\.example .* X=TLS.*: SMTP error from remote mail server after sending data block: 550 5\.7\.1 no")
