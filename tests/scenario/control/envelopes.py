#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""-Mar, -Mmd, -Mmad, -Mes change an envelope, -Mvh, -Mvb, -Mvc and -Mvl show what is kept, -Mc delivers what is due, -R and -S
choose; -brt names the retry rule; the words are Exim's."""
from heddle import Site, equal, like, unlike, wait_for

RETRY = "out.example quota_1d F,4h,1m\nout.example quota F,2h,5m\n*@out.example rcpt_4xx G,1d,10m,1.5\n* * F,90m,15m; F,4d,6h\n"

with Site("queue_only\n", retry=RETRY) as site:
    name = site.send("alice@test.example", "bob@test.example", subject="hello", body="a line\n")
    like(site.cli("-Mvh", name).stdout, rf"\A{name}-H\nheddle \d+ \d+\n<sender@client\.example>\n\d+ 0\n(?:--?[a-z_]+(?: .*)?\n)+XX\n2\nalice@test\.example\nbob@test\.example\n\n\d\d\dP Received: ")
    like(site.cli("-Mvh", name).stdout, r"(?m)^0\d\d  Subject: hello$")
    equal(site.cli("-Mvb", name).stdout, f"{name}-D\na line\n")
    like(site.cli("-Mvc", name).stdout, r"\AReceived: (?s:.*)\nSubject: hello\n(?s:.*)\na line\n")
    equal(site.cli("-Mar", name, "c@test.example", "carol@test.example").stdout, f"Message {name} has been modified\n")
    like(site.cli("-Mar", name, "nodomain").stdout, rf"Message {name} - error while adding recipient:\n  bad address nodomain: domain missing")
    like(site.cli("-Mar", name).stdout, rf"Message {name} - error while adding recipient: no address given")
    equal(site.cli("-Mes", name, "other@client.example").stdout, f"Message {name} has been modified\n")
    like(site.cli("-Mes", name, "a@b.example", "c@d.example").stdout, "only one sender address can be specified")
    like(site.cli("-Mes", name, "nodom").stdout, r"error while editing sender:\n  bad address nodom: domain missing")
    equal(site.cli("-Mmd", name, "c@test.example").stdout, f"Message {name} has been modified\n")
    like(site.cli("-Mmd", name, "zz@test.example").stdout, r"error while marking as delivered:\n  zz@test\.example is not a recipient: message not updated")
    listing = site.cli("-bp").stdout
    like(listing, rf"{name} <other@client\.example>\n +alice@test\.example\n +bob@test\.example\n +D c@test\.example\n +carol@test\.example\n")
    for line in (r"recipient <c@test\.example> added by ", r"sender address changed to <other@client\.example> by ",
                 r"address <c@test\.example> marked delivered by "):
        site.wait_for_log(f"{name} {line}")
    site.stop()
    site.start()
    site.wait_for_queue(1)
    equal(site.cli("-bp").stdout.split()[2:], listing.split()[2:], "all of it survives a restart")
    equal(site.cli("-Mes", name, "<>").stdout, f"Message {name} has been modified\n")
    site.cli("-Mmd", name, "bob@test.example")
    equal(site.cli("-Mc", name).returncode, 0)
    wait_for("who is left gets it", lambda: len(site.maildir("alice", 1)) == 1)
    wait_for("the added one too", lambda: len(site.maildir("carol", 1)) == 1)
    site.wait_for_log(rf"{name} Completed")
    unlike(site.mainlog(), r"=> (bob|c) ", "who was marked gets nothing")
    equal(site.cli("-Mvb", name).returncode, 1, "it has gone")
    two = site.send("alice@test.example", "x@test.example"), site.send("alice@test.example", sender="s2@other.client.example")
    equal(site.cli("-Mmad", two[0]).stdout, f"Message {two[0]} has been modified\n")
    like(site.cli("-bp").stdout, rf"{two[0]} <sender@client\.example>\n +D alice@test\.example\n +D x@test\.example\n")
    site.cli("-Sf", "OTHER.client")
    site.wait_for_log(rf"{two[1]} => alice ")
    site.cli("-Rff", "x@test.example")
    equal(site.cli("-bpi").stdout.split(), [two[0]], "nothing of it is pending: -R does not choose it")
    site.cli("-M", two[0])
    site.wait_for_log(rf"{two[0]} Completed")
    unlike(site.mainlog(), rf"{two[0]} => ", "what is marked is not delivered")
    equal(site.cli("-Mzz", two[0]).returncode, 1, "unknown ones are refused")

    equal(site.cli("-brt", "out.example").stdout, "Retry rule: *  *  F,1h30m,15m; F,4d,6h; \n")
    equal(site.cli("-brt", "out.example", "quota_2d").stdout, "Retry rule: out.example  quota_1d  F,4h,1m; \n")
    equal(site.cli("-brt", "out.example", "quota_2h").stdout, "Retry rule: out.example  quota  F,2h,5m; \n")
    equal(site.cli("-brt", "x@out.example", "rcpt_451").stdout, "Retry rule: *@out.example  rcpt_4xx  G,1d,10m,1.500; \n")
    equal(site.cli("-brt", "a.example", "out.example", "timeout").stdout, "Retry rule: *  *  F,1h30m,15m; F,4d,6h; \n")
    equal(site.cli("-brt", "a.example", "bogus").stdout, 'unknown or malformed retry error "bogus"\n')
    like(site.cli("-brt").stdout, "-brt needs a domain or address argument")
