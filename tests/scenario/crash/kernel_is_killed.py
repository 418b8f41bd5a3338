#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel is killed under load, several times: master starts it again on the same sockets, and every message that had its
250 is delivered."""
import os
import re
import signal
import threading
import time

from heddle import Client, Site, check, equal, wait_for

acknowledged, stop = [], threading.Event()

def keep_sending(site, who):
    number = 0
    while not stop.is_set():
        number += 1
        subject = f"message {who}-{number}"
        try:
            client = Client(site.port)
            client.ask("EHLO client.example")
            client.ask("MAIL FROM:<a@client.example>")
            client.ask("RCPT TO:<alice@test.example>")
            if client.code("DATA") == "354" and client.ask(f"Subject: {subject}\r\n\r\nbody\r\n.").startswith("250 OK id="):
                acknowledged.append(subject)
            client.close()
        except OSError:
            time.sleep(0.02)

with Site() as site:
    threads = [threading.Thread(target=keep_sending, args=(site, who)) for who in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = len(acknowledged)
        wait_for("mail is accepted", lambda: len(acknowledged) > before + 20)
        old = site.kernel_pid()
        os.kill(old, signal.SIGKILL)
        wait_for("another kernel comes up", lambda: [p for p in site.pids("heddle-kernel") if p != old])
    before = len(acknowledged)
    wait_for("mail is accepted again", lambda: len(acknowledged) > before + 20)
    stop.set()
    for thread in threads:
        thread.join()
    wait_for("the queue empties", lambda: site.queued() == 0, patience=60)
    got = [re.search(r"^Subject: (.*)$", text, re.M).group(1) for text in site.maildir("alice")]
    equal(sorted(set(acknowledged) - set(got)), [], f"none of {len(acknowledged)} acknowledged messages is lost")
    check(len(got) - len(set(got)) <= 3 * 50, "duplicates are no more than what was in delivery", len(got) - len(set(got)))
    equal(len(re.findall("daemon started", site.mainlog())) >= 4, True, "started four times")
    equal(site.read("stderr").count("the kernel died of signal 9"), 3, "master said so")
