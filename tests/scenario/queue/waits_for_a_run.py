#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""queue_domains, queue_smtp_domains and hold_domains: what waits for a queue run, also over a restart; remote_sort_domains."""
import time

from heddle import Site, equal, like, unlike
from peers import Sink

ROUTERS = """there:
  driver = manualroute
  domains = s.example : *.a.example : *.b.example : c.example
  self = send
  route_list = * 127.0.0.1::PORT
  transport = smtp
two:
  driver = redirect
  local_parts = two
  data = x@s.example, y@s.example, alice@test.example
inbox:
  driver = accept
  transport = maildir
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  max_rcpt = 1
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/all
"""
MAIN = "queue_domains = q.example\nqueue_smtp_domains = s.example\nhold_domains = h.example\n" \
       "remote_sort_domains = *.b.example : *.a.example\nremote_max_parallel = 1\n"
FIRST = r"first-pass only routing due to -odqs, queue_smtp_domains or control=queue"

sink = Sink()
with Site(main=MAIN, routers=ROUTERS.replace("PORT", str(sink.port)), transports=TRANSPORTS) as site:
    name = site.send("a@q.example", "b@test.example", "c@s.example", "d@h.example")
    site.wait_for_log(rf"{name} == a@q\.example routing defer \(-56\): domain is in queue_domains$")
    site.wait_for_log(rf"{name} == d@h\.example routing defer \(-55\): domain is held$")
    site.wait_for_log(rf"{name} == c@s\.example R=there T=smtp defer \(-1\): {FIRST}$")
    site.wait_for_log(rf"{name} => b <b@test\.example>")
    other = site.send("two@test.example")
    site.wait_for_log(rf"{other} => alice <two@test\.example>", "of three the local one is delivered")
    equal(site.mainlog().count("(-1): first-pass"), 3)
    site.stop()
    site.start()
    time.sleep(1.2)  # a tick of the scheduler
    unlike(site.mainlog(), r"[=-]> ([cxy]@s|a <a@q|d <)", "they wait, also over a restart")
    site.cli("-q")
    site.wait_for_log(rf"{name} => a <a@q\.example> R=inbox")
    site.wait_for_log(rf"{name} => c@s\.example R=there T=smtp")
    site.wait_for_log(rf"{other} => x@s\.example <two@test\.example>")
    site.wait_for_log(rf"{other} Completed")
    site.wait_for_log("End queue run: ", "a message that is still being handled would be passed over by the next")
    equal(site.queued(), 1)
    unlike(site.mainlog(), "=> d <", "what is held stays")
    site.cli("-qf")
    site.wait_for_log(rf"{name} => d <d@h\.example>", "unless it is forced")
    site.wait_for_log(rf"{name} Completed")
    held = site.send("e@h.example")
    site.wait_for_log(rf"{held} == e@h\.example routing defer \(-55\): domain is held$", "the force is over")
    name = site.send("1@x.a.example", "2@c.example", "3@x.b.example")
    site.wait_for_log(rf"{name} Completed")
    order = [line.split(" ")[4] for line in site.mainlog().splitlines() if f"{name} =>" in line or f"{name} ->" in line]
    equal(order, ["3@x.b.example", "1@x.a.example", "2@c.example"], "in the order of remote_sort_domains")
    now = site.send("alice@test.example")
    like(site.wait_for_log(rf"{now} Completed").group(0), now)
