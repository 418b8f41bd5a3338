#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The autoreply transport: an answer with Exim's fields, once for each sender, never to a bounce, never with a forged line in it."""
import os

from heddle import Client, Site, equal, like, unlike, wait_for

ROUTERS = """away:
  driver = accept
  domains = test.example
  local_parts = alice
  unseen
  condition = ${if !def:h_auto-submitted:}
  transport = vacation
plain:
  driver = accept
  domains = test.example
  local_parts = simple : broken : missing : forged
  transport = ${lookup{$local_part}lsearch{DIR/names}}
inbox:
  driver = accept
  domains = test.example : x.example
  transport = box
"""
TRANSPORTS = """box:
  driver = appendfile
  file = DIR/mail/box
vacation:
  driver = autoreply
  to = $sender_address
  from = Alice <alice@test.example>
  cc = Bob B <bob@test.example>, carl
  bcc = dora@test.example
  reply_to = r@test.example
  subject = Re: $h_subject:
  headers = X-One: 1\\nX-Two: 2
  text = I am away.\\nBye
  file = DIR/away
  file_expand
  log = DIR/mail/answers
  once = vacation
  once_repeat = 1d
  never_mail = *@never.example
  return_message
simple:
  driver = autoreply
  to = $sender_address
  text = got it
broken:
  driver = autoreply
  to = a b c
  text = x
missing:
  driver = autoreply
  to = $sender_address
  file = DIR/nothing
  file_optional
  text = still
forged:
  driver = autoreply
  to = $sender_address
  subject = ${sg{$h_subject:}{_}{\\n}}
  text = x
"""
with Site("qualify_domain = test.example\n", routers=ROUTERS, transports=TRANSPORTS, start=False) as site:
    site.write("names", "".join(f"{name}: {name}\n" for name in ("simple", "broken", "missing", "forged")))
    site.own(site.write("away", "from file $local_part\n"))
    site.start()

    def send(to, sender="send@x.example", head="Message-ID: <m1@x>\r\nReferences: <m0@x>\r\nSubject: hello\r\n"):
        client = Client(site.port)
        for line in ("EHLO me", f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}@test.example>", "DATA", head + "\r\nbody\r\n."):
            answer = client.ask(line)
        client.ask("QUIT")
        done = answer.partition("id=")[2].strip()
        wait_for("it is through", lambda: f"{done} Completed" in site.mainlog() or f"{done} ==" in site.mainlog())
        return done

    def answers_to(done):
        return [line for line in site.mainlog().splitlines() if f" <= <> R={done} " in line]

    first = send("alice")
    like(site.mainlog(), rf"{first} => alice <alice@test\.example> R=away T=vacation$")
    wait_for("all is delivered", lambda: site.mainlog().count("Completed") == 2)
    equal(len(answers_to(first)), 1, "one answer")
    like(answers_to(first)[0], r" <= <> R=\S+ U=\S+ P=local S=\d+$")
    for who in ("send@x.example", "bob@test.example", "carl@test.example", "dora@test.example"):
        like(site.mainlog(), rf"=> \S+ <{who}> R=inbox|=> {who.partition('@')[0]} <{who}>", f"{who} gets it")
    box = site.read("mail/box")
    like(box, r"^From: Alice <alice@test\.example>\nReply-To: r@test\.example\nTo: send@x\.example\nCc: Bob B <bob@test\.example>, carl@test\.example\n"
              r"Subject: Re: hello\nIn-Reply-To: <m1@x>\nReferences: <m0@x>\n <m1@x>\nAuto-Submitted: auto-replied\nX-One: 1\nX-Two: 2\n"
              r"(Message-Id: <E\S+@mx\.test\.example>\n|Date: .*\n){2}\nI am away\.\nBye\nfrom file alice\n\n"
              r"------ This is a copy of the message, including all the headers\.\n\nReceived: ")
    unlike(box, "dora", "Bcc is not shown")
    like(site.read("mail/answers"), r"^  To: send@x\.example\n  Cc: .*\n  Bcc: dora@test\.example\n  Subject: Re: hello\n")
    again = send("alice")
    equal(answers_to(again), [], "once: not again")
    like(site.read("mail/answers"), r"^  previously sent to send@x\.example$")
    equal(len(answers_to(send("alice", "other@x.example"))), 1, "another sender is answered")
    site.stop()
    site.start()
    equal(answers_to(send("alice")), [], "and that is known after a restart")
    equal(len(answers_to(send("alice", "who@never.example"))), 1, "never_mail leaves the sender out, Cc: gets it")

    equal(answers_to(send("simple", "")), [], "a bounce is not answered")
    equal(len(answers_to(send("simple"))), 1)
    done = send("broken")
    like(site.mainlog(), rf"{done} == broken@test\.example .*autoreply: not an address: a b c$")
    equal(len(answers_to(send("missing"))), 1, "file_optional")
    done = send("forged", head="Subject: x_Bcc: victim@x.example\r\n")
    like(site.mainlog(), rf"{done} == forged@test\.example .*non-printing character in Subject: ?$", "no line can be put into the header")
    unlike(site.mainlog(), "victim")
    equal(os.path.exists(site.path("vacation")), False)
