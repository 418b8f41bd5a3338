#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix's smtp-sink takes what we relay, with and without pipelining, 8BITMIME and ESMTP: content and envelope are as they were."""
import os
import pwd
import re
import socket
import subprocess
import time

import packages
from heddle import IS_ROOT, Site, equal, skip, wait_for

SINK, ENVIRONMENT = packages.program("smtp-sink", "postfix")
if SINK is None:
    skip(ENVIRONMENT)
KINDS = {"whole.example": [], "plain.example": ["-p", "-8"], "old.example": ["-e"]}
BODY = f".\n..\n.end\nlong {'y' * 990}\n\nFrom here\n"
EIGHT_BIT = "na\xefve \xe9t\xe9\n"
MANY = 150  # recipients; smtp's max_rcpt is 100


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class PostfixSink:
    def __init__(self, folder, words):
        self.folder, self.port = folder, free_port()
        as_user = ["-u", "nobody"] if IS_ROOT else []
        self.process = subprocess.Popen([SINK, *as_user, *words, "-d", f"{folder}/m", f"127.0.0.1:{self.port}", "100"], cwd=folder,
                                        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        wait_for("smtp-sink listens", self.answers)

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
            return False

    def messages(self):
        """(sender, recipients, the message) of each; the file is renamed when it is whole."""
        found = []
        for name in sorted(os.listdir(self.folder)):
            with open(os.path.join(self.folder, name), encoding="latin-1", newline="") as file:
                text = file.read().replace("\r\n", "\n")
            sender = re.search(r"^X-Mail-Args: <(.*?)>", text, re.M)
            recipients = re.findall(r"^X-Rcpt-Args: <(.*?)>", text, re.M)
            if sender and text.endswith("From here\n\n") or text.endswith("From here\n"):
                found.append((sender.group(1), recipients, text))
        return found

    def wait(self, wanted):
        wait_for(f"{wanted} messages at smtp-sink", lambda: len(self.messages()) >= wanted)
        return self.messages()

    def close(self):
        self.process.terminate()
        self.process.wait(10)


with Site(start=False) as site:
    sinks = {}
    for domain, words in KINDS.items():
        folder = site.make_directory(f"sink-{domain}")
        if IS_ROOT:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        sinks[domain] = PostfixSink(folder, words)
    routers = "".join(f"{domain[:-8]}:\n  driver = manualroute\n  route_list = {domain} 127.0.0.1\n  transport = to_{domain[:-8]}\n  self = send\n"
                      for domain in KINDS)
    transports = "".join(f"to_{domain[:-8]}:\n  driver = smtp\n  allow_localhost\n  port = {sink.port}\n" for domain, sink in sinks.items())
    site.write("heddle.conf", site.text(routers=routers, transports=transports))
    site.start()
    for domain, sink in sinks.items():
        for i in range(20):
            site.send(f"x{i}@{domain}", f"y{i}@{domain}", subject=f"number {i}", body=BODY)
        got = sink.wait(20)
        equal(sorted((sender, sorted(to)) for sender, to, _ in got),
              sorted(("sender@client.example", [f"x{i}@{domain}", f"y{i}@{domain}"]) for i in range(20)), f"{domain}: the envelopes")
        equal({text.partition("\n\n")[2].rstrip("\n") for *_, text in got}, {BODY.rstrip("\n")}, f"{domain}: the bodies")
        equal(len({re.search("^Subject: (.*)$", text, re.M).group(1) for *_, text in got}), 20, f"{domain}: twenty messages")
    recipients = [f"r{i}@whole.example" for i in range(MANY)]
    site.send(*recipients, body=EIGHT_BIT + BODY)
    got = sinks["whole.example"].wait(22)[20:] and [m for m in sinks["whole.example"].messages() if len(m[1]) > 2]
    equal(sorted(len(to) for _, to, _ in got), [MANY - 100, 100], "many recipients are sent in turns of a hundred")
    equal(sorted(r for _, to, _ in got for r in to), sorted(recipients), "each of them once")
    equal({text.partition("\n\n")[2].rstrip("\n") for *_, text in got}, {(EIGHT_BIT + BODY).rstrip("\n")}, "the bytes over 127 too")
    site.wait_for_queue(0)
    for sink in sinks.values():
        sink.close()
