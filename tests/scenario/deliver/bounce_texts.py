#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bounces, warnings and notices of freezing say, field by field as exim4's do; the site's own words; copies for others."""
import re

from heddle import Site, check, equal, like, unlike, wait_for

MAIN = """delay_warning = 1s
errors_reply_to = help@test.example
freeze_tell = tell@test.example, other
errors_copy = nobody@*  never@test.example : bob@test.example  copy@test.example, copy-$local_part : ^^x-(.*)@  got-$1@test.example
"""
ROUTERS = """later:
  driver = redirect
  local_parts = later
  allow_defer
  data = :defer: not today
frozen:
  driver = manualroute
  local_parts = frozen
  route_list = * 127.0.0.1
  transport = remote
said:
  driver = redirect
  local_parts = said
  allow_fail
  data = :fail: go away $local_part
another:
  driver = redirect
  local_parts = another
  allow_fail
  data = :fail: told to another
  errors_to = ann@test.example
list:
  driver = redirect
  local_parts = list
  data = said@test.example, command@test.example
command:
  driver = accept
  local_parts = command
  transport = command
big:
  driver = accept
  local_parts = big
  transport = big
full:
  driver = accept
  local_parts = full
  transport = full
inbox:
  driver = accept
  transport = maildir
"""
TRANSPORTS = """remote:
  driver = smtp
maildir:
  driver = appendfile
  maildir_format
  envelope_to_add
  directory = DIR/mail/all
command:
  driver = pipe
  command = /bin/sh -c "cat >/dev/null; echo some output; exit 3"
  return_output
big:
  driver = appendfile
  file = DIR/mail/big
  message_size_limit = 10
full:
  driver = appendfile
  file = DIR/mail/full
  quota = 10
"""
RETRY = "full@test.example * F,1s,1s\n* * F,1h,1s\n"
SECTIONS = {"routers": ROUTERS, "transports": TRANSPORTS, "retry": RETRY}


def to(site, address, count=1):
    """The messages for an address, when there are so many."""
    def found():
        return [m for m in site.maildir("all") if re.search(rf"^Envelope-to: {address}@(?:mx\.)?test\.example$", m, re.M)]
    wait_for(f"{count} for {address}", lambda: len(found()) >= count)
    return found()


def same(text, wanted, what):
    """Dates, identifiers and boundaries apart."""
    text = re.sub(r"\d+-heddlebounce-[\w-]+", "BOUNDARY", text)
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} [+-]\d{4}", "DATE", text)
    equal(re.sub(r"\b(E?)\w{6}-\w{6}-\w\w\b", r"\1ID", text).split("\n"), wanted.split("\n"), what)


with Site(main=MAIN, **SECTIONS) as site:
    site.send("said@test.example", "list@test.example", "big@test.example", sender="bob@test.example")
    head, _, body = to(site, "bob")[0].partition("\n\n")
    failed = re.search(r"^X-Failed-Recipients: (.*(?:\n .*)*)", head, re.M)
    equal(sorted(re.findall(r"[\w@.]+", failed.group(1))), sorted(f"{x}@test.example" for x in ("said", "command", "big")))
    same(head[failed.end() + 1:], """Reply-To: help@test.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.test.example>
To: bob@test.example
Content-Type: multipart/report; report-type=delivery-status; boundary=BOUNDARY
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <EID@mx.test.example>
Date: DATE""", "the header behind the addresses")
    like(head, r"^\tid [\w-]+;\n", "with copies there is no \"for\"")
    parts = re.split(r"--\d+-heddlebounce-[\w-]+(?:--)?\n", body)
    text, report = parts[1], parts[2]
    like(text, r"\AContent-type: text/plain; charset=us-ascii\n\nThis message was created automatically by mail delivery software\.\n\n"
               r"A message that you sent could not be delivered to one or more of its\n"
               r"recipients\. This is a permanent error\. The following address\(es\) failed:\n\n  ")
    like(text, r"^  said@test\.example\n    go away said$")
    like(text, r"^  command@test\.example\n    \(generated from list@test\.example\)\n    local delivery failed$")
    like(text, r"^  big@test\.example\n(?!    )", "the log's reason is not for the sender")
    like(text, r"\n\nThe following text was generated during the delivery attempt:\n\n------ command@test\.example ------\n\nsome output\n\n\Z")
    equal(report.count("Action: failed\nFinal-Recipient: rfc822;list@test.example\nStatus: 5.0.0\n"), 1, "the report has the envelope's address")
    unlike(report, "command@")
    to(site, "copy")
    equal(to(site, "copy-bob")[0].partition("\n")[2], to(site, "bob")[0].partition("\n")[2], "the copy is the same message")
    equal([m for m in site.maildir("all") if "never@test" in m], [])
    site.send("another@test.example", sender="bob@test.example")
    other = to(site, "ann")[0]
    like(other, r"^Subject: Mail delivery failed$")
    like(other, r"^A message sent by\n\n  <bob@test\.example>\n\ncould not be delivered to one or more of its recipients\. The following\n"
                r"address\(es\) failed:\n\n  another@test\.example\n    told to another\n")
    site.send("said@test.example", sender="x-fred@test.example")
    to(site, "got-fred")
    # what is put off
    site.send("full@test.example", sender="carl@test.example")
    late = site.send("later@test.example", sender="dora@test.example", headers="Date: yesterday\n")
    site.wait_for_log(rf"{late} == later@test\.example R=later defer \(-1\): not today")
    warning = to(site, "dora")[0] if wait_for("it is late", lambda: site.cli("-q") and [
        m for m in site.maildir("all") if "To: dora@" in m]) else ""
    like(warning, r"^Subject: Warning: message \S+ delayed 0 minutes$")
    like(warning, r"^The subject of the message is: a test\nThe date of the message is:    yesterday\n\n"
                  r"The address to which the message has not yet been delivered is:\n\n  later@test\.example\n    Delay reason: not today\n\nNo action")
    like(warning, r"^Action: delayed\nFinal-Recipient: rfc822;later@test\.example\nStatus: 4\.0\.0$")
    like(to(site, "carl")[-1], r"^  full@test\.example\n    mailbox is full: retry timeout exceeded$")
    # freeze_tell
    name = site.send("frozen@test.example", sender="bob@test.example")
    notice = to(site, "tell")[0]
    same(re.sub(r"\A[\S\s]*?^Auto", "Auto", notice, flags=re.M), """Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.test.example>
To: tell@test.example, other
Subject: Message frozen
Message-Id: <EID@mx.test.example>
Date: DATE

Message ID has been frozen.
The sender is <bob@test.example>.

The following address(es) have yet to be delivered:
  frozen@test.example: remote host address is the local host
""", "the notice of freezing")
    like(notice, rf"^Message {name} has")

OWN = """bounce_message_file = DIR/bounce
warn_message_file = DIR/warning
delay_warning = 1s
"""
with Site(main=OWN, start=False, **SECTIONS) as site:
    site.write("bounce", "Subject: Failed ${if eq{$sender_address}{$bounce_recipient}{own}} $bounce_return_size_limit\nX-More: $message_exim_id\n****\n"
                         "Hello <$sender_address>:\n****\nIt said:\n****\n****\n****\n")
    site.write("warning", "****\nDear $warn_message_recipients, $h_subject: waits for $warn_message_delay\n****\nThat is all\n")
    site.start()
    name = site.send("command@test.example", sender="bob@test.example")
    bounce = to(site, "bob")[0]
    like(bounce, rf"^MIME-Version: 1\.0\nSubject: Failed own 102400\nX-More: {name}\nMessage-Id: ")
    like(bounce, r"\n\nHello <bob@test\.example>:\n\n  command@test\.example\n    local delivery failed\n\nIt said:\n\n------ command@test\.example ------\n\nsome output\n\n--")
    site.send("later@test.example", sender="dora@test.example")
    wait_for("it is late", lambda: site.cli("-q") and [m for m in site.maildir("all") if "To: dora@" in m])
    warning = to(site, "dora")[0]
    like(warning, r"^Subject: Warning: message", "an empty item leaves Exim's words")
    like(warning, r"\n\nDear dora@test\.example, a test waits for 0 minutes\n\n  later@test\.example\n    Delay reason: not today\n\nThat is all\n\n--")

with Site(main="bounce_message_file = DIR/nowhere\nbounce_message_text = Ask us.\nbounce_return_linesize_limit = 20\n", panics="nowhere", **SECTIONS) as site:
    site.send("said@test.example", sender="bob@test.example", body="This line has more than twenty bytes.\n")
    bounce = to(site, "bob")[0]
    like(bounce, r"delivery software\.\nAsk us\.\nA message that you sent", "with no file, and with words to put in")
    like(bounce, r"^Content-type: text/rfc822-headers\n\n[\S\s]*^X-Heddle-DSN-Information: Due to administrative limits only headers are returned\n\n\n--")
    unlike(bounce, "This line has")
    like(site.mainlog(), r"Failed to open file for error message texts .*nowhere", "the log says so too")
    check(site.paniclog().count("\n") == 1, "once")
