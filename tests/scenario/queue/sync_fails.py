#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk says EIO to fdatasync.  Once: that message gets 451 and never comes back, the next one is safe.  Again and again: nothing is
accepted and nothing delivered any more, though the disk has recovered, until a restart, which has all that got its 250."""
import shutil
import signal
import subprocess

from heddle import Site, check, equal, like, skip

if not shutil.which("strace"):
    skip("strace is not here")


class Faults:
    """While it lasts, the kernel's fdatasync fails: each time, or the first time in each of its threads."""

    def __init__(self, site, when=""):
        self.tracer = subprocess.Popen(
            ["strace", "-f", "-o", site.path("trace"), "-p", str(site.kernel_pid()), "-e", "trace=fdatasync", "-e",
             "inject=fdatasync:error=EIO" + when], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.tracer.stderr.readline()
        if "attached" not in line:
            skip(f"strace may not trace: {line.strip()}")

    def end(self):
        self.tracer.send_signal(signal.SIGINT)
        self.tracer.wait(30)


def answer(site, subject):
    client = site.connect(helo="client.example")
    for line in ("MAIL FROM:<a@client.example>", "RCPT TO:<alice@test.example>", "DATA"):
        client.ask(line)
    said = client.ask(f"Subject: {subject}\r\n\r\ntext\r\n.")
    client.close()
    return said


with Site("queue_only\n", panics="queue: .*(could not be synced|failed)") as site:
    kept = [site.send("alice@test.example", subject="before")]
    faults = Faults(site, ":when=1")
    said = [answer(site, "once")]
    equal(said[0], "451 Temporary local problem - please try later", "a sync that failed: 451")
    while not said[-1].startswith("250") and len(said) < 50:  # each thread has its first one
        said.append(answer(site, "once"))
    faults.end()
    like(said[-1], "^250 OK id=", "the next one is in another segment, and safe")
    kept += [said[-1].partition("id=")[2], site.send("alice@test.example", subject="after")]
    site.wait_for_queue(3)
    site.kill()
    site.start()
    site.wait_for_queue(3)
    equal(sorted(site.cli("-bpi").stdout.split()), sorted(kept), "what was refused has not come back, what was accepted is there")
    site.cli("-q")
    equal(sorted(text.partition("Subject: ")[2].split()[0] for text in site.maildir("alice", 3)), ["after", "before", "once"], "and is delivered")

with Site("queue_only\n", panics="the queue has stopped") as site:
    kept = site.send("alice@test.example")
    faults = Faults(site)
    equal(answer(site, "lost")[:3], "451", "syncs that fail: 451")
    equal(answer(site, "lost")[:3], "451", "again")
    faults.end()
    like(site.paniclog(), "the queue has stopped", "an alarm")
    equal(answer(site, "lost")[:3], "451", "nothing is accepted although the disk is well again")
    site.cli("-M", kept)
    site.cli("-qff")
    like(site.ctl("stats").stdout, r"(?i)stopped", "and asked, it says so")
    site.stop()  # what is under way is finished
    equal(site.maildir("alice"), [], "nor is anything delivered")
    site.start()
    equal(site.cli("-bpi").stdout.split(), [kept], "after a restart what was accepted is there, and only that")
    site.cli("-q")
    site.maildir("alice", 1)
    check(answer(site, "well").startswith("250 OK id="), "and mail goes on")
