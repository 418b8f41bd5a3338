#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_resumption_hosts: sessions are resumed in TLS 1.2 and 1.3, X= has an asterisk then; without it none is."""
from heddle import Site, equal, like
from tls_client import V12, V13, context, message, starttls

MAIN = """tls_resumption_hosts = ${if eq{$sender_helo_name}{no.example}{}{*}}
log_selector = +tls_resumption
acl_smtp_mail = mail
queue_only
"""
ACL = "mail:\n  accept logwrite = resumption=$tls_in_resumption\ncheck_rcpt:\n  accept\n"


def twice(site, version, helo):
    """Is the second connection the first one's session?"""
    ctx = context(version=version)
    client = starttls(site, ctx, helo=helo)
    client.ask("EHLO client.example")
    message(client)
    session = client.sock.session
    client.ask("QUIT")
    client.close()
    client = starttls(site, ctx, helo=helo, session=session)
    client.ask("EHLO client.example")
    like(message(client), "^250 OK")
    again = client.sock.session_reused
    client.ask("QUIT")
    client.close()
    return again


with Site(MAIN, acl=ACL) as site:
    for version, name in ((V12, "1.2"), (V13, "1.3")):
        equal(twice(site, version, "client.example"), True, f"{name}: resumed")
        site.wait_for_log(rf"<= .* X=TLS{name}:\S+:(128|256)\* CV=no", f"{name}: the asterisk")
        equal(twice(site, version, "no.example"), False, f"{name}: not where it is not offered")
    site.wait_for_log(r"resumption=0$")
    site.wait_for_log(r"resumption=1$")
    site.wait_for_log(r"resumption=(1[6-9]|2\d|3[01])$", "bit 4 of $tls_in_resumption")
