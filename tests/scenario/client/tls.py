#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""STARTTLS and smtps as a client: what servers see of us, what the log and $tls_out_ say, whose certificates are believed, and who
shares a connection."""
import re
import ssl

import pki
import smtp_peer
from heddle import Site, check, equal, like, wait_for
from peers import Dns

ROUTERS = """out:
  driver = dnslookup
  domains = ! +local_domains
  self = send
  transport = ${lookup{$domain}lsearch{DIR/transports}}
"""
TRANSPORTS = """starttls:
  driver = smtp
  port = {starttls}
  allow_localhost
  tls_verify_certificates = {ca}
  tls_sni = sni.for.$host
  headers_add = X-Is-Not-Known-Yet: <$tls_out_cipher>
twelve:
  driver = smtp
  port = {twelve}
  allow_localhost
  tls_verify_certificates = {ca}
  tls_verify_hosts = *
  tls_resumption_hosts =
smtps:
  driver = smtp
  protocol = smtps
  port = {smtps}
  allow_localhost
  tls_verify_certificates = {ca}
  tls_verify_hosts = *
  tls_certificate = {client}
identity:
  driver = smtp
  port = {asking}
  allow_localhost
  hosts_require_tls = *
  tls_verify_certificates = {ca}
  tls_certificate = ${{if eq{{$sender_address_local_part}}{{one}}{{{client}}}{{{other}}}}}
avoid:
  driver = smtp
  port = {starttls}
  allow_localhost
  hosts_avoid_tls = *
resume:
  driver = smtp
  port = {resume}
  allow_localhost
  tls_verify_certificates = {ca}
  tls_resumption_hosts = *
  hosts_nopass_tls = *
"""
ZONE = "".join(f"{name}.example MX 10 mx.example\n" for name in ("starttls", "twelve", "smtps", "identity", "avoid", "resume"))
ZONE += "mx.example A 127.0.0.1\n"

with Site("log_selector = +tls_peerdn +tls_resumption\nremote_max_parallel = 1\n", start=False, dns=Dns(ZONE), panics="") as site:
    ca = pki.Authority(site.path("pki"))
    server = ca.issue("mx", ["mx.example"])
    files = {name: site.own(ca.issue(name, [f"email:{name}@test.example"], usage="clientAuth")) for name in ("client", "other")}
    peers = {
        "starttls": smtp_peer.Peer(certificate=server),
        "twelve": smtp_peer.Peer(certificate=ca.issue("rsa", ["*.mx.example", "mx.example"], rsa=True), versions=ssl.TLSVersion.TLSv1_2),
        "smtps": smtp_peer.Peer(certificate=server, on_connect=True, ca=ca.pem),
        "asking": smtp_peer.Peer(certificate=server, ca=ca.pem),
        "resume": smtp_peer.Peer(certificate=server),
    }
    ports = {name: peer.port for name, peer in peers.items()}
    site.write("heddle.conf", site.text("log_selector = +tls_peerdn +tls_resumption\nremote_max_parallel = 1\n", routers=ROUTERS,
                                        transports=TRANSPORTS.format(ca=ca.pem, **files, **ports)))
    site.write("transports", "".join(f"{name}.example: {name}\n" for name in ("starttls", "twelve", "smtps", "identity", "avoid", "resume")))
    site.start()

    name = site.send("x@starttls.example")
    site.wait_for_log(rf'{name} => x@starttls\.example R=out T=starttls H=mx\.example \[127\.0\.0\.1\] X=TLS1\.3:\S+:\d+ CV=yes '
                      r'DN="[^"]*CN=mx[^"]*" C="250 OK taken"$')
    (session,), (message,) = peers["starttls"].sessions, peers["starttls"].messages
    equal([line for line, _ in session.commands[:3]], ["EHLO mx.test.example", "STARTTLS", "EHLO mx.test.example"], "hello again in TLS")
    equal([secret for _, secret in session.commands], [False, False] + [True] * (len(session.commands) - 2), "all else is in TLS")
    equal((session.tls, session.sni, message.tls), ("TLSv1.3", "sni.for.mx.example", True), "version and name")

    name = site.send("x@twelve.example")
    site.wait_for_log(rf"{name} => x@twelve\.example .* X=TLS1\.2:\S*RSA\S*:\d+ CV=yes DN=")

    name = site.send("x@smtps.example")
    site.wait_for_log(rf"{name} => x@smtps\.example .* X=TLS1\.3:\S+ CV=yes")
    (session,) = peers["smtps"].sessions
    equal({secret for _, secret in session.commands}, {True}, "smtps: not a byte in clear")
    check("STARTTLS" not in session.words(), "and no STARTTLS", session.words())
    like(str(session.client), "client@test.example", "the server got our certificate")

    # two identities do not share a connection, one does
    for who in ("one", "one", "two", "one"):
        site.send("x@identity.example", sender=f"{who}@client.example", subject=who)
        wait_for("it has come", lambda: f"Subject: {who}" in str([m.body for m in peers["asking"].messages]))
        site.wait_for_queue(0)
    shown = {}
    for session in peers["asking"].sessions:
        for line, _ in session.commands:
            if line.startswith("MAIL"):
                shown.setdefault(re.search(r"<(\w+)@", line).group(1), set()).add(re.search(r"'(\w+)@test", str(session.client)).group(1))
    equal(shown, {"one": {"client"}, "two": {"other"}}, "each sender with a certificate of its own")
    equal(len(peers["asking"].sessions), 2, "and no connection more than that takes")

    # in clear where that is wanted; a connection in TLS is not for who does not want it, nor the reverse
    site.send("x@avoid.example")
    wait_for("it has come", lambda: len(peers["starttls"].messages) == 2)
    equal([m.tls for m in peers["starttls"].messages], [True, False], "hosts_avoid_tls")
    site.send("x@starttls.example")
    wait_for("it has come", lambda: len(peers["starttls"].messages) == 3)
    equal([m.tls for m in peers["starttls"].messages], [True, False, True], "the connection in clear is not taken")
    check(len(peers["starttls"].sessions) == 2, "but the one in TLS, which was kept", len(peers["starttls"].sessions))

    for i in range(2):
        name = site.send("x@resume.example")
        site.wait_for_log(rf"{name} => x@resume\.example .* X=\S+{'[*]' if i else ''} CV=yes")
    equal([s.resumed for s in peers["resume"].sessions], [False, True], "the second session resumes the first")
