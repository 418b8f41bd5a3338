#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""AUTH PLAIN and LOGIN through the plaintext driver: offered to whom it should be, right and wrong secrets, who may relay."""
import base64

from heddle import Site, equal, like, unlike

AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{alice}}{eq{$auth2}{secret}}}}
  server_set_id = $auth1
"""
ACL = "check_rcpt:\n  accept authenticated = *\n  deny message = relay not permitted\n"

def b64(text):
    return base64.b64encode(text.encode()).decode()

with Site("queue_only\n", acl=ACL, authenticators=AUTH) as site:
    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-AUTH PLAIN LOGIN$")
    equal(client.ask(f"AUTH PLAIN {b64(chr(0) + 'alice' + chr(0) + 'wrong')}"), "535 Incorrect authentication data")
    like(client.ask("MAIL FROM:<a@client.example>"), "^250 ")
    equal(client.ask("RCPT TO:<x@far.example>"), "550 relay not permitted")
    client.ask("RSET")
    equal(client.ask(f"AUTH PLAIN {b64(chr(0) + 'alice' + chr(0) + 'secret')}"), "235 Authentication succeeded")
    like(client.ask(f"AUTH PLAIN {b64('x')}"), "^503 ", "only once")
    client.ask("MAIL FROM:<a@client.example>")
    equal(client.ask("RCPT TO:<x@far.example>"), "250 Accepted")
    client.close()
    client = site.connect(helo="client.example")
    equal(client.ask("AUTH LOGIN"), f"334 {b64('Username:')}")
    equal(client.ask(b64("alice")), f"334 {b64('Password:')}")
    equal(client.ask(b64("secret")), "235 Authentication succeeded")
    client.close()
    client = site.connect(helo="client.example")
    client.ask("AUTH LOGIN")
    like(client.ask("*"), "^501 ", "cancelled")
    like(client.ask("AUTH NOSUCH"), "^504 ")
    with site.smtplib() as smtp:
        smtp.login("alice", "secret")
        smtp.sendmail("a@client.example", ["x@far.example"], "Subject: from outside\r\n\r\nx\r\n")
    site.wait_for_log(r"<= a@client\.example H=\(client\.example\) \[127\.0\.0\.1\] P=esmtpa A=\w+:alice S=\d+")
    site.wait_for_log(r"plain authenticator failed for \(client\.example\) \[127\.0\.0\.1\]: 535 Incorrect authentication data \(set_id=alice\)")
    unlike(site.mainlog() + site.rejectlog(), "secret")
