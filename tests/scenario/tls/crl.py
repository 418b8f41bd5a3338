#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Revoked certificates (tls_crl): a client's is not verified, and refused where one is demanded; a server's gets no message where one
must be right.  A list that was renewed is taken without a restart."""
import pki
import smtp_peer
from heddle import Site, equal, like, unlike, wait_for
from tls_client import V12, V13, context, safely, starttls

MAIN = """tls_certificate = {server}
tls_verify_certificates = {ca}
tls_crl = {crl}
tls_try_verify_hosts = ${{if !eq{{$sender_helo_name}}{{must.example}}{{*}}}}
tls_verify_hosts = ${{if eq{{$sender_helo_name}}{{must.example}}{{*}}}}
acl_smtp_mail = mail
"""
ACL = """mail:
  accept senders = sender@client.example
  accept verify = certificate
  deny message = not verified
check_rcpt:
  accept
"""
ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_list = revoked.example "127.0.0.1::{revoked}" ; good.example "127.0.0.1::{good}"
  self = send
  transport = out
"""
TRANSPORTS = """out:
  driver = smtp
  allow_localhost
  hosts_require_tls = *
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  tls_verify_certificates = {ca}
  tls_crl = {crl}
"""


def mail(site, certificate, version, helo="client.example"):
    """What MAIL is answered; "" where the session does not live so long."""
    client = starttls(site, context(certificate, version), helo=helo)
    answer = ""
    if not client.trouble and safely(client.ask, "EHLO client.example"):
        answer = safely(client.ask, "MAIL FROM:<a@client.example>")
    client.close()
    return answer


with Site(start=False, acl=ACL, panics="") as site:
    ca = pki.Authority(site.path("pki"))
    good, revoked = (ca.issue(name, usage="clientAuth") for name in ("good", "revoked"))  # serials 2 and 3
    server = site.own(ca.issue("server"))
    bad_server, fine_server = (ca.issue(name, ["mx.example"]) for name in ("bad", "fine"))  # 5 and 6
    crl = site.own(ca.crl(3, 5))
    peers = {"revoked": smtp_peer.Peer(certificate=bad_server), "good": smtp_peer.Peer(certificate=fine_server)}
    site.write("heddle.conf", site.text(MAIN.format(server=server, ca=ca.pem, crl=crl), acl=ACL,
                                        routers=ROUTERS.format(**{name: peer.port for name, peer in peers.items()}),
                                        transports=TRANSPORTS.format(ca=ca.pem, crl=crl)))
    site.start()
    for version, what in ((V12, "1.2"), (V13, "1.3")):
        equal(mail(site, good, version), "250 OK", f"{what}: not on the list")
        equal(mail(site, revoked, version), "550 not verified", f"{what}: revoked, may go on and is not verified")
        equal(mail(site, good, version, "must.example"), "250 OK", f"{what}: demanded")
        equal(mail(site, revoked, version, "must.example"), "", f"{what}: demanded and revoked")
    site.wait_for_log(r"\(must\.example\) \[127\.0\.0\.1\] \(SSL_accept\): certificate verification failed: .*revoked")

    name = site.send("x@good.example")
    site.wait_for_log(rf"{name} => x@good\.example .* CV=yes")
    name = site.send("x@revoked.example")
    site.wait_for_log(rf"{name} .*127\.0\.0\.1\].*revoked")
    equal(len(peers["revoked"].messages), 0, "a revoked server gets nothing")

    site.own(ca.crl(2))
    wait_for("a renewed list is taken", lambda: mail(site, revoked, V13) == "250 OK")
    equal(mail(site, good, V13), "550 not verified", "and what it says")
