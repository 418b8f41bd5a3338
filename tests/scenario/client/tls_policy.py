#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that strip STARTTLS, inject replies, stall, talk nonsense, refuse, or show a wrong certificate: where TLS is required not
one message leaves in clear, whatever they do; where it is not, what the options say happens."""
import re

import pki
import smtp_peer
from heddle import Site, check, equal, like, wait_for
from peers import DROP, STALL, Dns

POLICIES = {  # name: options
    "require": "hosts_require_tls = *\n  tls_verify_hosts = *",
    "implicit": "protocol = smtps\n  tls_verify_hosts = *",
    "trying": "",
    "unsure": "no_tls_tempfail_tryclear",
    "loose": "hosts_require_tls = *\n  tls_verify_cert_hostnames =\n  tls_verify_hosts = *",
}
TRANSPORT = """{policy}_{fault}:
  driver = smtp
  port = {port}
  allow_localhost
  command_timeout = 1s
  tls_verify_certificates = {ca}
  {options}
"""
ROUTERS = """out:
  driver = dnslookup
  domains = ! +local_domains
  self = send
  transport = ${lookup{$domain}lsearch{DIR/transports}}
"""
INJECTED = b"250-peer.example\r\n250 PIPELINING\r\n"

with Site(start=False, panics="") as site:
    ca, stranger = pki.Authority(site.path("pki")), pki.Authority(site.path("other"), "stranger")
    good, expired = ca.issue("good", ["mx.example"]), ca.issue("old", ["mx.example"], expired=True)
    wrong_name, unknown = ca.issue("wrong", ["elsewhere.example"]), stranger.issue("unknown", ["mx.example"])
    wrong_use = ca.issue("use", ["mx.example"], usage="clientAuth")
    ca.issue("nul", ["mx.example", "mx.exampleQ.evil.example"])
    nul = ca.alter("nul", b"exampleQ.evil", b"example\0.evil")
    FAULTS = {  # what the server is like
        "fine": lambda on: smtp_peer.Peer(certificate=good, on_connect=on),
        "strips": lambda on: smtp_peer.Peer(),
        "injects": lambda on: smtp_peer.Peer(certificate=good, on_connect=on, after_starttls=INJECTED),
        "stalls": lambda on: smtp_peer.Peer({"TLS": STALL}, certificate=good, on_connect=on),
        "drops": lambda on: smtp_peer.Peer({"TLS": DROP}, certificate=good, on_connect=on),
        "babbles": lambda on: smtp_peer.Peer({"TLS": "250 OK\r\n" * 20}, certificate=good, on_connect=on),
        "refuses": lambda on: smtp_peer.Peer({"STARTTLS": "554 no"}, certificate=good),
        "later": lambda on: smtp_peer.Peer({"STARTTLS": "454 not now"}, certificate=good),
        "expired": lambda on: smtp_peer.Peer(certificate=expired, on_connect=on),
        "unknown": lambda on: smtp_peer.Peer(certificate=unknown, on_connect=on),
        "misnamed": lambda on: smtp_peer.Peer(certificate=wrong_name, on_connect=on),
        "misused": lambda on: smtp_peer.Peer(certificate=wrong_use, on_connect=on),
        "nul": lambda on: smtp_peer.Peer(certificate=nul, on_connect=on),
    }
    # (in TLS, CV) of what is delivered, None: nothing is, "clear"
    WANTED = {
        "require": {"fine": ("tls", "yes")},
        "implicit": {"fine": ("tls", "yes"), "injects": ("tls", "yes")},
        "loose": {"fine": ("tls", "yes"), "misnamed": ("tls", "yes")},
        "trying": {"fine": ("tls", "yes"), "strips": ("clear", None), "stalls": ("clear", None),
                   "drops": ("clear", None), "babbles": ("clear", None), "refuses": ("clear", None), "later": ("clear", None),
                   "expired": ("tls", "no"), "unknown": ("tls", "no"), "misnamed": ("tls", "no"), "misused": ("tls", "no"), "nul": ("tls", "no")},
        "unsure": {"fine": ("tls", "yes"), "strips": ("clear", None), "refuses": ("clear", None), "expired": ("tls", "no"),
                   "unknown": ("tls", "no"), "misnamed": ("tls", "no"), "misused": ("tls", "no"), "nul": ("tls", "no")},
    }
    peers = {(policy, fault): make(policy == "implicit") for policy in POLICIES for fault, make in FAULTS.items()}
    zone = "mx.example A 127.0.0.1\n" + "".join(f"{p}.{f}.example MX 10 mx.example\n" for p, f in peers)
    site.environment["HEDDLE_DNS"] = f"127.0.0.1@{Dns(zone).port}"
    site.write("heddle.conf", site.text(routers=ROUTERS, retry="* * F,1h,1h\n", transports="".join(
        TRANSPORT.format(policy=p, fault=f, port=peer.port, ca=ca.pem, options=POLICIES[p]) for (p, f), peer in peers.items())))
    site.write("transports", "".join(f"{p}.{f}.example: {p}_{f}\n" for p, f in peers))
    site.start()
    names = {(p, f): site.send(f"x@{p}.{f}.example", sender="") for p, f in peers}
    for (policy, fault), name in names.items():
        site_log = wait_for(f"{policy} {fault} comes to an end", lambda n=name: [
            line for line in site.mainlog().splitlines() if n in line and (" => " in line or " == " in line or " ** " in line)])
        wanted = WANTED[policy].get(fault)
        got = None
        line = (site_log or [""])[-1]
        if " => " in line:
            got = ("tls" if " X=" in line else "clear", "yes" if " CV=yes" in line else "no" if " CV=no" in line else None)
        equal(got, wanted, f"{policy}, server {fault}: {wanted or 'deferred'}")
        if got != wanted:
            print(f"# {line}")
    for (policy, fault), peer in peers.items():
        clear = [line for session in peer.sessions for line, secret in session.commands
                 if not secret and re.match("(?i)(mail|rcpt|data|bdat|auth)", line)]
        if policy in ("require", "implicit", "loose"):
            equal(clear, [], f"{policy}, server {fault}: nothing in clear")
    like(site.mainlog(), r"TLS session: .*: delivering unencrypted to H=mx\.example \[127\.0\.0\.1\] \(not in hosts_require_tls\)")
    like(site.mainlog(), r"== x@require\.strips\.example R=out T=require_strips defer \(-38\).*: a TLS session is required, but the server "
         r"did not offer TLS support")
    like(site.mainlog(), r"== x@require\.later\.example .* defer \(-38\).*: a TLS session is required, but an attempt to start TLS failed")
    like(site.mainlog(), r"== x@require\.babbles\.example .* defer \(-37\).*: TLS session: ")
    check(len(site.cli("-bp").stdout) > 0, "what was deferred is queued")
