#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions under -bh whose ACLs, commands and data are those of tests/data/sessions.json: replies and log lines are what Debian's
exim4 gives, which is recorded there.  With --record (as root) exim4 is asked again and the file is written.

Each case has lines of the client's, an ACL for RCPT and perhaps one for DATA; many cases share a session, in which EHLO's name says
which ACLs are meant.  One with "alone" ends its session; one with "main" has options of its own."""
import json
import os
import re
import sys

import exim
import namespace
from heddle import TOP, Site, check, equal
from peers import Dns

RECORDED = os.path.join(TOP, "tests/data/sessions.json")
RECORD = "--record" in sys.argv
namespace.enter(dict(exim.ACCOUNT if RECORD else {}, **{"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1\n"}))
ZONE = """client.example A 10.9.9.20
client.example MX 10 client.example
20.9.9.10.in-addr.arpa PTR client.example
21.9.9.10.in-addr.arpa PTR forged.example
forged.example A 10.9.9.1
far.example MX 10 mx1.far.example
mx1.far.example A 10.9.9.9
fail.example FAIL
helo.example A 10.9.9.20
"""
MAIN = """primary_hostname = mx.test.example
spool_directory = DIR/spool
acl_smtp_rcpt = ${lookup{$sender_helo_name}lsearch{DIR/rcpt}{$value}{open}}
acl_smtp_data = ${lookup{$sender_helo_name}lsearch{DIR/data}{$value}{open}}
acl_smtp_etrn = open
acl_smtp_vrfy = open
acl_smtp_expn = open
smtp_accept_queue_per_connection = 0
tls_advertise_hosts =
"""
PATIENT = "smtp_accept_max_nonmail = 100000\nsmtp_max_synprot_errors = 100000\nsmtp_max_unknown_commands = 100000\n"
ACLS = """open:
  accept
sub:
  deny condition = no
  accept
sub2:
  accept condition = ${if eq{$acl_arg1-$acl_arg2-$acl_narg}{one-two-2}}
sub3:
  deny message = sub3 says
       log_message = sub3 logs
subdeny:
  deny
subdefer:
  defer message = sd
subdiscard:
  discard
subdrop:
  drop message = dr
subsender:
  accept verify = sender
  deny message = inner
"""
TAIL = """begin routers
answers:
  driver = redirect
  local_parts = gone : later
  allow_fail
  allow_defer
  data = ${if eq{$local_part}{gone}{:fail: gone away}{:defer: not today}}
local:
  driver = accept
  domains = test.example : mx.test.example
  local_parts = alice : bob
  transport = nowhere
remote:
  driver = dnslookup
  domains = ! test.example : ! mx.test.example
  transport = smtp
  no_more
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
smtp:
  driver = smtp
"""


def plain(text):
    """Without what must differ: identifiers, times, names and versions of the programs; the case's number."""
    text = re.sub(r"\b\w{6}-\w{6,11}-\w{2,4}\b", "ID", text.replace("\r", ""))
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", text)
    text = re.sub(r"250-LIMITS .*\n", "", text)  # newer than the exim4 that was asked
    text = re.sub(r"250-PIPECONNECT\n", "", text)  # offered once only
    text = re.sub(r"^LOG: ID ", "LOG: ", text)  # of the message before, too
    text = re.sub(r"\bS=\d+", "S=N", text)  # the name is in the message's Received: field
    return re.sub(r"(Exim|Heddle) [\d.]+", "MTA", text)


def configuration(site, cases):
    """Files that say which case has which ACL, and the configuration's text."""
    text = MAIN + cases[0].get("main", PATIENT) + "begin acl\n" + ACLS
    for table in ("rcpt", "data"):
        site.write(table, "".join(f"c{i}.example: {table}{i}\n" for i, case in enumerate(cases) if table in case))
        for i, case in enumerate(cases):
            if table in case:
                text += f"{table}{i}:\n{case[table]}\n"
    site.write("doms", "a.example: one\n")
    return text + TAIL


def session(run, cases):
    """The answers to each case: lines of replies, and of the log."""
    host = cases[0].get("host", "10.9.9.20")
    lines = [line for i, case in enumerate(cases) for line in ([f"EHLO c{i}.example"] + case["lines"])] + ["QUIT"]
    if "alone" in cases[0] and lines[1:2] and re.match("(?i)EHLO|HELO|QUIT", lines[1]):
        del lines[0]
    done = run("-bh", host, stdin="".join(line + "\r\n" for line in lines))
    out = [[] for _ in cases]
    now = 0
    for line in plain(done.stdout).split("\n"):
        found = re.match(r"250[- ]mx\.test\.example Hello c(\d+)\.example ", line)
        now = int(found[1]) if found else now
        out[now].append(line.replace(f"c{now}.example", "c.example"))
    for line in done.stderr.splitlines():
        found = re.search(r"\(c(\d+)\.example\)", line)
        now = int(found[1]) if found else now
        # exim4 asks the files of the system too, and in the order of the name service switch
        if line.startswith("LOG: ") and not re.search(r"no host name found for IP address|does not match any IP address for", line):
            out[now].append(plain(line).replace(f"c{now}.example", "c.example"))
    return out


with open(RECORDED, encoding="utf-8") as file:
    cases = json.load(file)
groups = {}
for case in cases:
    key = (case.get("main", ""), case.get("host", ""), case["name"] if "alone" in case else "")
    groups.setdefault(key, []).append(case)
dns = Dns(ZONE, port=53)
if RECORD:
    for group in groups.values():
        with Site(whole="", dns=dns, start=False) as site:
            text = configuration(site, group).replace("spool_directory = DIR/spool\n", "")
            for case, answer in zip(group, session(exim.Exim(site, text).run, group)):
                case["exim4"] = [line.replace(site.dir, "DIR") for line in answer]
    with open(RECORDED, "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(case, sort_keys=True) for case in cases) + "\n]\n")
same = 0
with Site(whole="", dns=dns, start=False) as site:
    for group in groups.values():
        site.write("heddle.conf", configuration(site, group).replace("DIR", site.dir))
        for case, answer in zip(group, session(site.cli, group)):
            answer = [line.replace(site.dir, "DIR") for line in answer]
            if answer == case["exim4"]:
                same += 1
            else:
                equal(answer, case["exim4"], f"the same as exim4: {case['name']}"[:110])
    check(same == len(cases) and same > 300, f"{len(cases)} cases are answered and logged as exim4 does", f"{same} are the same")
