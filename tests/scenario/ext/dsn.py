#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 3461: what MAIL and RCPT ask for is done: who is told of what, how much goes back, and what the next server is told."""
import email
import re

from heddle import check, equal, like, Site, unlike, wait_for
from peers import Sink

ROUTERS = """fail:
  driver = redirect
  local_parts = fail
  allow_fail
  data = :fail: no such box
list:
  driver = redirect
  local_parts = list
  data = alice@test.example, bob@test.example
managed:
  driver = redirect
  local_parts = managed
  allow_fail
  errors_to = bob@test.example
  data = fail@test.example
remote:
  driver = manualroute
  domains = old.example : new.example
  route_data = 127.0.0.1::${if eq{$domain}{old.example}{OLD}{NEW}}
  self = send
  transport = smtp
inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice : bob : sender
  transport = maildir
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
"""
MAIN = "dsn_advertise_hosts = *\nsmtp_max_synprot_errors = 100\nhost_lookup =\n"


def report(text):
    """The parts of a multipart/report."""
    message = email.message_from_string(text)
    parts = message.get_payload()
    return message, [part.get_content_type() for part in parts], parts[0].get_payload(), \
        "\n".join(str(block) for block in parts[1].get_payload()), parts[2].as_string().split("\n\n", 1)[1]


def send(client, mail, *rcpts, subject="s"):
    like(client.ask(f"MAIL FROM:{mail}"), "^250")
    for rcpt in rcpts:
        like(client.ask(f"RCPT TO:{rcpt}"), "^250", rcpt[:60])
    client.ask("DATA")
    like(client.ask(f"Subject: {subject}\r\nMessage-ID: <{subject}@client.example>\r\n\r\nbody of {subject}\r\n."), "^250 OK id=")


def got(site, name, subject):
    """The report that the sender has about a message."""
    return next((text for text in site.maildir(name) if f"Subject: {subject}\n" in text), None)


old, new = Sink(), Sink(extensions=("DSN", "PIPELINING"))
with Site(MAIN, routers=ROUTERS.replace("OLD", str(old.port)).replace("NEW", str(new.port)), transports=TRANSPORTS) as site:
    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-DSN$", "EHLO offers DSN")
    for line, want in (("RET=HDRS RET=HDRS", "501 RET can be specified once only"), ("RET=SOME", "501 Value for RET is invalid"),
                       ("RET", "501 Value for RET is invalid"),
                       ("ENVID=a ENVID=b", "501 ENVID can be specified once only"), ("ENVID=", "501 Value for ENVID is invalid"),
                       ("ENVID=a+2", "501 Value for ENVID is invalid"), ("ENVID=a+zz", "501 Value for ENVID is invalid"),
                       ("ENVID=" + "x" * 101, "501 Value for ENVID is invalid"), ("ENVID=a\x80", "501 Value for ENVID is invalid")):
        equal(client.ask(f"MAIL FROM:<sender@test.example> {line}"), want)
    client.ask("MAIL FROM:<sender@test.example>")
    for line, want in (("NOTIFY=NEVER,SUCCESS", "501 Invalid value for NOTIFY parameter"), ("NOTIFY=", "501 Invalid value for NOTIFY parameter"),
                       ("NOTIFY=ALWAYS", "501 Invalid value for NOTIFY parameter"), ("NOTIFY", "501 Invalid value for NOTIFY parameter"),
                       ("NOTIFY=DELAY NOTIFY=DELAY", "501 NOTIFY can be specified once only"),
                       ("ORCPT=rfc822;a ORCPT=rfc822;b", "501 ORCPT can be specified once only"), ("ORCPT=nothing", "501 Invalid value for ORCPT parameter"),
                       ("ORCPT=rfc822;", "501 Invalid value for ORCPT parameter"), ("ORCPT=rfc822;a=b", "501 Invalid value for ORCPT parameter"),
                       ("ORCPT=rfc822;" + "x" * 501, "501 Invalid value for ORCPT parameter")):
        equal(client.ask(f"RCPT TO:<alice@test.example> {line}"), want)
    client.ask("RSET")

    send(client, "<sender@test.example> RET=HDRS ENVID=en+2Bv", "<fail@test.example> NOTIFY=FAILURE ORCPT=rfc822;or+2Big@x", subject="one")
    text = wait_for("a bounce", lambda: got(site, "sender", "Mail delivery failed: returning message to sender"))
    message, types, human, machine, original = report(text)
    equal(types, ["text/plain", "message/delivery-status", "text/rfc822-headers"], "RET=HDRS")
    like(machine, "^Original-Envelope-ID: en\\+2Bv$")
    like(machine, "^Original-Recipient: rfc822;or\\+2Big@x$")
    like(machine, "^Action: failed$")
    like(machine, "^Final-Recipient: rfc822;fail@test.example$")
    like(original, "^Subject: one$")
    unlike(original, "body of one")
    equal(message["References"], "<one@client.example>")

    send(client, "<sender@test.example> RET=FULL", "<fail@test.example> NOTIFY=NEVER", "<fail@test.example> NOTIFY=SUCCESS,DELAY", subject="two")
    site.wait_for_log(r"fail@test.example: error ignored: RFC 3461 DSN, failure notify not requested")
    send(client, "<sender@test.example> RET=FULL", "<fail@test.example>", subject="three")
    wait_for("a bounce", lambda: sum("Mail delivery failed" in text for text in site.maildir("sender")) == 2)
    text = next(text for text in site.maildir("sender") if "Subject: three" in text)
    like(text, "^body of three$", "RET=FULL")
    equal(sum("Subject: two" in text for text in site.maildir("sender")), 0, "NEVER, and no FAILURE: nothing")
    send(client, "<sender@test.example>", "<managed@test.example> NOTIFY=NEVER", subject="managed")
    wait_for("who manages the list is told all the same", lambda: any("Subject: managed" in text for text in site.maildir("bob")))

    send(client, "<sender@test.example> RET=FULL ENVID=yes", "<alice@test.example> NOTIFY=SUCCESS ORCPT=rfc822;alice",
         "<fail@test.example> NOTIFY=SUCCESS", "<bob@test.example>", "<sender@test.example> NOTIFY=NEVER", subject="four")
    text = wait_for("good news", lambda: got(site, "sender", "Delivery Status Notification"))
    message, types, human, machine, original = report(text)
    equal(types, ["text/plain", "message/delivery-status", "text/rfc822-headers"], "good news come with the header")
    equal(message["Auto-Submitted"], "auto-generated")
    like(human, '^<alice@test.example> \\(relayed via non "Remote SMTP" router\\)$')
    like(machine, "^Original-Envelope-ID: yes$")
    like(machine, "^Original-Recipient: rfc822;alice\nAction: delivered\nFinal-Recipient: rfc822;alice@test.example\nStatus: 2.0.0$")
    unlike(human + machine, "bob@|fail@|sender@test", "nobody else is in it")
    like(site.mainlog(), "^.* <= <> R=\\S+ U=heddle P=local S=")
    send(client, "<>", "<alice@test.example> NOTIFY=SUCCESS", subject="null")
    site.wait_for_log(r"T=maildir|=> alice <alice@test.example>")
    send(client, "<sender@test.example>", "<list@test.example> NOTIFY=SUCCESS", subject="list")
    wait_for("news of a list", lambda: any("<list@test.example> (relayed" in text for text in site.maildir("sender")))

    send(client, "<sender@test.example> RET=HDRS ENVID=en+2Bv", "<x@old.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2B", subject="five")
    wait_for("it is relayed", lambda: any("<x@old.example> (relayed to non-DSN-aware mailer)" in text for text in site.maildir("sender")))
    text = next(text for text in site.maildir("sender") if "Subject: five" in text)
    like(text, "^Original-Recipient: rfc822;x\\+2B\nAction: relayed\nFinal-Recipient: rfc822;x@old.example\nStatus: 2.0.0\nRemote-MTA: dns; 127.0.0.1")
    unlike("\n".join(old.commands), "NOTIFY|ENVID|RET=", "the old server is not told")
    count = len(site.maildir("sender"))
    send(client, "<sender@test.example> RET=HDRS ENVID=en+2Bv", "<y@new.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;y+2B", "<z@new.example> NOTIFY=NEVER",
         "<w@new.example>", subject="six")
    wait_for("the new server has it", lambda: new.messages)
    told = "\n".join(new.commands)
    like(told, "^MAIL FROM:<sender@test.example>.* RET=HDRS ENVID=en\\+2Bv$")
    like(told, "^RCPT TO:<y@new.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;y\\+2B$")
    like(told, "^RCPT TO:<z@new.example> NOTIFY=NEVER$")
    like(told, "^RCPT TO:<w@new.example>$")
    wait_for("all is done", lambda: site.mainlog().count("Completed") >= site.mainlog().count("<= "))
    equal(len(site.maildir("sender")), count, "no news where the next server gives them")
    client.close()

    client = site.connect()
    client.ask("HELO client.example")
    like(client.ask("MAIL FROM:<sender@test.example> RET=FULL"), "^501 .*malformed address: RET=FULL may not follow", "without EHLO there are no parameters")
    client.close()

# what was asked for outlives a restart, and a message on the queue
with Site("dsn_advertise_hosts = *\nqueue_only\n", routers=ROUTERS, transports=TRANSPORTS) as site:
    client = site.connect()
    client.ask("EHLO client.example")
    send(client, "<sender@test.example> RET=HDRS ENVID=kept", "<fail@test.example> ORCPT=rfc822;kept@x NOTIFY=FAILURE", "<fail@test.example> NOTIFY=NEVER",
         "<alice@test.example> NOTIFY=SUCCESS", subject="kept")
    client.close()
    site.stop()
    site.start()
    site.cli("-qff")
    wait_for("both reports are queued or there", lambda: (site.cli("-qff"), len(site.maildir("sender")) == 2)[1])
    all_reports = "\n".join(site.maildir("sender"))
    like(all_reports, "^Original-Envelope-ID: kept\n\nOriginal-Recipient: rfc822;kept@x\nAction: failed$")
    like(all_reports, "^<alice@test.example> \\(relayed via")
    equal(all_reports.count("Action: failed"), 1, "the one with NEVER is not in it")
    unlike(all_reports, "body of kept", "RET=HDRS")

# delays: who asked for it, or for nothing, is told when it is time, once for each time
SLOW = ROUTERS.replace("OLD", "1").replace("NEW", "1")
with Site("dsn_advertise_hosts = *\ndelay_warning = 1s:90d\n", routers=SLOW, transports=TRANSPORTS, retry="* * F,1h,1s\n") as site:
    client = site.connect()
    client.ask("EHLO client.example")
    send(client, "<sender@test.example> ENVID=late RET=FULL", "<a@old.example> NOTIFY=DELAY ORCPT=rfc822;late", "<b@old.example> NOTIFY=NEVER", "<c@old.example>",
         "<d@old.example> NOTIFY=FAILURE", subject="late")
    send(client, "<sender@test.example>", "<e@old.example> NOTIFY=SUCCESS,FAILURE", subject="silent")
    client.ask("MAIL FROM:<sender@test.example>")
    client.ask("RCPT TO:<f@old.example>")
    client.ask("DATA")
    like(client.ask("Subject: list\r\nPrecedence: bulk\r\n\r\nx\r\n."), "^250")
    client.close()
    wait_for("a warning", lambda: site.maildir("sender"))
    message, types, human, machine, original = report(site.maildir("sender")[0])
    like(message["Subject"], r"^Warning: message \S{16} delayed 0 minutes$")
    equal(types, ["text/plain", "message/delivery-status", "text/rfc822-headers"])
    like(human, "^The subject of the message is: late$")
    like(human, "\n\n  (a@old.example\n  c@old.example|c@old.example\n  a@old.example)\n\n", "those who asked for it, or for nothing")
    like(machine, "^Original-Envelope-ID: late$")
    like(machine, "^Original-Recipient: rfc822;late\nAction: delayed\nFinal-Recipient: rfc822;a@old.example\nStatus: 4.0.0$")
    equal(machine.count("Action: "), 2)
    tries = site.mainlog().count(" == ")
    wait_for("more attempts", lambda: site.mainlog().count(" == ") > tries + 6)
    equal(len(site.maildir("sender")), 1, "one warning for one time; none for who did not ask, none for a list's mail")

with Site("dsn_advertise_hosts =\n") as site:
    client = site.connect()
    unlike(client.ask("EHLO client.example"), "DSN")
    like(client.ask("MAIL FROM:<sender@test.example> RET=FULL"), "^250 OK$", "not offered, not heeded: as exim4 has it")
