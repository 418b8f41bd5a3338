#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A remote that refuses, stalls or drops at each command: the message is deferred or bounced as the reply says, is never lost
and never sent twice, and other remotes feel nothing."""
import time

from heddle import Site, check, equal
from peers import DROP, STALL, Sink

STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
HOW = {"refuses": "550 no", "later": "451 later", "stalls": STALL, "drops": DROP, "babbles": "x" * 3000 + "\n" + "\1\2\3 nonsense"}
FAILS = {("CONNECT", "refuses"), ("EHLO", "refuses"), ("MAIL", "refuses"), ("RCPT", "refuses"), ("DATA", "refuses"), ("END", "refuses")}
ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_data = ${lookup{$domain}lsearch{DIR/ports}}
  self = send
  transport = smtp
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  connect_timeout = 2s
  command_timeout = 2s
  data_timeout = 2s
  final_timeout = 2s
"""

good = Sink()
sinks = {(step, how): Sink({step: reply, "HELO": reply} if step == "EHLO" else {step: reply}) for step in STEPS for how, reply in HOW.items()}
with Site("smtp_accept_queue_per_connection = 0\n", routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1h,1h\n", panics="") as site:
    site.write("ports", "good.example: 127.0.0.1::{}\n".format(good.port) + "".join(
        f"{step}-{how}.example: 127.0.0.1::{sink.port}\n".lower() for (step, how), sink in sinks.items()))
    names = {}
    for step, how in sinks:
        names[step, how] = site.send(f"x@{step}-{how}.example".lower(), sender="")
    began = time.monotonic()
    fine = site.send("x@good.example", sender="")
    site.wait_for_log(rf"{fine} Completed", "a good remote beside them all gets its message")
    check(time.monotonic() - began < 2, "without waiting for the bad ones", time.monotonic() - began)
    for (step, how), name in names.items():
        fails = (step, how) in FAILS
        sign, what = (r"\*\*", "failed") if fails else ("==", "deferred")
        site.wait_for_log(rf"{name} {sign} x@{step.lower()}-{how}\.example ", f"one that {how} at {step}: {what}", patience=20)
    equal([key for key, sink in sinks.items() if sink.messages], [], "nothing was taken")
    delivered = [key for key, name in names.items() if f"{name} => " in site.mainlog()]
    equal(delivered, [], "none is called delivered")
    waiting = site.cli("-bp").stdout
    equal(sorted(key for key, name in names.items() if key not in FAILS and name not in waiting), [], "what was deferred is still queued")
    equal(len(good.messages), 1, "the good one got it once")
