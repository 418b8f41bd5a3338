#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that failed is not tried again before its time, by any message, before and after a restart; then by one, and when it
answers, what waited for it goes at once."""
import re
import socket

from heddle import Site, check, equal, like, wait_for
from peers import DROP, Sink

ROUTERS = "out:\n  driver = manualroute\n  route_list = * 127.0.0.1::PORT byname\n  self = send\n  transport = smtp\n"
TRANSPORTS = "smtp:\n  driver = smtp\n  allow_localhost\n  hosts_try_fastopen =\n"

sink = Sink({"CONNECT": DROP})
with Site(routers=ROUTERS.replace("PORT", str(sink.port)), transports=TRANSPORTS, retry="* * F,1h,5m\n") as site:
    def hints(*words):
        return site.ctl("hints", *words).stdout
    key = f"T:127.0.0.1:127.0.0.1:{sink.port}"
    wait_for("there is something to remember it in", lambda: not site.ctl("hints", "list").returncode)
    first = site.send("a@far.example")
    site.wait_for_log(rf"{first} == a@far\.example R=out T=smtp defer", "the first message finds the host failing")
    equal(sink.connections, 1, "one connection")
    names = [site.send(f"{who}@{where}.example") for who, where in (("b", "far"), ("c", "near"), ("d", "far"))]
    for name in names:
        site.wait_for_log(rf"{name} == \S+ R=out T=smtp defer \(-54\): retry time not reached for any host for '(far|near)\.example'",
                          "another message is told that it has to wait")
    equal(sink.connections, 1, "and made no connection")
    like(hints("list"), rf"(?m)^  {re.escape(key)} -?\d+ \d+ .*\n\d\d-\w\w\w-\d{{4}} [\d:]+  \d\d-\w+-\d+ [\d:]+  \d\d-\w+-\d+ [\d:]+$",
         "the hint is shown as exim_dumpdb does")
    like(hints("show", "127.0.0.1"), r"(?s)Transport: 127\.0\.0\.1:127\.0\.0\.1:\d+ error .*first failed:.*next try at:", "and in full")
    equal(hints("list", "nowhere"), "", "only what is asked for")
    site.stop()
    site.start()
    wait_for("they are read, which is behind the greeting", lambda: not site.ctl("hints", "list").returncode)
    name = site.send("e@far.example")
    site.wait_for_log(rf"{name} == .* defer \(-54\)", "a restart does not forget it")
    site.kill()
    site.start()
    wait_for("they are read, which is behind the greeting", lambda: not site.ctl("hints", "list").returncode)
    name = site.send("f@far.example")
    site.wait_for_log(rf"{name} == .* defer \(-54\)", "nor does a crash")
    equal(sink.connections, 1, "still one connection")
    sink.replies.clear()  # the host is up again; nobody knows
    site.cli("-M", first)
    site.wait_for_log(rf"{first} => a@far\.example", "somebody does not want to wait")
    wait_for("what waited for the host goes, of that domain", lambda: len(sink.messages) == 5)
    equal(hints("list"), "", "nothing is held against the host")
    like(site.ctl("hints", "delete", key).stderr, "not all of them", "nothing to delete")
    site.cli("-qff")
    wait_for("all of it", lambda: len(sink.messages) == 6)
sink.close()

# When its time comes, one message tries it, though many are due.
closed = socket.socket()
closed.bind(("127.0.0.1", 0))
port = closed.getsockname()[1]
with Site(routers=ROUTERS.replace("PORT", str(port)), transports=TRANSPORTS, retry="* * F,1h,3s\n") as site:
    wait_for("there is something to remember it in", lambda: not site.ctl("hints", "list").returncode)
    names = [site.send(f"u{i}@far.example") for i in range(6)]
    refused = r"H=127\.0\.0\.1 \[127\.0\.0\.1\] Connection refused"
    wait_for("it was tried twice", lambda: len(re.findall(refused, site.mainlog())) >= 2)
    times = sorted(re.findall(rf"(?m)^\S+ (\S+) \S+ {refused}", site.mainlog()))
    equal(len(times), len(set(times)), "one message at a time tries it")
    like(site.ctl("hints", "list").stdout, " 111 0 Connection refused", "the reason is kept")
    closed.close()
    sink = Sink(port=port)
    wait_for("and when it answers all of them go", lambda: len(sink.messages) == 6)
sink.close()
