#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client said in clear is forgotten at STARTTLS (RFC 3207, 4.2): who it is, what it was offered, and an exchange under way."""
import ssl

import pki
from heddle import Site, equal, like
from sasl_peer import b64

MAIN = "tls_advertise_hosts = *\ntls_certificate = DIR/pki/server.pem\nqueue_only\n"
ACL = "check_rcpt:\n  accept authenticated = *\n  deny message = who are you\n"
AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth3}{s3cret}}
  server_set_id = $auth2
clear:
  driver = plaintext
  public_name = CLEAR
  server_prompts = :
  server_condition = yes
  server_advertise_condition = ${if !def:tls_in_cipher}
"""
GOOD = b64("\0alice\0s3cret")

with Site(MAIN, acl=ACL, authenticators=AUTH, start=False) as site:
    pki.Authority(site.path("pki")).issue("server", ["mx.test.example"])
    site.own(site.path("pki/server.pem"))
    site.start()
    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-AUTH PLAIN CLEAR$")
    equal(client.ask(f"AUTH PLAIN {GOOD}"), "235 Authentication succeeded")
    client.ask("MAIL FROM:<alice@test.example>")
    equal(client.ask("RCPT TO:<bob@test.example>"), "250 Accepted")
    client.ask("RSET")
    equal(client.ask("STARTTLS"), "220 TLS go ahead")
    context = ssl.create_default_context(cafile=site.path("pki/ca.pem"))
    client.sock = context.wrap_socket(client.sock, server_hostname="mx.test.example")
    client.file = client.sock.makefile("rb")
    equal(client.ask(f"AUTH PLAIN {GOOD}"), "503 AUTH command used when not advertised", "nothing is offered before EHLO")
    like(client.ask("EHLO client.example"), "^250-AUTH PLAIN$")
    client.ask("MAIL FROM:<alice@test.example>")
    equal(client.ask("RCPT TO:<bob@test.example>"), "550 who are you", "it is not known any more")
    client.ask("RSET")
    like(client.ask("AUTH CLEAR AAAA"), "^504 CLEAR", "what was offered in clear is not there")
    equal(client.ask(f"AUTH PLAIN {GOOD}"), "235 Authentication succeeded", "it may say who it is again")
    client.ask("MAIL FROM:<alice@test.example>")
    equal(client.ask("RCPT TO:<bob@test.example>"), "250 Accepted")
    client.close()
