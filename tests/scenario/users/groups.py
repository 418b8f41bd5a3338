#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups by name: as whom a delivery runs, who is trusted, who may administer; and what is said of names that nobody has."""
import os
import re
import subprocess

import namespace
from heddle import IS_ROOT, Site, equal, like, skip, unlike

if not IS_ROOT:
    skip("there is nobody else to be")
namespace.enter({"/etc/passwd": "+alice:x:2001:2001:Alice:/nonexistent:/bin/sh\nbob:x:2002:2002:Bob:/nonexistent:/bin/sh\n",
                 "/etc/group": "+alice:x:2001:\nbob:x:2002:\nstaffish:x:3001:alice\npost:x:3002:\nposters:x:3003:alice,bob\n"})
CASES = {  # local part: (router's options, transport's options, what `id` says)
    "user": ("", "user = alice", "2001 2001 2001"),
    "group": ("", "user = alice\n  group = post", "2001 3002 3002"),
    "number": ("", "user = 2001\n  group = 3002", "2001 3002 3002"),
    "stranger": ("", "user = 54321\n  group = post", "54321 3002 3002"),
    "groups": ("", "user = alice\n  initgroups", "2001 2001 2001 3001 3003"),
    "others": ("", "user = alice\n  group = post\n  initgroups", "2001 3002 2001 3001 3002 3003"),
    "router": ("user = bob\n  group = posters", "", "2002 3003 3003"),
    "expanded": ("user = ${if eq{$local_part}{expanded}{alice}}\n  group = ${lc:POST}", "", "2001 3002 3002"),
    "nogroup": ("", "user = alice\n  group = ${lc:NOSUCH}", None),
    "never": ("", "user = ${lc:NOBODY}", None),
}
ROUTERS = "".join(f"""{name}:
  driver = accept
  local_parts = {name}
  transport = {name}
  {options[0]}
""" for name, options in CASES.items())
TRANSPORTS = "".join(f"""{name}:
  driver = pipe
  command = /bin/sh DIR/who DIR/out/{name}
  {options[1]}
""" for name, options in CASES.items())
MAIN = "trusted_groups = staffish\nadmin_groups = 3003\nnever_users = root : nobody\nlog_selector = +all_parents\n"


def as_user(site, uid, gid, more, *words, stdin=""):
    return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", f"--groups={more}" if more else "--clear-groups",
                           site.programs + "/heddle", "-C", site.config, *words], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="latin-1", env=site.environment, cwd=site.dir, timeout=60, check=False)


site = Site(MAIN, routers=ROUTERS, transports=TRANSPORTS, start=False)
site.write("who", "cat >/dev/null\necho $(id -u) $(id -g) $(id -G | tr ' ' '\n' | sort -n) >$1\n")
with site:
    site.start()
    site.make_directory("out")
    os.chmod(site.path("out"), 0o777)
    message = site.send(*[f"{name}@test.example" for name in CASES])
    for name, (_, _, wanted) in CASES.items():
        if wanted:
            site.wait_for_log(f"{message} => .*<{name}@test.example>")
            equal(" ".join(site.read(f"out/{name}").split()), wanted, f"{name}: user, group, groups")
    site.wait_for_log(rf"{message} == nogroup@test.example .*no such group")
    site.wait_for_log(rf"{message} == never@test.example .*User nobody set for never transport is on the never_users list")

    # trusted_groups: a supplementary group counts, one that only the sender's name would give does not
    lines = "EHLO me\nMAIL FROM:<boss@far.example>\nRCPT TO:<user@test.example>\nDATA\nSubject: s\n\nhi\n.\nQUIT\n"
    for groups, sender in (("3001", "boss@far.example"), ("", "bob@mx.test.example")):
        seen = len(site.mainlog())
        done = as_user(site, 2002, 2002, groups, "-bs", stdin=lines)
        like(done.stdout, "^250 OK id=", f"bob with groups {groups or 'none'} sends")
        like(site.mainlog()[seen:], rf" <= {sender} .*U=bob")
    # admin_groups, by number
    like(as_user(site, 2002, 2002, "3003", "-bpc").stdout, r"^\d+$", "a member of an admin group asks")
    done = as_user(site, 2002, 2002, "", "-bpc")
    like(done.stdout + done.stderr, "(?i)permission denied", "another is refused")
    equal(done.returncode != 0, True)
    done = as_user(site, 2001, 2001, "3003", "-Mrm", message)
    like(done.stdout, "has been removed", "and does what administrators do")

# a name that nobody has: told when the configuration is read
for what, main, router, transport in (
        ('user "nosuch" was not found', "trusted_users = nosuch\n", "", ""),
        ('user "nosuch" was not found', "never_users = root:nosuch\n", "", ""),
        ('group "nosuch" was not found', "trusted_groups = nosuch\n", "", ""),
        ('group "nosuch" was not found', "admin_groups = root : nosuch\n", "", ""),
        ('router one: option "user": user "nosuch" was not found', "", "user = nosuch", ""),
        ('router one: option "group": group "nosuch" was not found', "", "user = alice\n  group = nosuch", ""),
        ('transport one: option "group": group "nosuch" was not found', "", "", "user = alice\n  group = nosuch")):
    site = Site(main, routers=f"one:\n  driver = accept\n  transport = one\n  {router}\n", start=False,
                transports=f"one:\n  driver = pipe\n  command = /bin/true\n  {transport}\n")
    with site:
        line = next(i for i, text in enumerate(site.read("heddle.conf").split("\n"), 1) if "nosuch" in text)
        said = site.cli("-bV").stderr
        like(said, rf"{re.escape(site.config)}:{line}: .*{re.escape(what)}$", f"-bV: {what}")
        if what.startswith("router one: option \"group"):  # the same in all
            done = site.cli("-bd")
            like(done.stderr, rf"{re.escape(site.config)}:{line}: .*{re.escape(what)}$", f"the daemon: {what}")
            equal(done.returncode != 0, True, "and it does not start")
            unlike(site.mainlog(), "listening")
