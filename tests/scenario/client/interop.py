#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's exim4 and another Heddle as servers: TLS with a certificate of ours, BDAT large and small, PRDR, one connection for many
messages, and nothing lost or changed."""
import os
import re

import exim
import pki
from heddle import Site, check, equal, like, wait_for

exim.enter()
EXIM = """primary_hostname = exim.example
acl_smtp_rcpt = accept
acl_smtp_data_prdr = prdr
prdr_enable
smtp_accept_queue_per_connection = 0
tls_advertise_hosts = *
tls_certificate = DIR/pki/exim.pem
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = *
log_selector = +tls_peerdn
begin acl
prdr:
  deny condition = ${if match{$local_part}{choosy}}
       message = not for me
  accept
begin routers
all:
  driver = accept
  transport = files
begin transports
files:
  driver = appendfile
  directory = DIR/exim/in
  create_directory
  user = Debian-exim
  batch_max = 1000
"""
ROUTERS = """exim:
  driver = manualroute
  domains = exim.example
  route_list = * 127.0.0.1::2526
  self = send
  transport = smtp
heddle:
  driver = manualroute
  domains = heddle.example
  route_list = * 127.0.0.1::2527
  self = send
  transport = smtp
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  hosts_require_tls = *
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  tls_verify_certificates = DIR/pki/ca.pem
  tls_certificate = DIR/pki/client.pem
"""
OTHER = """primary_hostname = heddle.example
tls_advertise_hosts = *
tls_certificate = PKI/heddle.pem
tls_verify_certificates = PKI/ca.pem
tls_try_verify_hosts = *
prdr_enable
log_selector = +tls_peerdn
acl_smtp_rcpt = check_rcpt
"""
INBOX = """inbox:
  driver = accept
  domains = heddle.example
  local_parts = a : b
  transport = maildir
"""
BODY = ".\n..\n.end\nFrom here\n"
BIG = "".join(f"{i:07d} {'z' * 70}\n.dots\n" for i in range(20000))


def taken(site):
    """What exim4 has written, whole files only."""
    folder = site.path("exim/in")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [site.read(f"exim/in/{name}") for name in names if name.startswith("q")]


def body(text):
    return text.partition("\n\n")[2]


with Site(start=False, arguments=["-oX", "127.0.0.1.2525"], panics="") as site:
    ca = pki.Authority(site.path("pki"))
    os.chmod(site.path("pki"), 0o755)
    for name in ("exim", "heddle"):
        os.chmod(ca.issue(name, [f"{name}.example"]), 0o644)
    site.own(ca.issue("client", ["DNS:mx.test.example", "email:mail@test.example"], usage="clientAuth"))
    site.write("heddle.conf", site.text("log_selector = +tls_peerdn\n", routers=ROUTERS, transports=TRANSPORTS))
    peer = exim.Exim(site, EXIM, port=2526)
    peer.start()
    site.start()

    name = site.send("a@exim.example", "choosy@exim.example", "b@exim.example", sender="", subject="three", body=BODY)
    site.wait_for_log(rf'{name} => a@exim\.example R=exim T=smtp H=127\.0\.0\.1 \[127\.0\.0\.1\] X=TLS1\.3:\S+ CV=yes DN="[^"]*CN=exim[^"]*" PRDR K C="250 ')
    site.wait_for_log(rf"{name} \*\* choosy@exim\.example .*: SMTP error from remote mail server after end of data: 550.*not for me")
    (text,) = wait_for("it is at exim4", lambda: taken(site)) or [""]
    equal(body(text), BODY, "as it was")
    like(peer.mainlog(), r'<= <> H=\(?mx\.test\.example\)? \[127\.0\.0\.1\] P=esmtps X=TLS1\.3:\S+ CV=yes DN="[^"]*CN=client[^"]*" .*K ', "exim4 has seen our certificate and BDAT")
    name = site.send("a@exim.example", subject="big", body=BIG)
    site.wait_for_log(rf"{name} => a@exim\.example .* K C=")
    wait_for("the big one", lambda: len(taken(site)) == 2)
    equal(body(next(text for text in taken(site) if "Subject: big\n" in text)), BIG, "the big one too")
    for i in range(20):
        site.send("a@exim.example", subject=f"number {i}", body=BODY)
    wait_for("all of them", lambda: len(taken(site)) == 22)
    equal({body(text) for text in taken(site) if "number" in text.partition("\n\n")[0]}, {BODY}, "twenty more")
    peer.stop()

    with Site(start=False, arguments=["-oX", "127.0.0.1.2527"], panics="") as other:
        other.write("heddle.conf", other.text("", routers=INBOX).replace("primary_hostname = mx.test.example", "").replace(
            "acl_smtp_rcpt = check_rcpt\n", OTHER.replace("PKI", site.path("pki"))))
        other.start()
        name = site.send("a@heddle.example", "b@heddle.example", sender="", subject="two", body=BODY)
        site.wait_for_log(rf'{name} => a@heddle\.example R=heddle T=smtp H=127\.0\.0\.1 \[127\.0\.0\.1\] X=TLS1\.3:\S+ CV=yes DN="[^"]*CN=heddle[^"]*" (?:PRDR )?K C="250 ')
        for who in "ab":
            (text,) = other.maildir(who, 1) or [""]
            equal(body(text), BODY, "as it was")
        like(other.mainlog(), r'<= <> H=\(?mx\.test\.example\)? \[127\.0\.0\.1\] P=esmtps X=TLS1\.3:\S+ CV=yes DN="[^"]*CN=client', "the other Heddle has seen our certificate")
        site.send("a@heddle.example", subject="big", body=BIG)
        equal(body(other.maildir("a", 2)[-1]), BIG, "the big one")
    check(not re.search("delivering unencrypted", site.mainlog()), "nothing went in clear")
