#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What submission does to a header and to the envelope's sender: the same messages are given to heddle and to Debian's exim4, over
TCP/IP and by -bs and -bS as different users, and the data ACL logs what became of them.  Both must say the same."""
import os
import re
import shutil
import subprocess

import exim
import namespace
import packages
from heddle import IS_ROOT, Client, Site, check, equal, skip
from sasl_peer import b64

if not IS_ROOT:
    skip("exim4 wants to be started by root")
PROGRAM, WHY = packages.program("exim4", "exim4-daemon-light")
if PROGRAM is None:
    skip(WHY)
if not shutil.which("setpriv"):
    skip("setpriv is needed")
namespace.enter(dict(exim.ACCOUNT, **{
    "/etc/passwd": exim.ACCOUNT["/etc/passwd"] + "fred:x:7001:7001:Fred O. & Co,room 1:/nonexistent:/bin/sh\n"
    "tina:x:7002:7002:Tina:/nonexistent:/bin/sh\nnumb:x:7003:7003::/nonexistent:/bin/sh\ngail:x:7004:7100:Gail:/nonexistent:/bin/sh\n",
    "/etc/group": exim.ACCOUNT["/etc/group"] + "fred:x:7001:\nnumb:x:7003:\n"}))
CONFIG = """primary_hostname = mx.test.example
qualify_domain = sender.example
qualify_recipient = rcpt.example
host_lookup =
tls_advertise_hosts =
smtp_enforce_sync = false
acl_smtp_mail = mail
acl_smtp_rcpt = accept
acl_smtp_data = data
acl_not_smtp = data
queue_only
log_selector = -all
sender_unqualified_hosts = 127.0.0.2 : 127.0.0.4
recipient_unqualified_hosts = 127.0.0.3 : 127.0.0.4
EXTRA
begin acl
mail:
  warn condition = ${if match{$sender_helo_name}{retain}}
       control = submission/sender_retain
  warn condition = ${if match{$sender_helo_name}{plain}}
       control = submission
  warn condition = ${if match{$sender_helo_name}{domain}}
       control = submission/domain=dom.example
  warn condition = ${if match{$sender_helo_name}{whole}}
       control = submission/domain=
  warn condition = ${if match{$sender_helo_name}{named}}
       control = submission/domain=dom.example/name=Humpty D/u Dumpty.
  warn condition = ${if match{$sender_helo_name}{suppress}}
       control = suppress_local_fixups
  accept
data:
  warn logwrite = f=$sender_address|id=$authenticated_id|${escape:$message_headers_raw}
  discard
begin routers
all:
  driver = accept
  transport = t
begin transports
t:
  driver = appendfile
  file = /dev/null
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = true
  server_set_id = $auth2
"""
HEADERS = {
    "empty": "X-Y: z\n",
    "own": "From: fred@sender.example\nSender: other@far.example\n",
    "own2": "From: Fred <FRED@Sender.Example>\nDate: then\nMessage-ID: <own@x>\n",
    "dom": "From: \"F, x\" <fred@dom.example>\nSender: fred@dom.example\n",
    "another": "From: boss@far.example\nSender: boss@far.example\nDate: then\nMessage-Id: <m@x>\n",
    "two": "From: fred@sender.example, boss@far.example\n",
    "group": "From: us: fred@sender.example;\nTo: undisclosed-recipients:;\n",
    "bare": "From: fred\nTo: a, b@x, \"C D\" <e>, g: h, i@j;\nCc: (c) k (d),\n l\nBcc: m\nReply-To: n\nSender: o\nErrors-To: x\n",
    "prefix": "From: pre-fred@sender.example\n",
    "suffix": "From: fred-suf@sender.example\n",
    "transit": "Return-Path: <a@b>\nEnvelope-To: c\nDelivery-Date: d\nReturn-path: <e>\nFrom: fred@sender.example\nBcc: q@r\n",
    "resent": "Resent-To: a@b\nFrom: boss@far.example\nSender: s@far.example\nDate: then\nMessage-Id: <m@x>\n",
    "resent2": "Resent-From: fred\nResent-Sender: z@far.example\nResent-Cc: u\nResent-Bcc: v\nResent-Reply-To: w\nFrom: boss@far.example\n",
    "resent3": "Resent-Date: then\nResent-Message-Id: <r@x>\nResent-From: pal@far.example\nResent-Sender: z@far.example\n",
    "bad": "From: <<>\nTo: (open\nCc: a b c\nSender: @\n",
    "nullfrom": "From:\nTo:\n",
    "literal": "From: fred@[127.0.0.1]\nTo: <>\nCc: \"q r\"@x, \"q r\"\n",
}
TCP = {"none.example": 0, "plain.example": 1, "retain.example": 1, "domain.example": 1, "whole.example": 1, "named.example": 1,
       "plain.suppress.example": 1, "unqs.example": 0, "unqr.example": 0, "both.plain.example": 1, "suppress.example": 0}
# user -> uid, gid, further group
USERS = {"root": (0, 0, 0), "fred": (7001, 7001, 0), "tina": (7002, 7002, 0), "numb": (7003, 7003, 7100), "gail": (7004, 7100, 0)}
MAINS = {"trusted_users = tina\n": ("fred", "tina", "root", "numb"), "local_from_check = false\n": ("fred", "root"),
         "local_from_check = false\nlocal_sender_retain\n": ("fred",),
         "local_from_prefix = *-\nlocal_from_suffix = -suf : +*\n": ("fred",), "untrusted_set_sender = ^ok@ :\n": ("fred",),
         "trusted_users = 7004 : fred\n": ("gail", "fred", "numb")}


def transaction(sender, header):
    return [f"MAIL FROM:<{sender}>", "RCPT TO:<x@y.example>", "DATA", *header.rstrip("\n").split("\n"), "", "body", "."]


def cases(senders):
    """Each header with an envelope sender, some also with the others."""
    for sender in senders:
        for name, header in HEADERS.items():
            if sender == senders[0] or name in ("empty", "own", "another", "resent", "bare"):
                yield f"{sender or '<>'} {name}", transaction(sender, header)


def over_tcp(port, helo, login):
    client = Client(port, source={"unqs": "127.0.0.2", "unqr": "127.0.0.3", "both": "127.0.0.4"}.get(helo[:4]))
    client.ask(f"EHLO {helo}")
    if login:
        client.ask("AUTH PLAIN " + b64(f"\0{login}\0secret"))
    for _, lines in cases(("env@far.example", "")):
        for line in lines[:3]:
            client.ask(line)
        client.ask("\r\n".join(lines[3:]))
    client.ask("QUIT")
    client.close()


def locally(command, environment, user, mode, words):
    uid, gid, more = USERS[user]
    lines = ["EHLO me"] if mode == "-bs" else []
    for _, transactions in cases(("env@far.example", "", "ok@allowed.example")):
        lines += transactions
    subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", f"--groups={more}" if more else "--clear-groups", *command, mode, *words],
                   input="\n".join(lines + ["QUIT", ""]).encode("latin-1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                   env=environment, timeout=60, check=False)


def plain(line):
    """Without what must differ, and without Received:."""
    line = re.sub(r"\b(E?)\w{6}-\w{6,11}-\w{2,4}\b", r"\1ID", line)
    line = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (ID )?", "", line)
    line = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", line)
    return re.sub(r"Received: .*?\tDATE\\n", "", line)


def compare(what, names, ours, theirs):
    """The lines that the logs have since then."""
    ours, theirs = ([plain(line) for line in text.splitlines() if " f=" in line] for text in (ours, theirs))
    different = [f"{name}:\nours   {one}\ntheirs {other}" for name, one, other in zip(names, ours, theirs) if one != other]
    equal(len(theirs), len(names), f"{what}: exim4 has taken them all")
    equal(len(ours), len(names), f"{what}: and heddle")
    check(not different, f"{what}: the same from both", "\n".join(different))


def libraries():
    """A program that changes its user heeds no LD_LIBRARY_PATH; /etc is our own."""
    with open("/etc/ld.so.conf.d/exim.conf", "w", encoding="ascii") as out:
        out.write(peer.environment.get("LD_LIBRARY_PATH", "").replace(":", "\n") + "\n")
    subprocess.run(["ldconfig"], check=True)


def text_for(extra):
    return CONFIG.replace("EXTRA\n", extra)


FIRST = next(iter(MAINS))
OURS = "spool_directory = DIR/spool\nlocal_interfaces = 127.0.0.1\n"
with Site(whole=OURS + text_for(FIRST), start=False) as site:
    peer = exim.Exim(site, text_for(FIRST), port=2500)
    libraries()
    peer.start()
    site.start("-oX", "127.0.0.1.25")
    NAMES = [name for name, _ in cases(("env@far.example", ""))]
    for helo, with_login in TCP.items():
        for login in ((None, "fred", "boss@far.example") if helo in ("plain.example", "whole.example") else ("fred",)) if with_login else (None,):
            before = len(site.mainlog()), len(peer.mainlog())
            over_tcp(25, helo, login)
            over_tcp(2500, helo, login)
            compare(f"{helo} {login}", NAMES, site.mainlog()[before[0]:], peer.mainlog()[before[1]:])
    peer.stop()
    NAMES = [name for name, _ in cases(("env@far.example", "", "ok@allowed.example"))]
    for extra, users in MAINS.items():
        if extra != FIRST:
            site.stop()
            site.write("heddle.conf", OURS + text_for(extra))
            with open(exim.CONFIG, "w", encoding="latin-1") as out:
                out.write(f"{exim.MAIN}{text_for(extra)}".replace("DIR", site.dir))
            site.start("-oX", "127.0.0.1.25")
        for user in users:
            for words in ((), ("-bnq",), ("-F", 'Full N. Name')):
                for mode in ("-bs", "-bS"):
                    if (words or mode == "-bS") and (extra != FIRST or user not in ("fred", "tina")):
                        continue
                    before = len(site.mainlog()), len(peer.mainlog())
                    locally([os.path.join(site.programs, "heddle"), "-C", site.config], site.environment, user, mode, words)
                    locally([peer.program], peer.environment, user, mode, words)
                    compare(f"{extra.strip()!r} {user} {mode} {' '.join(words)}", NAMES, site.mainlog()[before[0]:],
                            peer.mainlog()[before[1]:])
