#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACL decides who may relay: refusals have the message of the ACL and are logged with sender and host."""
from heddle import Site, equal, like

ACL = """check_rcpt:
  deny    domains = +local_domains
          local_parts = ^[.] : ^.*[@%!/|]
          message = restricted characters in address
  deny    domains = +local_domains
          !local_parts = alice : bob
          message = no $local_part@$domain here
          log_message = unknown local part
  accept  domains = +local_domains
  defer   senders = later@client.example
          message = try again
  deny    message = relay not permitted
"""

with Site("queue_only\n", acl=ACL) as site:
    client = site.connect(helo="client.example")
    equal(client.ask("MAIL FROM:<a@client.example>"), "250 OK")
    equal(client.ask("RCPT TO:<alice@test.example>"), "250 Accepted")
    equal(client.ask("RCPT TO:<Eve@TEST.example>"), "550 no eve@test.example here")
    equal(client.ask("RCPT TO:<a%b@test.example>"), "550 restricted characters in address")
    equal(client.ask("RCPT TO:<x@elsewhere.example>"), "550 relay not permitted")
    client.ask("RSET")
    equal(client.ask("MAIL FROM:<later@client.example>"), "250 OK")
    equal(client.ask("RCPT TO:<x@elsewhere.example>"), "451 try again")
    site.wait_for_log(r"H=\(client\.example\) \[127\.0\.0\.1\] F=<a@client\.example> rejected RCPT <(?i:eve@test\.example)>: unknown local part")
    site.wait_for_log(r"F=<later@client\.example> temporarily rejected RCPT <x@elsewhere\.example>: try again")
    like(site.rejectlog(), r"rejected RCPT <x@elsewhere\.example>: relay not permitted")
