#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""EXTERNAL with a client certificate, over TLS 1.2 and 1.3, as the specification's own example has it: the right identity, a wrong
one, no certificate, one that cannot be verified; and what the log and Received: say."""
import re
import ssl

import pki
from heddle import Client, Site, equal, like, unlike
from sasl_peer import b64

MAIN = """tls_advertise_hosts = *
tls_certificate = DIR/pki/server.pem
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = *
log_selector = +smtp_protocol_error
"""
ACL = "check_rcpt:\n  accept authenticated = ext_ccert_san_mail\n  deny message = relay not permitted\n"
AUTH = """ext_ccert_san_mail:
  driver =            external
  public_name =       EXTERNAL

  server_advertise_condition = $tls_in_certificate_verified
  server_param2 =     ${certextract {subj_altname,mail,>:} \\
                                    {$tls_in_peercert}}
  server_condition =  ${if forany {$auth2} \\
                            {eq {$item}{$auth1}}}
  server_set_id =     $auth1
"""
ROUTERS = "all:\n  driver = accept\n  transport = maildir\n"
TRANSPORTS = "maildir:\n  driver = appendfile\n  maildir_format\n  directory = DIR/mail/all\n"
TWELVE, THIRTEEN = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def secure(site, version, certificate=None):
    """A client after STARTTLS and EHLO."""
    client = Client(site.port)
    client.ask("EHLO client.example")
    equal(client.ask("STARTTLS"), "220 TLS go ahead")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(site.path("pki/ca.pem"))
    context.check_hostname = False
    if certificate:
        context.load_cert_chain(certificate)
    client.sock = context.wrap_socket(client.sock)
    client.file = client.sock.makefile("rb")
    client.ehlo = client.ask("EHLO client.example")
    return client


with Site(MAIN, acl=ACL, authenticators=AUTH, routers=ROUTERS, transports=TRANSPORTS, start=False) as site:
    ca = pki.Authority(site.path("pki"))
    stranger = pki.Authority(site.path("stranger"), "stranger")
    ca.issue("server", ["mx.test.example"])
    site.own(site.path("pki/server.pem"))
    alice = ca.issue("alice", ["email:alice@test.example", "email:al:ice@test.example", "DNS:other.example"], usage="clientAuth")
    forged = stranger.issue("alice", ["email:alice@test.example"], usage="clientAuth")
    expired = ca.issue("late", ["email:alice@test.example"], usage="clientAuth", expired=True)
    misused = ca.issue("misused", ["email:alice@test.example"])
    site.start()
    plain = site.connect()
    like(plain.ask("EHLO client.example"), "^250-STARTTLS$")
    unlike(plain.ask("EHLO client.example"), "AUTH", "in clear nothing is offered")
    equal(plain.ask(f"AUTH EXTERNAL {b64('alice@test.example')}"), "503 AUTH command used when not advertised")
    plain.close()
    for version, name in ((TWELVE, "TLS1.2"), (THIRTEEN, "TLS1.3")):
        client = secure(site, version, alice)
        like(client.ehlo, "^250-AUTH EXTERNAL$", f"{name}: offered to a verified certificate")
        equal(client.ask(f"AUTH EXTERNAL {b64('mallory@test.example')}"), "535 Incorrect authentication data")
        equal(client.ask(f"AUTH EXTERNAL {b64('other.example')}"), "535 Incorrect authentication data", "a host name is no mail address")
        equal(client.ask("AUTH EXTERNAL ="), "535 Incorrect authentication data", "an empty identity")
        equal(client.ask("AUTH EXTERNAL !!!"), "501 Invalid base64 data")
        equal(client.ask("AUTH EXTERNAL"), "334 ")
        equal(client.ask("*"), "501 Authentication cancelled")
        client.ask("MAIL FROM:<alice@test.example>")
        equal(client.ask("RCPT TO:<x@far.example>"), "550 relay not permitted")
        client.ask("RSET")
        equal(client.ask("AUTH EXTERNAL"), "334 ")
        equal(client.ask(b64("alice@test.example")), "235 Authentication succeeded", f"{name}: the right identity")
        like(client.ask("MAIL FROM:<alice@test.example>"), "^250 ")
        equal(client.ask("RCPT TO:<x@far.example>"), "250 Accepted")
        client.ask("DATA")
        like(client.ask(f"Subject: by {name}\r\n\r\nx\r\n."), "^250 OK id=")
        cipher = client.sock.cipher()[0]
        client.close()
        site.wait_for_log(rf"(\S+) <= alice@test\.example H=\(client\.example\) \[127\.0\.0\.1\] P=esmtpsa X={name}:(\S+):\d+ "
                                 r"CV=yes A=ext_ccert_san_mail:alice@test\.example S=")
        text = "".join(mail for mail in site.maildir("all", 1 + (version == THIRTEEN)) if f"Subject: by {name}\n" in mail)
        suite = r"TLS_(AES|CHACHA20)\w+" if version == THIRTEEN else r"TLS_ECDHE_ECDSA_WITH_\w+"
        like(text, rf"^\tby mx\.test\.example with esmtpsa  tls {suite}$", f"{name}: Received: has the protocol and the RFC's name of {cipher}")
        client = secure(site, version, alice)
        equal(client.ask(f"AUTH EXTERNAL {b64('alice@test.example')}"), "235 Authentication succeeded", "with the command")
        client.close()
        for certificate, what in ((None, "no certificate"), (forged, "another's authority"), (expired, "an expired one"),
                                  (misused, "a server's")):
            client = secure(site, version, certificate)
            unlike(client.ehlo, "AUTH", f"{name}: not offered to {what}")
            equal(client.ask(f"AUTH EXTERNAL {b64('alice@test.example')}"), "503 AUTH command used when not advertised")
            client.close()
    log = site.mainlog()
    like(log, r"ext_ccert_san_mail authenticator failed for \(client\.example\) \[127\.0\.0\.1\]: 535 Incorrect authentication data "
              r"\(set_id=mallory@test\.example\)$")
    equal(len(re.findall(r" A=", log)), 2, "nobody else")
