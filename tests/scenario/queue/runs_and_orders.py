#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""-q, -qff, -M and -Mg: what is kept is delivered when it is asked for, frozen or not, or given up and returned."""
from heddle import Site, equal, like

with Site("queue_only\nqualify_domain = test.example\n") as site:
    one = site.send("alice@test.example", subject="one")
    equal(site.cli("-M", one).returncode, 0)
    like(site.maildir("alice", 1)[0], "^Subject: one$", "-M delivers one message")
    site.send("bob@test.example", subject="two")
    frozen = site.send("bob@test.example", subject="frozen")
    site.cli("-Mf", frozen)
    equal(site.cli("-q").returncode, 0)
    like(site.maildir("bob", 1)[0], "^Subject: two$", "-q delivers what is not frozen")
    site.wait_for_queue(1)
    equal(site.cli("-qff").returncode, 0)
    like("\n".join(site.maildir("bob", 2)), "^Subject: frozen$", "-qff delivers what is frozen too")
    site.wait_for_queue(0)
    given_up = site.send("carol@test.example", sender="alice@test.example", subject="never")
    like(site.cli("-Mg", given_up).stdout, f"Message {given_up} ")
    site.wait_for_log(rf"{given_up} \*\* carol@test\.example.*(?i:cancelled)")
    site.cli("-q")
    like(site.maildir("alice", 2)[1], "^Subject: never$", "the sender is told")
