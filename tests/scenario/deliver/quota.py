#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full a mailbox may be, for mbox, Maildir and plain folders: the same is delivered and the same refused as by Debian's
exim4, in the same words; the warning is sent once; and a rule for quota_TIME is met when nobody reads the mailbox."""
import os
import re

import exim
from heddle import Site, equal, like, wait_for

exim.enter()

BOXES = {  # the local part: where to, and the options
    "mbox": ("file", "quota = 1K"), "below": ("file", "quota = 0.4K"), "excl": ("file", "quota = 1K\n  no_quota_is_inclusive"),
    "unchecked": ("file", "quota = 1K/no_check"), "none": ("file", "quota = -1"), "told": ("file", "quota = 1K\n  mailbox_size = 1020"),
    "maildir": ("directory", "quota = 1K\n  maildir_format"), "plain": ("directory", "quota = 1K"),
    "tagged": ("directory", "quota = 1K\n  maildir_format\n  maildir_tag = ,S=900\n  quota_size_regex = ,S=(\\d+)"),
    "count": ("directory", "quota = 1M\n  maildir_format\n  quota_filecount = 4"),
    "files": ("directory", "quota = 1M\n  quota_filecount = 2"),
    "countx": ("directory", "quota = 1M\n  quota_filecount = 1\n  no_quota_is_inclusive"),
    "toldfiles": ("directory", "quota = 1M\n  quota_filecount = 5\n  mailbox_filecount = 10\n  mailbox_size = 0"),
    "bad": ("file", "quota = xx"), "badtail": ("file", "quota = 10K/foo"),
}
ROUTERS = "".join(f"{name}:\n  driver = accept\n  local_parts = {name}\n  transport = {name}\n" for name in [*BOXES, "warn", "postmaster"])


def transports(folder, extra):
    text = "".join(f"{name}:\n  driver = appendfile\n  {kind} = {folder}/{name}\n  {options}\n{extra}"
                   for name, (kind, options) in BOXES.items())
    return text + (f"warn:\n  driver = appendfile\n  file = {folder}/warn\n  quota = 10K\n  quota_warn_threshold = 8%\n"
                   f'  quota_warn_message = "To: (of $local_part) <postmaster@test.example>\\nSubject: $local_part is full\\n\\nTake care.\\n"\n{extra}'
                   f"postmaster:\n  driver = appendfile\n  file = {folder}/postmaster\n{extra}")


RETRY = "* quota_1d F,4h,1m\n* quota F,4h,1h\n* * F,4h,2h\n"
BODY = ("x" * 59 + "\n") * 6


def outcomes(log):
    """Who got it and who did not, without what differs."""
    found = re.findall(r"(?m) (=>|==) (\w+)[ @].*?(?: defer \((-?\d+)\): (.*))?$", log)
    clean = [(sign, who, number, re.sub(r" while writing to .*| \(expansion of .*| for quota in .*", "", why)) for sign, who, number, why in found]
    return [line for line in clean if line[1] != "postmaster" and not line[3].startswith("Malformed")]


with Site(routers=ROUTERS, transports=transports("DIR/mail", ""), retry=RETRY) as site:
    os.makedirs(site.path("theirs"))
    os.chmod(site.path("theirs"), 0o777)
    extra = "  user = Debian-exim\n"
    peer = exim.Exim(site, f"primary_hostname = exim.example\nqualify_domain = test.example\nbegin routers\n{ROUTERS}begin transports\n"
                     f"{transports('DIR/theirs', extra)}begin retry\n{RETRY}")
    peer.run("-bp")
    for box in [*BOXES, "warn"]:
        for _ in range(3):
            peer.run("-odi", "-f", "s@x.example", f"{box}@test.example", stdin=f"Subject: x\n\n{BODY}")
            name = site.send(f"{box}@test.example", sender="s@x.example", body=BODY)
            site.wait_for_log(rf"{name} (Completed|== )")
    mine, theirs = outcomes(site.mainlog()), outcomes(peer.mainlog())
    equal(mine, theirs, "the same outcomes")
    like(site.mainlog(), r'== bad@test\.example R=bad T=bad defer \(-?\d+\): Malformed value "xx"')
    like(site.mainlog(), r"== mbox@test\.example R=mbox T=mbox defer \(-22\): mailbox is full \(MTA-imposed quota exceeded while writing to \S+/mail/mbox\)")
    wait_for("the warning", lambda: "is full" in site.read("mail/postmaster"))
    warning = site.read("mail/postmaster")
    equal(warning.count("Subject: warn is full"), 1, "one warning")
    like(warning, r"(?m)^Auto-Submitted: auto-replied$")
    like(warning, r"(?m)^From: Mail Delivery System <Mailer-Daemon@")
    like(warning, r"\n\nTake care\.\n")
    equal(sorted(os.listdir(site.path("mail/plain"))) != [], True)
    hints = site.ctl("hints", "list").stdout
    like(hints, r"T:mbox@test\.example -22 ")
    # nobody has read it for long: the other rule
    os.utime(site.path("mail/mbox"), (1, 1))
    site.ctl("hints", "delete", "T:mbox@test.example")
    site.send("mbox@test.example", sender="s@x.example", body=BODY)
    wait_for("a hint", lambda: "T:mbox@" in site.ctl("hints", "list").stdout)
    when = re.search(r"T:mbox@\S+ .*\n\S+ \S+  \S+ (\d+):(\d+):\d+  \S+ (\d+):(\d+):", site.ctl("hints", "list").stdout)
    equal((int(when[3]) * 60 + int(when[4]) - int(when[1]) * 60 - int(when[2])) % 1440, 1, "a minute, as quota_1d says")
