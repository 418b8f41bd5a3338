#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: one_time makes what is deferred a recipient of its own, for good; syntax_errors_to is told what was left out;
hide_child_in_errmsg keeps members out of bounces.  Compared with exim4's log lines and messages."""
from heddle import Site, equal, like, unlike, wait_for

ROUTERS = """once:
  driver = redirect
  local_parts = once
  data = ${lookup{once}lsearch{DIR/lists}}
  errors_to = owner@test.example
  one_time
mid:
  driver = redirect
  local_parts = mid
  data = later@test.example, good2@test.example, later2@test.example
files:
  driver = redirect
  local_parts = files
  data = DIR/file
  one_time
later:
  driver = redirect
  local_parts = later : later2
  condition = ${if !exists{DIR/up}}
  allow_defer
  data = :defer: not now
faulty:
  driver = redirect
  local_parts = faulty : nobody
  data = ${if eq{$local_part}{nobody}{x y}{a b c, good@test.example, x@}}
  skip_syntax_errors
  syntax_errors_to = owner@test.example
  syntax_errors_text = ${if eq{$local_part}{faulty}{There are errors in $local_part's list}}
hidden:
  driver = redirect
  local_parts = hidden
  data = secret@test.example, shown@test.example
  hide_child_in_errmsg
failing:
  driver = redirect
  local_parts = secret
  allow_fail
  data = :fail: no such luck
inbox:
  driver = accept
  local_parts = good : good2 : later : later2 : owner : shown : sender
  transport = mbox
"""
TRANSPORTS = "mbox:\n  driver = appendfile\n  file = DIR/mail/$local_part_data\n  return_path_add\n"

with Site("qualify_domain = test.example\nlog_selector = +all_parents\n", routers=ROUTERS, transports=TRANSPORTS) as site:
    def mail(name):
        return site.read(f"mail/{name}")

    def run():
        seen = len(site.mainlog())
        equal(site.cli("-qff").returncode, 0, "a queue run")
        wait_for("it has come to the message", lambda: len(site.mainlog()) > seen + 1)

    site.write("lists", "once: later@test.example, good@test.example, mid@test.example\n")
    message = site.send("once@test.example", sender="sender@test.example")
    site.wait_for_log(f"{message} == later@test.example <once@test.example> R=later defer.*: not now")
    site.wait_for_log(f"{message} == later2@test.example \\(mid@test.example\\) <once@test.example> R=later ")
    site.wait_for_log(f"{message} => good2 \\(mid@test.example\\) <once@test.example> R=inbox T=mbox")
    listing = wait_for("the recipients have changed", lambda: (lambda text: "later@" in text and text)(site.cli("-bp").stdout))
    like(listing, "^ +D once@test.example$", "the list is done with")
    like(listing, "^ +later@test.example$", "its member is a recipient")
    like(listing, "^ +mid@test.example$", "and so is the list below it")
    site.write("lists", "once: new@test.example\n")  # nobody looks any more
    site.kill()
    site.start()
    run()
    site.wait_for_log(f"{message} == later2@test.example <mid@test.example> R=later ", "children of the new recipient are its own")
    site.write("up", "")
    run()
    site.wait_for_log(f"{message} => later <once@test.example> R=inbox T=mbox")
    site.wait_for_log(f"{message} Completed")
    equal([mail(name).count("Return-path: <owner@test.example>") for name in ("good", "good2", "later2")], [1, 1, 1], "each has it once, with errors_to")
    unlike(site.mainlog(), "new@test.example")
    site.send("files@test.example")
    site.wait_for_log(r"== files@test.example R=files defer.*error in redirect data: delivery to file forbidden", "only addresses come of it")

    message = site.send("faulty@test.example", sender="sender@test.example")
    site.wait_for_log(f"{message} Completed")
    like(site.mainlog(), rf'^\S+ \S+ {message} faulty router: skipped error: missing or malformed local part .* in "a b c"$')
    letter = wait_for("its owner is told", lambda: (lambda text: "faulty router" in text and text)(mail("owner")))
    like(site.mainlog(), f" <= <> R={message} U=\\S+ P=local ")
    like(letter, "^From: Mail Delivery System <Mailer-Daemon@test.example>\nTo: owner@test.example\n"
         f"Subject: error\\(s\\) in forwarding or filtering\nReferences: <E{message}@mx.test.example>$")
    like(letter, "^Auto-Submitted: auto-replied$")
    like(letter, """^
There are errors in faulty's list

The faulty router encountered the following error\\(s\\):

  missing or malformed local part \\(expected word or "<"\\) in the address
  "a b c"

  domain missing or malformed in the address
  "x@"

Other addresses were processed normally.
""")
    count = site.mainlog().count(" <= <> ")
    equal(site.cli("-bt", "faulty@test.example").returncode, 0)
    equal(site.mainlog().count(" <= <> "), count, "a test sends nothing")
    message = site.send("nobody@test.example", sender="sender@test.example")
    site.wait_for_log(f"{message} \\*\\* nobody@test.example: syntax error in redirection data")
    like(wait_for("told", lambda: (lambda text: "valid addresses" in text and text)(mail("owner"))), "^No valid addresses were generated.$")

    message = site.send("hidden@test.example", sender="sender@test.example")
    site.wait_for_log(f"{message} \\*\\* secret@test.example <hidden@test.example> R=failing: no such luck")
    site.wait_for_log(f"{message} Completed")
    bounce = wait_for("the sender is told", lambda: (lambda text: "undisclosed" in text and text)(mail("sender")))
    like(bounce, "^  an undisclosed address\n    \\(generated from hidden@test.example\\)\n$")
    like(bounce, "^Final-Recipient: rfc822;hidden@test.example$")
    unlike(bounce, "secret|luck", "nothing of it is quoted, nor in the header")
