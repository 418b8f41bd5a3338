#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hundreds of hosts that never answer hold no thread: half of them take the connection and do not greet, half do not even take
it.  Another host gets its mail at once meanwhile, the waits have names, and a stop does not wait for them."""
import os
import re
import socket
import time

from heddle import Site, check, equal, like, wait_for
from peers import Sink

EACH = 150
ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_data = ${if match{$domain}{^(\\\\d+)\\\\.mute}{127.0.7.$1::MUTE}{${if match{$domain}{^(\\\\d+)\\\\.full}{127.0.8.$1::FULL}\\
               {127.0.0.1::GOOD}}}} byname
  self = send
  transport = smtp
"""
TRANSPORTS = "smtp:\n  driver = smtp\n  allow_localhost\n  connect_timeout = 60s\n  command_timeout = 60s\n"


def listener(backlog):
    s = socket.socket()
    s.bind(("0.0.0.0", 0))
    s.listen(backlog)
    return s, s.getsockname()[1]


def fill(port):
    """Connections until one is not taken: the backlog is full."""
    taken = []
    while True:
        s = socket.socket()
        s.setblocking(False)
        try:
            s.connect(("127.0.8.1", port))
        except BlockingIOError:
            pass
        taken.append(s)
        time.sleep(0.02)
        try:
            s.getpeername()
        except OSError:
            return taken


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


mute, mute_port = listener(4096)
full, full_port = listener(0)
held = fill(full_port)
good = Sink()
routers = ROUTERS.replace("MUTE", str(mute_port)).replace("FULL", str(full_port)).replace("GOOD", str(good.port))
with Site("smtp_accept_queue_per_connection = 0\n", routers=routers, transports=TRANSPORTS, retry="* * F,1h,1h\n") as site:
    def waiting(what):
        found = re.search(rf"(?m)^waiting n=(\d+) for {what}$", site.ctl("stats").stdout)
        return int(found.group(1)) if found else 0
    pid, before = site.kernel_pid(), threads(site.kernel_pid())
    client = site.connect(helo="client.example")
    answers = []
    for i in range(1, EACH + 1):
        for kind in ("mute", "full"):
            client.send(f"MAIL FROM:<a@client.example>\r\nRCPT TO:<x@{i}.{kind}.example>\r\nDATA\r\n")
            for _ in range(3):
                client.reply()
            answers.append(client.ask("Subject: to nobody\r\n\r\nHello\r\n."))
    equal(sum(a.startswith("250 OK id=") for a in answers), 2 * EACH, "all are accepted")
    wait_for("those that do not greet are waited for, by name", lambda: waiting("greeting of a host") == EACH)
    wait_for("those that do not take the connection too", lambda: waiting("connection to a host") == EACH)
    began = time.monotonic()
    name = site.send("y@good.example")
    site.wait_for_log(rf"{name} => y@good\.example", "another host gets its mail")
    check(time.monotonic() - began < 3, "at once", time.monotonic() - began)
    wait_for("and no thread is there for the others", lambda: threads(pid) <= before + 2, 30)
    equal((waiting("greeting of a host"), waiting("connection to a host")), (EACH, EACH), "which go on waiting")
    began = time.monotonic()
    equal(site.stop(), 0, "a stop")
    check(time.monotonic() - began < 5, "does not wait for them", time.monotonic() - began)
    log = site.mainlog()
    equal(len(re.findall(r" (==|\*\*) ", log)), 0, "and is no failure of theirs")
    mute.close()
    for s in [full, *held]:
        s.close()
    site.start()
    site.wait_for_log(r" == x@150\.full\.example R=out T=smtp defer \(111\): Connection refused", "after a start they are tried at once")
    wait_for("each of them", lambda: len(re.findall(r" == x@\d+\.(?:full|mute)\.example R=out T=smtp defer \(111\)", site.mainlog())) == 2 * EACH)
good.close()
