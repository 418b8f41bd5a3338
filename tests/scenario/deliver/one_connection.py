#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty messages for a host that takes one connection at a time: they wait without a thread, and each worker that is through
hands its connection to the next; a transport with other settings gets one of its own; connection_max_messages counts."""
import os
import time

from heddle import Site, check, equal, wait_for
from peers import Sink

N = 20
ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_list = *.few.example 127.0.0.1::PORT byname few ; *.other.example 127.0.0.1::PORT byname other ; * 127.0.0.1::PORT byname
  self = send
  transport = smtp
"""
ONE = "  driver = smtp\n  allow_localhost\n  serialize_hosts = *\n  hosts_try_chunking =\n"
TRANSPORTS = f"smtp:\n{ONE}few:\n{ONE}  connection_max_messages = 5\nother:\n{ONE}  helo_data = other.example\n"


def slow(line):
    time.sleep(0.01)
    return "250 taken"


sink = Sink({"END": slow})
routers = ROUTERS.replace("PORT", str(sink.port)).replace("route_list = ", "route_list = <; ").replace(" ; ", "; ")
with Site("smtp_accept_queue_per_connection = 0\n", routers=routers, transports=TRANSPORTS) as site:
    def threads():
        return len(os.listdir(f"/proc/{site.kernel_pid()}/task"))

    def send(domain, n):
        client = site.connect(helo="client.example")
        for i in range(n):
            client.send(f"MAIL FROM:<a@client.example>\r\nRCPT TO:<x{i}@{domain}>\r\nDATA\r\n")
            for _ in range(3):
                client.reply()
            client.ask("Subject: one of many\r\n\r\nHello\r\n.")
        client.close()
    before = threads()
    send("all.example", N)
    most = threads()
    wait_for("all are delivered", lambda: len(sink.messages) == N)
    equal(sink.connections, 1, "over one connection")
    check(most <= before + 4, "those that wait hold no thread", (before, most))
    send("a.other.example", 3)
    wait_for("other settings", lambda: len(sink.messages) == N + 3)
    equal(sink.connections, 2, "are another connection")
    send("a.few.example", N)
    wait_for("all of these too", lambda: len(sink.messages) == 2 * N + 3)
    equal(sink.connections, 2 + N // 5, "five on each connection")
sink.close()
