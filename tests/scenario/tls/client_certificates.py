#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of clients: asked for by tls_try_verify_hosts, demanded by tls_verify_hosts, right, expired, revoked, for servers only,
of another authority, with a NUL in a name, or not there."""
import pki
import tls_client
from heddle import Site, equal, like, unlike
from tls_client import V12, V13, context, safely, starttls

MAIN = """tls_certificate = {server}
tls_verify_certificates = {ca}
tls_try_verify_hosts = ${{if !eq{{$sender_helo_name}}{{must.example}}{{*}}}}
tls_verify_hosts = ${{if eq{{$sender_helo_name}}{{must.example}}{{*}}}}
tls_resumption_hosts = *
log_selector = +tls_peerdn +smtp_no_mail
acl_smtp_mail = mail
queue_only
"""
ACL = """mail:
  accept verify = certificate
         logwrite = verified: $tls_in_certificate_verified $tls_in_peerdn ${certextract{subj_altname,mail}{$tls_in_peercert}}
  deny message = not verified: $tls_in_certificate_verified "$tls_in_peerdn"
check_rcpt:
  accept
"""


def tried(site, certificate, version, helo="client.example"):
    """What MAIL is answered; where the connection does not live so long, what the client was told."""
    client = starttls(site, context(certificate, version), helo=helo)
    if client.trouble:
        return client.trouble
    try:
        client.ask("EHLO client.example")
        answer = client.ask("MAIL FROM:<a@client.example>")
    except OSError as error:
        answer = str(error)
    client.close()
    return answer


with Site(start=False, acl=ACL) as site:
    ca, stranger = pki.Authority(site.path("pki")), pki.Authority(site.path("pki"), "stranger")
    server = site.own(ca.issue("server", ["mx.test.example"]))
    good = ca.issue("good", ["email:user@test.example", "email:other@test.example"], usage="clientAuth")
    expired = ca.issue("expired", usage="clientAuth", expired=True)
    usage = ca.issue("usage", usage="serverAuth")
    alien = stranger.issue("alien", usage="clientAuth")
    # "user@test.example\0.evil.example" as a mail address beside a right one, and a NUL in the subject
    ca.issue("nulmail", ["email:user@test.example", "email:user@test.exampleQ.evil.example"], usage="clientAuth")
    nul_mail = ca.alter("nulmail", b"test.exampleQ.evil", b"test.example\0.evil")
    ca.issue("user@test.exampleQ.evil", ["email:user@test.example"], usage="clientAuth")
    nul_subject = ca.alter("user@test.exampleQ.evil", b"test.exampleQ.evil", b"test.example\0.evil")
    site.write("heddle.conf", site.text(MAIN.format(server=server, ca=ca.pem), acl=ACL))
    site.start()

    for version, what in ((V12, "1.2"), (V13, "1.3")):
        equal(tried(site, good, version), "250 OK", f"{what}: a right certificate is verified")
        site.wait_for_log(r"verified: 1 O=Test,CN=good user@test\.example\\nother@test\.example$")
        equal(tried(site, None, version), '550 not verified: 0 ""', f"{what}: none is no verified one")
        for path, name in ((expired, "expired"), (usage, "usage"), (alien, "alien"), (nul_mail, "nulmail"),
                           (nul_subject, r"user@test\.example\\+00\.evil")):
            like(tried(site, path, version), rf'^550 not verified: 0 ".*CN={name}', f"{what}: {name} is not, though it may go on")
        equal(tried(site, good, version, helo="must.example"), "250 OK", f"{what}: demanded, and shown")
        for path in (None, expired, usage, alien, nul_mail, nul_subject):
            unlike(tried(site, path, version, helo="must.example"), "^[25]50", f"{what}: demanded, and not shown: {path}")
    site.wait_for_log(r"TLS error on connection from \(must\.example\) \[127\.0\.0\.1\] \(SSL_accept\): peer did not return a certificate")
    site.wait_for_log(r"TLS error on connection from \(must\.example\) \[127\.0\.0\.1\] \(SSL_accept\): certificate verification failed: .*expired")
    site.wait_for_log(r"TLS error on connection from \(must\.example\) .*: certificate verification failed: .*there is a NUL in one of its names")
    unlike(site.mainlog(), r"must\.example.* <= ")
    site.wait_for_log(r"H=\(client\.example\) \[127\.0\.0\.1\] X=TLS1\.3:\S+ CV=no DN=\"O=Test,CN=alien\" rejected MAIL <a@client\.example>: "
                      r"not verified: 0 \"O=Test,CN=alien\"$")

    # no session that was begun without a certificate is resumed where one is demanded
    ctx = context(version=V12)
    client = starttls(site, ctx)
    client.ask("EHLO client.example")
    session = client.sock.session
    client.ask("QUIT")
    client.close()
    client = starttls(site, ctx, helo="must.example", session=session)
    unlike(safely(client.ask, "EHLO client.example") if not client.trouble else "", "^250", "no session passes by the demand")
