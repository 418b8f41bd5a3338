#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's default configuration, unmodified, does what it says: local users, aliases, .forward files refused until they are
built, remote domains by DNS to port 25, and no relaying for strangers."""
import os
import pwd
import stat

import namespace
import packages
from heddle import Client, Site, equal, like, skip, unlike
from peers import Dns, Sink

EXAMPLE = packages.document("exim4-base", "examples/example.conf")
if not EXAMPLE:
    skip("no example.conf: exim4-base's documentation is not installed and could not be fetched")
USER = "alice" if namespace.AS_ROOT else pwd.getpwuid(namespace.UID).pw_name
namespace.enter({
    # a home that is there: without one .forward is not known not to be
    "/etc/passwd": "+alice:x:2001:2001:Alice:/tmp:/bin/sh\n" if namespace.AS_ROOT else f"+{USER}:x:{namespace.UID}:{namespace.GID}:Me:/tmp:/bin/sh\n",
    "/etc/aliases": f"postmaster: {USER}\nlist: {USER}, friend@far.example\ngone: :fail: gone away\nlater: :defer: not today\n",
})
print(f"# as {USER}")
ZONE = """far.example MX 10 mx1.far.example
far.example MX 5 local.far.example
mx1.far.example A 10.9.9.9
local.far.example A 127.0.0.1
client.example A 10.9.9.20
20.9.9.10.in-addr.arpa PTR client.example
"""
with open(EXAMPLE, encoding="utf-8") as file:
    text = file.read()
dns, sink = Dns(ZONE), Sink(host=namespace.REMOTE, port=25)
MAILBOX = f"/var/mail/{USER}"
BODY = "A line.\nFrom here on\n.\n"


def mailbox():
    if not os.path.exists(MAILBOX):
        return ""
    with open(MAILBOX, encoding="latin-1") as file:
        return file.read()


def send(site, sender, *recipients, source="127.0.0.1", headers=""):
    """The replies to each command up to the end of the data."""
    client = Client(25, source=source)
    replies = [client.ask(f"EHLO [{source}]"), client.ask(f"MAIL FROM:<{sender}>")]
    replies += [client.ask(f"RCPT TO:<{to}>") for to in recipients]
    if any(reply.startswith("25") for reply in replies[2:]):
        client.ask("DATA")
        message = f"From: <{sender}>\nTo: x@y.example\nSubject: default\n{headers}\n{BODY}"
        replies.append(client.ask(message.replace("\n.\n", "\n..\n").replace("\n", "\r\n") + "."))
    client.ask("QUIT")
    client.close()
    return replies


with Site(whole=text, dns=dns, start=False) as site:
    os.mkdir("/var/spool/heddle", 0o755)
    site.own("/var/spool/heddle")
    os.symlink("/var/spool/heddle", site.spool)
    site.start("-oX", "127.0.0.1.25 : 10.9.9.1.25")
    # the way to a local user
    replies = send(site, f"{USER}@{namespace.HOST}", f"{USER}@{namespace.HOST}")
    like(replies[0], rf"250-{namespace.HOST} Hello \[127\.0\.0\.1\]")
    like(replies[2], "^250 Accepted$")
    name = (replies[3].split("id=") + [""])[1]
    site.wait_for_log(rf"{name} <= {USER}@{namespace.HOST} H=.*\[127\.0\.0\.1\]\S* P=esmtp S=\d+")
    site.wait_for_log(rf"{name} => {USER} <{USER}@{namespace.HOST}> R=localuser T=local_delivery$")
    site.wait_for_log(rf"{name} Completed$")
    owner = os.stat(MAILBOX)
    equal(owner.st_uid, pwd.getpwnam(USER).pw_uid, "the mailbox is its user's")
    equal(stat.S_IMODE(owner.st_mode), 0o600, "nobody else reads it")
    for line in (rf"^From {USER}@{namespace.HOST} \w\w\w ", rf"^Return-path: <{USER}@", rf"^Envelope-to: {USER}@", "^Delivery-date: ",
                 "^>From here on$", r"^\.$", "^Date: ", "^Message-Id: "):
        like(mailbox(), line)
    # an alias, and a remote domain: the MX record at 127.0.0.1 is ignored, as the router says
    name = (send(site, f"{USER}@{namespace.HOST}", f"list@{namespace.HOST}")[3].split("id=") + [""])[1]
    site.wait_for_log(rf"{name} => {USER} <list@{namespace.HOST}> R=localuser T=local_delivery$")
    site.wait_for_log(rf"{name} => friend@far\.example <list@{namespace.HOST}> R=dnslookup T=remote_smtp H=mx1\.far\.example \[10\.9\.9\.9\]")
    site.wait_for_log(rf"{name} Completed$")
    (message,) = sink.wait(1)
    equal(message[:2], (f"{USER}@{namespace.HOST}", ["friend@far.example"]), "the envelope at the other host")
    like(message[2], rf"^Received: from .*\[127\.0\.0\.1\].*\r\n\s+by {namespace.HOST} with esmtp \((?:Heddle|Exim) [\d.]+\)")
    equal(message[2].replace("\r\n", "\n").partition("\n\n")[2], BODY, "the body at the other host")
    # what the router and the alias file refuse
    replies = send(site, "someone@far.example", f"gone@{namespace.HOST}", f"later@{namespace.HOST}", f"nosuch@{namespace.HOST}",
                   f".hidden@{namespace.HOST}", "friend@far.example", f"postmaster@{namespace.HOST}", source="10.9.9.20")
    like(site.mainlog(), r"H=client\.example \(\[10\.9\.9\.20\]\) \[10\.9\.9\.20\]", "the client's name is looked up")
    equal(replies[2:7], ["550 gone away", "451 not today", "550 Unknown user", "550 Restricted characters in address",
                         "550 relay not permitted"], "recipients refused")
    equal(replies[7], "250 Accepted", "postmaster is always welcome")
    like(site.mainlog(), r"H=client\.example \S+ \[10\.9\.9\.20\] F=<someone@far\.example> rejected RCPT <friend@far\.example>: relay not permitted$")
    equal(send(site, "x@nosuch.example", f"{USER}@{namespace.HOST}", source="10.9.9.20")[2],
          "550-Verification failed for <x@nosuch.example>\n550-Unrouteable address\n550 Sender verify failed")
    like(site.mainlog(), r" H=client\.example \S+ \[10\.9\.9\.20\] sender verify fail for <x@nosuch\.example>: Unrouteable address$")
    # the checks of the data
    refused = send(site, "a@client.example", f"{USER}@{namespace.HOST}", source="10.9.9.20", headers="Sender: one@\n")
    equal(refused[3], "550 header syntax")
    like(site.mainlog(), r"rejected after DATA: header syntax \(domain missing or malformed: failing address in \"Sender:\" header is: one@\)")
    equal(send(site, f"{USER}@{namespace.HOST}", f"{USER}@{namespace.HOST}", headers="Cc: joe\n")[3], "550 header syntax")
    refused = send(site, f"{USER}@{namespace.HOST}", f"{USER}@{namespace.HOST}", headers=f"Long: {'x' * 1200}\n")
    equal(refused[3], "550 maximum allowed line length is 998 octets, got 1206")
    # addresses by command line
    done = site.cli("-bt", f"{USER}@{namespace.HOST}", "friend@far.example", f"nosuch@{namespace.HOST}")
    like(done.stdout, rf"^{USER}@{namespace.HOST}\n  router = localuser, transport = local_delivery$")
    like(done.stdout, r"^friend@far\.example\n  router = dnslookup, transport = remote_smtp\n  host mx1\.far\.example +\[10\.9\.9\.9\] +MX=10$")
    like(done.stdout, rf"^nosuch@{namespace.HOST} is undeliverable: Unknown user$")
    equal(done.returncode, 2)
    site.wait_for_queue(0)
    unlike(site.mainlog(), r" \*\* ")
