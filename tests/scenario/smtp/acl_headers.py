#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ACLs that add and remove header lines, write to the log, keep variables, warn, defer and discard."""
from heddle import Site, equal, like, unlike

MAIN = "acl_smtp_mail = mail\nacl_smtp_data = data\nacl_smtp_predata = predata\n"
ACL = """mail:
  warn    set acl_c_who = $sender_address
          logwrite = mail from $sender_address
  accept
check_rcpt:
  discard local_parts = hole
  warn    add_header = X-Rcpt: $local_part
          add_header = :at_start:X-First: yes
          add_header = :after_received:X-Second: yes
          add_header = :at_start_rfc:X-Third: yes
          add_header = not a header line
  accept  domains = +local_domains
predata:
  deny    condition = ${if eq{$acl_c_who}{bad@client.example}}
          message = not from you
  accept
data:
  warn    remove_header = x-secret : x-other
          set acl_m_size = $message_size
  deny    condition = ${if match{$h_subject:}{viagra}}
          message = we do not want $h_subject:
          log_message = spam
  defer   condition = ${if match{$h_subject:}{later}}
          message = later, please
  warn    add_header = X-Size: ${if >{$acl_m_size}{10}{some}{none}}
  accept
"""

with Site(MAIN, acl=ACL) as site:
    id = site.send("alice@test.example", subject="fine", headers="X-Secret: 1\nX-Kept: 2\n")
    (text,) = site.maildir("alice", 1)
    like(text, r"\AX-First: yes\nReceived: ", "at the start")
    like(text, r"^\t\w\w\w, .*\nX-(Second|Third): yes\nX-(Second|Third): yes\nFrom: ", "behind Received:")
    like(text, "^X-ACL-Warn: not a header line$")
    like(text, "^X-Rcpt: alice$")
    like(text, "^X-Size: some$")
    like(text, "^X-Kept: 2$")
    unlike(text, "(?i)^X-Secret")
    like(site.mainlog(), r"mail from sender@client\.example$")
    client = site.connect(helo="client.example")
    def offer(subject, sender="a@client.example", recipient="bob@test.example"):
        client.ask("RSET")
        client.ask(f"MAIL FROM:<{sender}>")
        client.ask(f"RCPT TO:<{recipient}>")
        answer = client.ask("DATA")
        return client.ask(f"Subject: {subject}\r\n\r\nx\r\n.") if answer.startswith("354") else answer
    equal(offer("buy viagra"), "550 we do not want buy viagra")
    equal(offer("later"), "451 later, please")
    equal(offer("x", sender="bad@client.example"), "550 not from you")
    like(offer("x", recipient="hole@test.example"), "^250 OK id=", "discarded, and the client is content")
    like(offer("good"), "^250 OK id=")
    equal(len(site.maildir("bob", 1)), 1)
    site.wait_for_log(r"F=<a@client\.example> rejected after DATA: spam$")
    site.wait_for_log(r"F=<a@client\.example> temporarily rejected after DATA: later, please$")
    like(site.rejectlog(), r"^  Subject: buy viagra$|Subject: buy viagra", "the reject log has the header")
    equal(site.queued(), 0)
