#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""-d+auth shows what server_debug_print asks for, for good and for bad credentials; nothing else of -d shows what was sent."""
import re

from heddle import Site, equal, like, unlike
from sasl_peer import b64

AUTH = """loud:
  driver = plaintext
  public_name = LOUD
  server_prompts = :
  server_condition = ${if eq{$auth3}{right}}
  server_debug_print = user <$auth2> from $sender_host_address
silent:
  driver = plaintext
  public_name = SILENT
  server_prompts = :
  server_condition = ${if eq{$auth3}{s3cret}}
  server_set_id = $auth2
"""
with Site("queue_only\ntls_advertise_hosts =\n", authenticators=AUTH, arguments=["-d-all+auth"]) as site:
    client = site.connect(helo="client.example")
    equal(client.ask(f"AUTH LOUD {b64(chr(0) + 'one' + chr(0) + 'wrong')}"), "535 Incorrect authentication data")
    equal(client.ask(f"AUTH LOUD {b64(chr(0) + 'two' + chr(0) + 'right')}"), "235 Authentication succeeded")
    client.close()
    shown = site.read("stderr")
    like(shown, r"loud authenticator: user <one> from 127\.0\.0\.1")
    like(shown, r"loud authenticator: user <two> from 127\.0\.0\.1")
with Site("queue_only\ntls_advertise_hosts =\n", authenticators=AUTH, arguments=["-d+all"]) as site:
    client = site.connect(helo="client.example")
    for password in ("tryme", "s3cret"):
        client.ask(f"AUTH SILENT {b64(chr(0) + 'alice' + chr(0) + password)}")
    client.close()
    shown = site.read("stderr") + site.mainlog()
    like(shown, r"535 Incorrect authentication data \(set_id=alice\)", "there is something in it")
    for secret in ("tryme", "s3cret", b64("\0alice\0tryme"), b64("\0alice\0s3cret")):
        unlike(shown, re.escape(secret), f"-d+all has no {secret}")
