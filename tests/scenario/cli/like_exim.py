#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's default configuration under -bt and -bh answers as Debian's exim4 does: what that one said is in
tests/data/default_config.json, name and version apart.  With --record (as root) exim4 is asked again and the file is written."""
import json
import os
import re
import sys

import exim
import namespace
import packages
from heddle import TOP, Site, equal, skip
from peers import Dns

RECORDED = os.path.join(TOP, "tests/data/default_config.json")
EXAMPLE = packages.document("exim4-base", "examples/example.conf")
if EXAMPLE is None:
    skip("no example.conf: exim4-base's documentation is not installed and could not be fetched")
RECORD = "--record" in sys.argv
namespace.enter(dict(exim.ACCOUNT if RECORD else {}, **{
    "/etc/passwd": (exim.ACCOUNT["/etc/passwd"] if RECORD else "+") + "alice:x:2001:2001:Alice:/tmp:/bin/sh\n",
    "/etc/aliases": "postmaster: alice\nlist: alice, friend@far.example\ngone: :fail: gone away\nlater: :defer: not today\nloop: loop\n"
                    "two: one\none: two\nhole: :blackhole:\nquoted: \"a b\"@far.example\n",
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1\n",
}))
ZONE = """far.example MX 10 mx1.far.example
far.example MX 20 mx2.far.example
mx1.far.example A 10.9.9.9
mx2.far.example A 10.9.9.8
mx2.far.example AAAA 2001:db8::8
only.example A 10.9.9.7
null.example MX 0 .
lost.example MX 10 nowhere.example
self.example MX 10 self.example
self.example A 127.0.0.1
fail.example FAIL
client.example A 10.9.9.20
20.9.9.10.in-addr.arpa PTR client.example
forged.example A 10.9.9.1
21.9.9.10.in-addr.arpa PTR forged.example
"""
ADDRESSES = ["alice", "alice@mx.test.example", "ALICE@MX.test.example", "list", "gone", "later", "loop", "two", "hole", "quoted", "nosuch", "postmaster",
             "a@far.example", "a@only.example", "a@null.example", "a@lost.example", "a@self.example", "a@fail.example", "a@nosuch.example",
             "a@[10.9.9.9]", "a b", "@x", "x@", "<alice@mx.test.example>", "alice,gone", ".x@far.example", "a@b@far.example", "\"a b\"@far.example",
             "alice@mx.test.example.", "a@xn--bcher-kva.example"]
HELLO = ["EHLO client.example"]
MAIL = HELLO + ["MAIL FROM:<a@client.example>"]
TO_ALICE = MAIL + ["RCPT TO:<alice@mx.test.example>"]
TEXT = ["DATA", "From: a@client.example", "To: alice@mx.test.example", "Subject: s", "", "hi", "."]
STRANGER, FORGED, FRIEND = "10.9.9.20", "10.9.9.21.4711", "127.0.0.1"
DIALOGUES = [
    (STRANGER, ["HELO client.example", "HELP", "NOOP", "RSET", "VRFY alice", "EXPN list", "ETRN x", "QUIT"]),
    (STRANGER, ["EHLO", "EHLO a_b", "EHLO [10.9.9.20]", "EHLO client.example", "QUIT"]),
    (STRANGER, TO_ALICE + ["RCPT TO:<a@far.example>", "RCPT TO:<nosuch@mx.test.example>", "RCPT TO:<a@null.example>"] + TEXT + ["QUIT"]),
    (STRANGER, TO_ALICE + ["RCPT TO:<postmaster@mx.test.example>", "RCPT TO:<a%b@mx.test.example>", "RCPT TO:<.x@mx.test.example>", "QUIT"]),
    (STRANGER, HELLO + ["MAIL FROM:<a@nosuch.example>", "RCPT TO:<alice@mx.test.example>", "RSET", "MAIL FROM:<>",
                        "RCPT TO:<alice@mx.test.example>", "RCPT TO:<list@mx.test.example>"] + TEXT + ["QUIT"]),
    (STRANGER, HELLO + ["MAIL FROM:<a@fail.example>", "RCPT TO:<alice@mx.test.example>", "DATA", "QUIT"]),
    (STRANGER, HELLO + ["MAIL FROM:<joe>", "MAIL FROM:<a@client.example> SIZE=99999999", "MAIL FROM:<a@client.example> BODY=8BITMIME",
                        "RCPT TO:<joe>", "RCPT TO:<a@far.example", "QUIT"]),
    (STRANGER, TO_ALICE + ["DATA", "From: a@", "Subject: syntax", "", "x", ".", "QUIT"]),
    (STRANGER, ["FOO", "BAR", "BAZ", "QUX", "QUIT"]),
    (STRANGER, ["MAIL", "RCPT", "DATA", "AUTH PLAIN", "STARTTLS x", "BDAT", "QUIT"]),
    (FORGED, TO_ALICE + ["QUIT"]),
    (FRIEND, MAIL + ["RCPT TO:<a@far.example>", "RCPT TO:<a@nosuch.example>"] + TEXT + ["QUIT"]),
    (FRIEND, HELLO + ["MAIL FROM:<alice@mx.test.example>", "RCPT TO:<list@mx.test.example>", "RCPT TO:<\"a b\"@far.example>"] + TEXT),
    ("2001:db8::5", MAIL + ["RCPT TO:<a@far.example>", "QUIT"]),
]


def plain(text):
    """Without what must differ: identifiers, times, names and versions of the programs."""
    text = re.sub(r"\b\w{6}-\w{6,11}-\w{2,4}\b", "ID", text.replace("\r", ""))
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", text)
    text = re.sub(r"250-LIMITS .*\n", "", text)  # newer than the exim4 that was asked
    text = re.sub(r"\bS=\d+", "S=N", text)  # the name is in the message's Received: field
    return re.sub(r"(Exim|Heddle) [\d.]+", "MTA", text)


# exim4 asks the files of the system too, and in the order of the name service switch
NAMES = r"no host name found for IP address|does not match any IP address for"


def answers(run):
    out = {}
    for address in ADDRESSES:
        done = run("-bt", address)
        out[f"-bt {address}"] = [done.returncode, plain(done.stdout)]
    for host, lines in DIALOGUES:
        done = run("-bh", host, stdin="".join(line + "\r\n" for line in lines))
        logged = [plain(line) for line in done.stderr.splitlines() if line.startswith("LOG: ") and not re.search(NAMES, line)]
        out[f"-bh {host}: {' / '.join(lines)}"] = [done.returncode, plain(done.stdout), *logged]
    return out


with open(EXAMPLE, encoding="utf-8") as file:
    TEXT = "primary_hostname = mx.test.example\n" + file.read()
dns = Dns(ZONE, port=53)
with Site(whole="spool_directory = DIR/spool\n" + TEXT, dns=dns, start=False) as site:
    if RECORD:
        with open(RECORDED, "w", encoding="utf-8") as out:
            json.dump(answers(exim.Exim(site, TEXT).run), out, indent=1, sort_keys=True)
            out.write("\n")
    with open(RECORDED, encoding="utf-8") as file:
        wanted = json.load(file)
    ours = answers(site.cli)
    equal(sorted(ours), sorted(wanted), "each question has been recorded")
    for question, answer in wanted.items():
        equal(ours.get(question), answer, f"the same answer: {question}"[:110])
