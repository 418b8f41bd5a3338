#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that fail, until the rules end and after: the same lines in the log as Debian's exim4 writes, and the same hints."""
import re
import subprocess
import time

import exim
from heddle import Site, check, equal, wait_for
from peers import Sink

exim.enter()
ROUTERS = """dac:
  driver = manualroute
  domains = dac.example
  route_list = * 127.0.0.1::1999 byname
  self = send
  transport = tries
two:
  driver = manualroute
  domains = two.example
  route_list = * 127.0.0.1::1998:127.0.0.2::1998 byname
  self = send
  transport = smtp
sink:
  driver = manualroute
  domains = sink.example
  route_list = * 127.0.0.1::SINK byname
  self = send
  transport = smtp
out:
  driver = manualroute
  route_list = * 127.0.0.1::1999 byname
  self = send
  transport = smtp
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  hosts_try_fastopen =
tries:
  driver = smtp
  allow_localhost
  no_delay_after_cutoff
  hosts_try_fastopen =
"""
RETRY = "out.example * F,2s,3s\ndac.example * F,2s,3s\n* rcpt_451 senders=: F,1h,1m\n* rcpt_4xx F,1h,5m\n* * F,1h,5m\n"
EXIM = f"""primary_hostname = exim.example
acl_smtp_rcpt = accept
tls_advertise_hosts =
begin routers
{ROUTERS}begin transports
{TRANSPORTS}begin retry
{RETRY}"""


def form(log, name):
    """The lines about a message, without times, ids, what came before and what bounces do."""
    lines = [line.split(None, 3)[3] for line in log.splitlines() if len(line.split(None, 3)) > 3 and line.split()[2] == name]
    return [re.sub(r"SIZE=\d+|mx\.test\.example|exim\.example", "_", line) for line in lines if not line.startswith("<= ")]


def dump(text):
    """Keys, numbers, texts, and whether it is past the cutoff."""
    return sorted(re.sub(r" SIZE=\d+|\w{6}-\w{6}-\w\w", "", f"{key} {why} {bool(star)}") for key, why, star in
                  re.findall(r"(?m)^  (\S+) -?\d+ -?\d+ (.*)\n\S+ \S+  \S+ \S+  \S+ \S+( \*)?\s*$", text))


def replies():
    return {"RCPT": ["450 greylisted"] * 2 + ["250 OK"], "MAIL": ["250 OK"] * 2 + ["451 sender later"]}


mine, theirs = Sink(replies()), Sink(replies())
with Site(routers=ROUTERS.replace("SINK", str(mine.port)), transports=TRANSPORTS, retry=RETRY) as site:
    peer = exim.Exim(site, EXIM.replace("SINK", str(theirs.port)))

    def both(to, what):
        peer.run("-odi", "-f", "s@x.example", to, stdin="Subject: x\n\nhi\n")
        log = peer.mainlog()
        other = re.findall(r"(?m)^\S+ \S+ (\S+) <= s@x\.example", log)[-1]
        name = site.send(to, sender="s@x.example")
        wanted = form(log, other)
        wait_for(f"{what}: as many lines", lambda: len(form(site.mainlog(), name)) >= len(wanted))
        equal(form(site.mainlog(), name), wanted, what)

    def hints(what):
        text = subprocess.run(["exim_dumpdb", peer.spool, "retry"], capture_output=True,
                              encoding="latin-1", env=peer.environment, check=False).stdout
        wanted = [line.replace(str(theirs.port), "SINK") for line in dump(text)]
        equal([line.replace(str(mine.port), "SINK") for line in dump(site.ctl("hints", "list").stdout)], wanted, what)

    both("a@two.example", "two hosts refuse")
    both("b@two.example", "both are left alone")
    both("a@sink.example", "greylisted")
    both("b@sink.example", "greylisted again")
    both("c@sink.example", "MAIL is refused for now")
    hints("hosts, recipients, a message")
    both("a@out.example", "a rule of two seconds")
    for line in site.cli("-bpi").stdout.split():
        site.cli("-Mrm", line)  # there is no queue run at the other either
    time.sleep(3.5)
    for key in re.findall(r"(?m)^  (T:\S+:1999) ", site.ctl("hints", "list").stdout):
        check(key.startswith("T:127.0.0.1:127.0.0.1:"), "the host's key")
    both("b@out.example", "the host has failed for too long: one more try, and the end")
    both("c@out.example", "no further try")
    hints("past the cutoff")
    both("a@dac.example", "no_delay_after_cutoff: one more try")
mine.close()
theirs.close()
