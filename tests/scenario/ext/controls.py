#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ACLs may switch for a connection holds for all of it; what is not there yet says so when it is met, not when it loads."""
import base64
import time

from heddle import Client, Site, check, equal, like, unlike

ACL = """check_connect:
  warn hosts = 127.0.0.2
       control = allow_auth_unadvertised
       control = no_multiline_responses
  warn hosts = 127.0.0.3
       control = no_pipelining
       control = no_enforce_sync
  accept
check_rcpt:
  deny local_parts = bob
       message = first\\nsecond\\nthird
  warn local_parts = carol
       control = cutthrough_delivery
  warn local_parts = slow
       delay = 1s
       control = no_delay_flush
  accept
"""
AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{u}}{eq{$auth3}{p}}}}
  server_set_id = $auth2
"""
TOKEN = base64.b64encode(b"\0u\0p").decode()

with Site("acl_smtp_connect = check_connect\nauth_advertise_hosts =\nqueue_only\n", acl=ACL, authenticators=AUTH) as site:
    def begun(source, hello="EHLO"):
        client = Client(site.port, source=source)
        return client, client.ask(f"{hello} me.example")

    client, hello = begun("127.0.0.1")
    unlike(hello, "AUTH")
    like(client.ask(f"AUTH PLAIN {TOKEN}"), "^503 AUTH command used when not advertised")
    client.ask("MAIL FROM:<a@client.example>")
    equal(client.ask("RCPT TO:<bob@test.example>"), "550-first\n550-second\n550 third")
    like(client.ask("RCPT TO:<carol@test.example>"), "^(451|250) ")
    site.wait_for_log("not supported yet: control = cutthrough_delivery")
    began = time.monotonic()
    client.send("RCPT TO:<alice@test.example>\r\nRCPT TO:<slow@test.example>\r\n")
    equal(client.reply(), "250 Accepted")
    check(time.monotonic() - began > 0.8, "no_delay_flush: what was said before waits too")
    equal(client.reply(), "250 Accepted")
    client.close()
    for hello in ("EHLO", "HELO"):
        client, text = begun("127.0.0.2", hello)
        equal(text.count("\n") > 3, hello == "EHLO", "what EHLO offers is no refusal")
        like(client.ask(f"AUTH PLAIN {TOKEN}"), "^235 ", f"AUTH that was not offered, after {hello}")
        client.ask("MAIL FROM:<a@client.example>")
        equal(client.ask("RCPT TO:<bob@test.example>"), "550 first")
        client.close()
    client, text = begun("127.0.0.3")
    unlike(text, "PIPELINING")
    client.send("NOOP\r\nNOOP\r\n")
    equal([client.reply(), client.reply()], ["250 OK", "250 OK"], "no_enforce_sync")
    client.close()
