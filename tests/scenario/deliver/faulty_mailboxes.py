#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mailboxes that are full, symlinks, another's, directories or devices, and commands that hang, flood or die: each is deferred or
bounced on its own, nothing is written where it should not be, and a good mailbox beside them is served at once."""
import os
import time

from disk import may_mount, mount, unmount
from heddle import IS_ROOT, Site, check, equal

ROUTERS = """file:
  driver = accept
  local_parts = good : link : dir : fifo : other : hard : full
  transport = mbox
maildir:
  driver = accept
  local_parts = mdgood : mdfull : mdlink : mdfile : mdlocked
  transport = maildir
command:
  driver = accept
  local_parts = hangs : floods : dies : deaf : forks : closes
  transport = command
"""
TRANSPORTS = """mbox:
  driver = appendfile
  file = DIR/mail/${if eq{$local_part_data}{full}{small/}}$local_part_data
  mode_fail_narrower = false
maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/${if eq{$local_part_data}{mdfull}{small/}}$local_part_data
command:
  driver = pipe
  command = /bin/sh DIR/$local_part_data.sh
  path = /usr/bin:/bin
  timeout = 3s
"""
COMMANDS = {
    "hangs": "trap '' TERM; sleep 600",
    "floods": "cat >/dev/null; yes 0123456789012345678901234567890123456789",
    "dies": "kill -KILL $$",
    "deaf": "exec 0<&-; sleep 0.2; exit 75",
    "forks": "(sleep 600 &) ; cat >/dev/null; exit 0",
    "closes": "exec 0<&- 1>&- 2>&-; exit 0",
}

# a disk of its own that the message does not fit on
FULL = ("full", "mdfull") if may_mount() else ()
with Site(routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1h,1h\n", panics="") as site:
    mail = site.path("mail")
    for name, text in COMMANDS.items():
        site.write(f"{name}.sh", text + "\n", mode=0o755)
    victim = site.own(site.write("victim", "mine\n", mode=0o600))
    os.symlink(victim, f"{mail}/link")
    os.link(victim, f"{mail}/hard")
    os.mkdir(f"{mail}/dir")
    os.mkfifo(f"{mail}/fifo")
    site.own(f"{mail}/fifo")
    site.make_directory("elsewhere")
    os.symlink(site.path("elsewhere"), f"{mail}/mdlink")
    site.own(site.write("mail/mdfile", "no directory\n", mode=0o600))
    os.makedirs(f"{mail}/mdlocked/new")
    os.chmod(f"{mail}/mdlocked", 0o555)
    if IS_ROOT:  # root's, where the agent is another
        site.write("mail/other", "", mode=0o666)
    else:
        site.write("mail/other", "", mode=0o400)
    site.make_directory("mail/small")
    if FULL:
        mount(f"{mail}/small", "size=64k,mode=777")
    body = "a line that fills the mailbox\n" * 5000
    bad = {name: site.send(f"{name}@test.example", sender="", body=body)
           for name in ("link", "dir", "fifo", "other", "hard", *FULL, "mdfile", "mdlocked", *COMMANDS)}
    began = time.monotonic()
    for name in ("good", "mdgood"):
        message = site.send(f"{name}@test.example", sender="", body=body)
        site.wait_for_log(rf"{message} => {name} ", f"{name} gets its message")
    check(time.monotonic() - began < 2.5, "without waiting for the others", time.monotonic() - began)
    for name, message in bad.items():
        if name in ("closes", "forks", "deaf"):
            wanted = r"(=>|==|\*\*)"  # whether it took the message is its word
        elif name in ("hangs", "floods", "dies"):
            wanted = r"(==|\*\*)"
        else:
            wanted = r"(==|\*\*)"
        found = site.wait_for_log(rf"^.*{message} {wanted} {name}\b.*$", f"{name}: {wanted}", patience=20)
        print(f"# {found.group(0)[20:200]}" if found else "#")
    equal(site.read("victim"), "mine\n", "nothing went through a link")
    equal(os.listdir(site.path("elsewhere")), [], "nor through one to a directory")
    equal(site.read("mail/other"), "", "nor into what is another's")
    mdlink = site.send("mdlink@test.example", sender="")
    site.wait_for_log(rf"{mdlink} (=>|==|\*\*) mdlink", "a symlink for a Maildir has an outcome")
    again = site.send("good@test.example")
    site.wait_for_log(rf"{again} => good ", "and mail goes on")
    if FULL:
        equal(site.read("mail/small/full"), "", "nothing is left of what did not fit")
        files = [f for _, _, names in os.walk(f"{mail}/small/mdfull") for f in names]
        equal(files, [], "nor in a Maildir")
        unmount(f"{mail}/small")
