#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same configuration, upstream's default one, in heddle and in Debian's exim4: the same dialogues get the same replies, the
main logs have the same lines, and the command line gives the same answers."""
import re

import exim
import namespace
import packages
from heddle import IS_ROOT, Client, Site, check, equal, skip, wait_for
from peers import Dns, Sink

if not IS_ROOT:
    skip("exim4 delivers only when root starts it")
PROGRAM, WHY = packages.program("exim4", "exim4-daemon-light")
EXAMPLE = packages.document("exim4-base", "examples/example.conf")
if PROGRAM is None or EXAMPLE is None:
    skip("no example.conf and exim4 to compare with")
namespace.enter(dict(exim.ACCOUNT, **{
    "/etc/passwd": exim.ACCOUNT["/etc/passwd"] + "alice:x:2001:2001:Alice:/tmp:/bin/sh\n",
    "/etc/aliases": "postmaster: alice\nlist: alice, friend@far.example\ngone: :fail: gone away\nlater: :defer: not today\nbad: foo bar@\n",
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1\n",
}))
ZONE = """far.example MX 10 mx1.far.example
mx1.far.example A 10.9.9.9
fail.example FAIL
client.example A 10.9.9.20
20.9.9.10.in-addr.arpa PTR client.example
"""
STRANGER, FRIEND = "10.9.9.20", "127.0.0.1"
HEADER = "From: <a@client.example>\r\nTo: x@y.example\r\n"
TEXT = HEADER + "Subject: s\r\n\r\nhi\r\n."
HELLO = ["EHLO client.example"]
MAIL = HELLO + ["MAIL FROM:<a@client.example>"]
RCPT = MAIL + ["RCPT TO:<alice@mx.test.example>"]
COMMANDS = ["VRFY alice", "VRFY", "EXPN list", "ETRN x", "AUTH PLAIN", "FOO", "", "A" * 600, "NOOP x", "QUIT x", "MAIL", "MAIL FROM", "MAIL FROM:",
            "MAIL FROM:<", "MAIL FROM:<a", "MAIL FROM:<a@>", "MAIL FROM:<a@b> FOO", "MAIL FROM:<a@b> SIZE=999999999", "MAIL FROM:<a@b> SIZE=x",
            "MAIL FROM:<a@b> BODY=9", "MAIL FROM:<a@b> BODY=8BITMIME", "MAIL FROM:<joe>", "MAIL FROM:<>", "RCPT TO:<a@b>", "DATA", "RSET",
            "MAIL FROM: <a@b>", "mail from:a@b", "MAIL FROM:<@x:a@b>", "MAIL FROM:<\"a b\"@b>", "MAIL FROM:<a@[1.2.3.4]>"]
RECIPIENTS = ["RCPT", "RCPT TO", "RCPT TO:", "RCPT TO:<>", "RCPT TO:<joe>", "RCPT TO:<postmaster>", "RCPT TO:<alice@mx.test.example> FOO=BAR",
              "RCPT TO:<.x@mx.test.example>", "RCPT TO:<a%b@mx.test.example>", "RCPT TO:<\"x y\"@mx.test.example>", "RCPT TO:<alice@[10.9.9.1]>",
              "RCPT TO:<nosuch@mx.test.example>", "RCPT TO:<gone@mx.test.example>", "RCPT TO:<later@mx.test.example>",
              "RCPT TO:<bad@mx.test.example>", "RCPT TO:<a@far.example>", "MAIL FROM:<b@client.example>"]
SENDERS = ["a@nosuch.example", "nosuch@mx.test.example", "gone@mx.test.example", "x@fail.example"]
HEADERS = ["Sender: one@", "From: a b@c.example", "To: joe", "To: <a@b.example", "To: a@b.example,,c@d.example", "To:", "Cc: <>", "Bcc: (comment",
           "Reply-To: \"x y.example", "From: Joe <joe>"]
DIALOGUES = [
    (STRANGER, ["HELO", "EHLO", "HELO a b", "HELO _x", "NOOP"]),
    (STRANGER, ["MAIL FROM:<a@client.example>", "QUIT"]),
    (STRANGER, MAIL + ["DATA", "RCPT TO:<nosuch@mx.test.example>", "DATA", "RCPT TO:<a@b.example>", "DATA", "QUIT"]),
    (STRANGER, RCPT + ["DATA", TEXT, "QUIT"]),
    (STRANGER, RCPT + ["DATA", f"Long: {'x' * 1100}\r\n\r\n."]),
    (FRIEND, MAIL + ["RCPT TO:<list@mx.test.example>", "DATA", TEXT, "QUIT"]),
    *[(STRANGER, HELLO + [command]) for command in COMMANDS],
    *[(STRANGER, MAIL + [command, "RSET", "QUIT"]) for command in RECIPIENTS],
    *[(STRANGER, HELLO + [f"MAIL FROM:<{sender}>", "RCPT TO:<alice@mx.test.example>", "RCPT TO:<alice@mx.test.example>"]) for sender in SENDERS],
    *[(STRANGER, RCPT + ["DATA", f"{header}\r\nSubject: s\r\n\r\nhi\r\n.", "QUIT"]) for header in HEADERS],
]
ADDRESSES = ["alice", "alice@mx.test.example", "list@mx.test.example", "nosuch", "gone", "later", "a@far.example", "a@nosuch.example", "a@fail.example",
             "bad", "a b", "<alice@mx.test.example>", "alice,gone", "", "postmaster", "@x", "x@"]
EXPANSIONS = ["$primary_hostname", "${if", "${if eq{a}{b}{x}fail}", "${foo}", "$nosuch", "${upper:x}}", "${lookup{gone}lsearch{/etc/aliases}{$value}fail}",
              "${eval:1/0}", "${sg{a}{(}{b}}", "${if bool{maybe}{1}{2}}"]
OPTIONS = ["acl_smtp_rcpt", "primary_hostname", "never_users", "nosuch", "router_list", "transport_list", "message_size_limit", "log_selector", "+local_domains"]


def plain(text):
    """Without what must differ: identifiers, times, names of the programs."""
    text = re.sub(r"\b\w{6}-\w{6,11}-\w{2,4}\b", "ID", text or "")
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", text)
    text = re.sub(r"(Exim|Heddle) [\d.]+", "MTA", text)
    text = re.sub(r"\bU=(Debian-exim|heddle)", "U=SELF", text)
    text = re.sub(r"\bS=\d+", "S=N", text)
    return re.sub(r"^250-(LIMITS [^\n]*|PIPECONNECT|CHUNKING|STARTTLS|PRDR|SMTPUTF8)\n", "", text, flags=re.M)


def ask(port, source, lines):
    client = Client(port, host="127.0.0.1" if source == FRIEND else "10.9.9.1", source=source)
    replies = [plain(client.greeting)] + [plain(client.ask(line)) for line in lines]
    client.close()
    return replies


def lines_of(log):
    """Sorted, since deliveries run beside each other; without what is said at the start, and about names of hosts."""
    kept = [plain(line)[5:] for line in log.splitlines() if re.match(r"\d{4}-", line)]
    return sorted(line for line in kept if not re.match(r"Warning|(MTA|exim [\d.]+) daemon started|no host name found", line))


with open(EXAMPLE, encoding="utf-8") as file:
    text = "primary_hostname = mx.test.example\n" + file.read()
dns = Dns(ZONE, port=53)  # where exim4 asks
sink = Sink(host=namespace.REMOTE, port=25)
with Site(whole="spool_directory = DIR/spool\n" + text, dns=dns, start=False) as site:
    peer = exim.Exim(site, text, port=2500)
    peer.address = "127.0.0.1.2500 : 10.9.9.1.2500"
    peer.start()
    site.start("-oX", "127.0.0.1.25 : 10.9.9.1.25")
    for source, lines in DIALOGUES:
        equal(ask(25, source, lines), ask(2500, source, lines), f"the same replies: {' / '.join(lines)!r}"[:110])
    wait_for("both have delivered", lambda: site.mainlog().count("Completed") == peer.mainlog().count("Completed"))
    ours, theirs = lines_of(site.mainlog()), lines_of(peer.mainlog())
    check(len(theirs) > 80, f"there is something to compare: {len(theirs)} lines")
    equal([line for line in ours if line not in theirs], [], "heddle logs nothing that exim4 does not")
    equal([line for line in theirs if line not in ours], [], "exim4 logs nothing that heddle does not")
    for words in [["-bt", a] for a in ADDRESSES] + [["-bv", a] for a in ADDRESSES] + [["-be", e] for e in EXPANSIONS] + [["-bP", o] for o in OPTIONS]:
        one, other = site.cli(*words), peer.run(*words)
        equal((plain(one.stdout), one.returncode), (plain(other.stdout), other.returncode), f"the same answer: {words}")
    peer.stop()
