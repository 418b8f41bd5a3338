#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only CR LF . CR LF ends a message: whatever else looks like it, what follows is text of the same message."""
import itertools

from heddle import Site, check, equal, like

SECOND = "MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@test.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
ENDS = ["\r\n", "\n", "\r", "\0\n", "\r\0\n", "\r\r\n", "\n\r"]
FORMS = [a + dot + b for a, dot, b in itertools.product(ENDS, (".", "\0."), ENDS) if (a, dot, b) != ("\r\n", ".", "\r\n")]

with Site("queue_only\nsmtp_max_synprot_errors = 0\n") as site:
    wrong = []
    for form in FORMS:
        # "\n" + "." behind "\r" of the line before would be the true end: the text before ends in a letter
        client = site.connect(helo="client.example")
        client.ask("MAIL FROM:<a@client.example>")
        client.ask("RCPT TO:<alice@test.example>")
        client.ask("DATA")
        client.send("Subject: first\r\n\r\nfirst body" + form + SECOND)
        client.send("\r\n.\r\nNOOP\r\n")
        answers = [client.reply()[:3], client.reply()[:3]]
        if answers != ["250", "250"]:
            # a refusal and a close are as good as one message
            if not (answers[0][:1] in "45" and answers[0]):
                wrong.append((form, answers))
        client.close()
    equal(wrong, [], f"{len(FORMS)} forms of a false end: one reply for one message")
    count = site.queued()
    check(isinstance(count, int) and count <= len(FORMS), "no more messages than were sent", count)
    like(site.mainlog(), "<= a@client.example")
    equal(site.mainlog().count("<= evil@"), 0, "no smuggled sender")
    equal(site.mainlog().count("bob@test.example"), 0, "no smuggled recipient")
