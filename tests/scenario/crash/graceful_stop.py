#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGTERM: no new connections, 421 to who is idle, what is in DATA is finished and kept."""
import signal
import socket
import time

from heddle import Site, check, equal, like

with Site("queue_only\n") as site:
    idle, busy = site.connect(helo="idle.example"), site.connect(helo="busy.example")
    for line in ("MAIL FROM:<a@client.example>", "RCPT TO:<alice@test.example>", "DATA"):
        busy.ask(line)
    busy.send("Subject: in flight\r\n\r\nhalf")
    time.sleep(0.2)
    site.signal(signal.SIGTERM)
    like(idle.reply(), "^421 mx.test.example: Service not available", "an idle session is told")
    equal(idle.reply(), "", "and closed")
    busy.send(" and the rest\r\n.\r\n")
    like(busy.reply(), "^250 OK id=", "what was in DATA is finished")
    like(busy.reply(), "^421 ", "then this session is told too")
    try:
        socket.create_connection(("127.0.0.1", site.port), timeout=2).close()
        check(False, "nobody listens any more")
    except OSError:
        check(True, "nobody listens any more")
    equal(site.stop(), 0, "it ends well")
    site.start()
    site.wait_for_queue(1)
