#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system calls say: before the 250 of a message is sent, its last byte has been written to a segment and an fdatasync
of that segment, begun after the write, has ended; and with 64 senders there is less than one fdatasync for every four messages."""
import re
import shutil
import signal
import subprocess

from heddle import Site, check, equal, skip, wait_for
from crash import Senders

if not shutil.which("strace"):
    skip("strace is not here")

CALL = re.compile(r"^(\d+) +([\d.]+) (?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")


class Trace:
    """Reads strace's output line by line: what was written where, which syncs cover it, what was answered."""

    def __init__(self):
        self.open, self.begun, self.dirty, self.written = {}, {}, {}, {}
        self.syncs = self.answers = 0
        self.faults = []

    def line(self, text):
        found = CALL.match(text)
        if not found:
            return
        pid, _, resumed, rest, name, arguments = found.groups()
        if resumed:
            begun = self.open.pop(pid, None)
            if begun:
                self.end(*begun, rest)
        elif arguments.endswith("<unfinished ...>"):
            self.open[pid] = self.begin(name, arguments)
        else:
            begun = self.begin(name, arguments)
            self.end(*begun, arguments)

    def begin(self, name, arguments):
        """What of it counts from the moment that it began: an answer goes out, a sync covers what was written before."""
        file = re.match(r"\d+<(.*?)>", arguments)
        file = file.group(1) if file else ""
        if name in ("sendto", "write", "sendmsg", "writev") and "socket" in file.lower() or "TCP" in file:
            for message in re.findall(r"250 OK id=([\w-]{16,})", arguments):
                self.answer(message)
        covered = dict(self.written) if name in ("fdatasync", "fsync") else None
        return name, file, arguments, covered

    def end(self, name, file, arguments, covered, rest):
        failed = re.search(r"= -1 ", rest)
        if name in ("pwrite64", "pwritev", "pwritev2", "write", "writev") and "/queue/" in file and not failed:
            # a record has the id in its Received: field, and its last line at its end
            for message, last in re.findall(r"\\tid (\w{6}-\w{6}-\w{2})\b|(end of )", arguments):
                if message:
                    self.begun[file] = message
                elif last:
                    self.written[self.begun[file]] = self.dirty[self.begun[file]] = file
        elif name in ("fdatasync", "fsync") and not failed and "/queue/" in file:
            self.syncs += name == "fdatasync"
            for message, where in covered.items():
                if where == file and self.dirty.get(message) == file:
                    del self.dirty[message]

    def answer(self, message):
        self.answers += 1
        if message not in self.written:
            self.faults.append(f"{message}: 250 before it was written")
        elif message in self.dirty:
            self.faults.append(f"{message}: 250 before a sync of {self.dirty[message]} was over")
        self.written.pop(message, None)


def traced(senders, wanted, slower=()):
    with Site("queue_only\nsmtp_accept_max = 100\n") as site:
        out = site.path("trace")
        tracer = subprocess.Popen(
            ["strace", "-f", "-ttt", "-yy", "-s", "400000", "-o", out, "-p", str(site.kernel_pid()), "-e",
             "trace=pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,fdatasync,fsync", *slower],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = tracer.stderr.readline()
        if "attached" not in line:
            skip(f"strace may not trace: {line.strip()}")
        load = Senders(site, count=senders, recipients=("alice",), large_every=0)
        wait_for("messages are accepted", lambda: load.count() >= wanted)
        load.stop()
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)
        trace = Trace()
        with open(out, encoding="latin-1") as file:
            for text in file:
                trace.line(text.rstrip("\n"))
        equal(trace.faults[:10], [], f"{senders} senders: each 250 comes after a sync that was begun after its last byte")
        check(trace.answers >= load.count() >= wanted, f"the trace has the 250s of {load.count()} messages", trace.answers)
        print(f"# {senders} senders: {trace.answers} messages, {trace.syncs} syncs")
        return trace


one = traced(1, 40)
check(one.syncs >= one.answers, "a lone sender has a sync for each message", one.syncs)
# A disk that takes 5 ms for a sync, however fast the real one and however slow these senders are.
many = traced(64, 600, ("-e", "inject=fdatasync:delay_exit=5000"))
check(many.syncs * 4 < many.answers, "64 senders: less than one sync for every four messages", f"{many.syncs} of {many.answers}")
