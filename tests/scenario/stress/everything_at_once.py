#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients, deliveries of every kind, reloads, listings and queue runs at the same time, and an end in the middle of it: nothing
that was answered with 250 is lost.  It is for the sanitizer builds that most of this happens at once."""
import os
import random
import re
import signal
import threading
import time

from heddle import Client, Site, check, equal, unlike, wait_for
from peers import Dns, Sink

SECONDS = 3
ZONE = "".join(f"far{n}.example MX 10 mx{n}.far.example\nmx{n}.far.example A 127.0.0.1\n" for n in range(6))
MAIN = """smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
remote_max_parallel = 4
domainlist odd = ${lookup{odd}lsearch{DIR/lists}}
acl_smtp_connect = greet
acl_smtp_data = body
"""
ACL = """greet:
  warn set acl_c_n = ${eval:$acl_c_n + 1}
  accept
check_rcpt:
  deny domains = +odd
  deny local_parts = ${lookup{bad}lsearch{DIR/lists}}
  warn set acl_m_n = $acl_m_n/$local_part
  accept domains = ${lookup{ours}lsearch{DIR/lists}} : *.example
body:
  warn add_header = X-Seen: $acl_m_n ${length_20:$message_body} ${hash_8:$h_subject:}
  accept
"""
ROUTERS = """out:
  driver = dnslookup
  domains = \\N^far\\d\\.example$\\N
  self = send
  transport = smtp
  no_more
aliases:
  driver = redirect
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{DIR/aliases}}
inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice : bob : carol
  transport = ${if eq{$local_part}{carol}{mbox}{maildir}}
"""
TRANSPORTS = """maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
  headers_add = X-Box: $local_part ${lookup{odd}lsearch{DIR/lists}}
mbox:
  driver = appendfile
  file = DIR/mail/$local_part_data.mbox
smtp:
  driver = smtp
  port = PORT
  allow_localhost
  helo_data = ${if match{$host}{mx(.)}{h$1-${acl_m_n}}{none}}.example
  headers_add = X-Out: $host $acl_m_n ${lookup{ours}lsearch{DIR/lists}}
"""
PLACES = ["alice", "bob", "carol", "team"]
sink = Sink({"RCPT": lambda line: random.choice(["250 OK"] * 20 + ["450 later"])})
dns = Dns(ZONE)


def open_files(pid):
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            pass
    return found


class Crowd:
    def __init__(self, site):
        self.site, self.over, self.accepted, self.lock = site, False, set(), threading.Lock()
        self.broken = []
        work = [self.client] * 8 + [self.reloader, self.looker]
        self.threads = [threading.Thread(target=self.run, args=(what, n)) for n, what in enumerate(work)]
        for thread in self.threads:
            thread.start()

    def run(self, what, number):
        dice = random.Random(number)
        while not self.over:
            try:
                what(dice)
            except (OSError, AttributeError):  # the server goes away in the middle
                time.sleep(0.05)
            except Exception as problem:  # pylint: disable=broad-except
                self.broken.append(repr(problem))
                return

    def client(self, dice):
        client = Client(self.site.port)
        client.ask("EHLO client.example")
        for _ in range(dice.randint(1, 4)):
            to = [f"{name}@test.example" for name in PLACES if dice.random() < 0.5]
            to += [f"x{dice.randint(0, 9)}@far{n}.example" for n in range(6) if dice.random() < 0.4]
            to += ["nobody@test.example"] if dice.random() < 0.1 else []
            to += ["x@odd.example", "evil@test.example"] if dice.random() < 0.1 else []
            client.send("".join(["MAIL FROM:<sender@far0.example>\r\n"] + [f"RCPT TO:<{address}>\r\n" for address in to]))
            codes = [client.reply()[:3] for _ in range(1 + len(to))]
            if "250" not in codes[1:]:
                client.ask("RSET")
                continue
            if client.code("DATA") != "354":
                break
            if dice.random() < 0.05:
                client.send("Subject: cut off\r\n\r\nhalf of")
                client.vanish()
                return
            size = dice.choice([1, 10, 100, 3000])
            answer = client.ask(f"Subject: crowd {dice.random()}\r\n\r\n" + "some text of a body\r\n" * size + ".")
            found = re.match(r"250 OK id=(\S+)", answer)
            if found:
                with self.lock:
                    self.accepted.add(found.group(1))
        client.ask("QUIT")
        client.close()
        time.sleep(0.02)

    def replace(self, name, text):
        """At once: half a configuration may be a good one."""
        self.site.write("new", text)
        os.rename(self.site.path("new"), self.site.path(name))

    def reloader(self, dice):
        self.replace("lists", f"odd: odd.example : n{dice.random()}.example\nours: test.example\nbad: evil\n")
        self.replace("heddle.conf", self.site.crowd_conf + f"# {dice.random()}\n")
        self.site.signal(signal.SIGHUP)
        time.sleep(0.3)

    def looker(self, _):
        self.site.cli("-bp")
        self.site.ctl("stats")
        self.site.cli("-qff")
        time.sleep(0.1)

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join(60)
        equal(self.broken, [], "the crowd is well")
        return self.accepted


with Site(start=False, dns=dns, acl=ACL, routers=ROUTERS, main=MAIN,
          transports=TRANSPORTS.replace("PORT", str(sink.port)), retry="* * F,1h,1s\n") as site:
    site.crowd_conf = site.text(MAIN, acl=ACL, routers=ROUTERS, transports=TRANSPORTS.replace("PORT", str(sink.port)),
                                retry="* * F,1h,1s\n")
    site.write("lists", "odd: odd.example\nours: test.example\nbad: evil\n")
    site.write("aliases", "team: alice@test.example, bob@test.example, x@far1.example, y@far2.example\n")
    site.start()
    crowd = Crowd(site)
    time.sleep(SECONDS)
    equal(open_files(site.kernel_pid()).count(site.path("spool/log/mainlog")), 1, "however often the configuration was read, the log is open once")
    equal(site.stop(), 0, "it ends well in the middle of it")
    accepted = crowd.end()
    check(len(accepted) > 20, "there was a crowd", f"{len(accepted)} messages")
    site.start("-q1s")
    def done():
        time.sleep(0.5)  # reading the log must not be what the machine is busy with
        return set(re.findall(r"^\S+ \S+ (\S+) Completed$", site.mainlog(), re.M))
    wait_for("all that was accepted is completed", lambda: accepted <= done(), 200)
    unlike(site.mainlog(), r"\*\* (?!nobody)|rejected RCPT <(?!nobody|evil|x@odd)", "each is decided by a whole configuration")
    equal(sorted(accepted - done())[:3], [], "nothing that was accepted is lost")
