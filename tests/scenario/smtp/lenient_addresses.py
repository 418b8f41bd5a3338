#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""strip_excess_angle_brackets, strip_trailing_dot, allow_utf8_domains and percent_hack_domains: what is taken, as what it is
passed on, and that each is refused where its option is not set.  The answers are exim4's."""
from heddle import Site, equal, like

LENIENT = "strip_excess_angle_brackets\nstrip_trailing_dot\nallow_utf8_domains\npercent_hack_domains = hack.example : test.example\n"
MAIN = "smtp_max_synprot_errors = 100\nacl_smtp_data = data\n"
ACL = "check_rcpt:\n  accept logwrite = rcpt $local_part|$domain\n" \
      "data:\n  require verify = header_syntax\n  accept\n"
ROUTERS = "inbox:\n  driver = accept\n  domains = test.example\n  local_parts = alice\n  transport = maildir\n" \
          "rest:\n  driver = redirect\n  data = :blackhole:\n"
# argument of RCPT: what the ACL sees with the options; the answer without them
CASES = (("<<a@b.example>>", "a|b.example", "501 <<a@b.example>>: missing or malformed local part"),
         ("<<<a@b.example>>>", "a|b.example", "501 <<<a@b.example>>>: missing or malformed local part"),
         ("<a@b.example.>", "a|b.example", "501 <a@b.example.>: domain missing or malformed"),
         ("a@b.example.", "a|b.example", "501 a@b.example.: domain missing or malformed"),
         ("<u%v@hack.example>", "u|v", "250 Accepted"), ('<"u%v"@hack.example>', "u|v", "250 Accepted"),
         ("<u%v%w@hack.example>", "u%v|w", "250 Accepted"), ("<u%v@other.example>", "u%v|other.example", "250 Accepted"),
         ("<u%hack.example%x%hack.example@hack.example>", "u%hack.example|x", "250 Accepted"))
WRONG = (("<<a@b.example>", "501 <<a@b.example>: '>' missing at end of address"),
         ("<a@b.example>>", "501 <a@b.example>>: malformed address: > may not follow <a@b.example>"),
         ("<a@b.example..>", "501 <a@b.example..>: domain missing or malformed"), ("<a@.>", "501 <a@.>: domain missing or malformed"))

with Site(main=MAIN + LENIENT, acl=ACL, routers=ROUTERS) as site:
    client = site.connect(helo="me")
    equal(client.ask("MAIL FROM:<<a@b.example.>>"), "250 OK")
    for text, seen, _ in CASES:
        equal(client.ask(f"RCPT TO:{text}"), "250 Accepted", f"RCPT TO:{text}")
        equal(site.wait_for_log(r"rcpt (.*)\n\Z").group(1), seen)
    for text, answer in WRONG:
        equal(client.ask(f"RCPT TO:{text}"), answer)
    equal(client.ask("RCPT TO:<a@d\xc3\xb6main.example>"), "250 Accepted")
    like(client.ask("RCPT TO:<\xc3\xb6@domain.example>"), "^553 ")
    client.ask("RSET")
    client.ask("MAIL FROM:<<a@b.example.>>")
    client.ask("RCPT TO:<<alice%test.example@hack.example.>>")
    client.ask("DATA")
    like(client.ask("From: <<x@y.example.>>\r\n\r\nx\r\n."), "^250 ", "the header too")
    text = site.maildir("alice", 1)[0]
    like(text, r"envelope-from <a@b\.example>", "and the sender without what is too much")
    site.wait_for_log(r"=> alice <alice%test\.example@hack\.example> R=inbox T=maildir")
    like(site.cli("-bt", "<<alice%test.example@hack.example.>>").stdout, r"router = inbox", "-bt knows them")

with Site(main=MAIN, acl=ACL, routers=ROUTERS) as site:
    client = site.connect(helo="me")
    client.ask("MAIL FROM:<a@b.example>")
    for text, _, answer in CASES:
        equal(client.ask(f"RCPT TO:{text}"), answer, f"without the options: RCPT TO:{text}")
    equal(site.wait_for_log(r"rcpt (u%hack.*)\n").group(1), "u%hack.example%x%hack.example|hack.example")
    like(client.ask("RCPT TO:<a@d\xc3\xb6main.example>"), "^553 ")
    client.ask("DATA")
    like(client.ask("From: <<x@y.example>>\r\n\r\nx\r\n."), "^550 ")
