#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's .forward: read as that user, and believed only if owner, group and mode are as they should be.  The texts are exim4's."""
import os
import shutil

import namespace
from heddle import IS_ROOT, Client, Site, equal, like, skip, unlike, wait_for

if not IS_ROOT:
    skip("there is nobody else to be")
HOME = "/var/tmp/heddle-home"
namespace.enter({"/etc/passwd": f"+alice:x:2001:2001:Alice:{HOME}/alice:/bin/sh\nbob:x:2002:2002:Bob:{HOME}/bob:/bin/sh\n"
                                f"lost:x:2003:2003:Lost:{HOME}/nowhere/lost:/bin/sh\n"})
shutil.rmtree(HOME, ignore_errors=True)
for name, uid in (("alice", 2001), ("bob", 2002)):
    os.makedirs(f"{HOME}/{name}")
    os.chmod(f"{HOME}/{name}", 0o700)
    os.chown(f"{HOME}/{name}", uid, uid)
os.chmod(HOME, 0o755)
FORWARD = f"{HOME}/alice/.forward"
ROUTERS = "\n".join(f"""{name}:
  driver = redirect
  domains = {name}.example
  check_local_user
  check_ancestor
  qualify_domain = {name}.example
  file = $home/.forward
  file_transport = named
  pipe_transport = command
  {option}""" for name, option in {
    "plain": "", "masked": "modemask = 000", "owners": "owners = bob", "grouped": "check_group", "owngroups": "owngroups = 2002\n  check_group",
    "unchecked": "check_owner = false", "eacces": "ignore_eacces", "enotdir": "ignore_enotdir", "skipping": "skip_syntax_errors",
    "below": f"include_directory = {HOME}/bob", "failing": "allow_fail", "nopipe": "forbid_pipe"}.items()) + """
local:
  driver = accept
  check_local_user
  transport = box
"""
TRANSPORTS = f"named:\n  driver = appendfile\nbox:\n  driver = appendfile\n  file = {HOME}/$local_part_data/box\ncommand:\n  driver = pipe\n"
ACL = "check_rcpt:\n  require verify = recipient\n  accept\n"


def write(text, mode=0o644, uid=2001, gid=2001, path=FORWARD):
    gone()
    with open(path, "w", encoding="latin-1") as out:
        out.write(text)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def gone():
    if os.path.islink(FORWARD) or os.path.isfile(FORWARD) or os.path.exists(FORWARD) and not os.path.isdir(FORWARD):
        os.remove(FORWARD)
    shutil.rmtree(FORWARD, ignore_errors=True)


with Site(acl=ACL, routers=ROUTERS, transports=TRANSPORTS) as site:
    def ask(domain, who="alice"):
        """The code that RCPT gets, and what the log says meanwhile."""
        seen = len(site.mainlog())
        client = Client(site.port)
        client.ask("EHLO me")
        client.ask("MAIL FROM:<>")
        code = client.code(f"RCPT TO:<{who}@{domain}.example>")
        client.close()
        return code, site.mainlog()[seen:]

    def refused(domain, why, what=None, who="alice"):
        code, log = ask(domain, who)
        equal(code, "451", f"{domain}: deferred")
        like(log, why, what)

    def taken(domain, what):
        equal(ask(domain)[0], "250", what)

    gone()
    taken("plain", "no file at all: the next router")
    write("bob\n")
    taken("plain", "a good one")
    write("bob\n", 0o666)
    refused("plain", r"022 bit\(s\) unexpected")
    write("bob\n", 0o664)
    refused("plain", r"020 bit\(s\) unexpected")
    taken("masked", "modemask permits it")
    write("bob\n", 0o644, 2002, 2002)
    refused("plain", f": bad owner for {FORWARD}$", "another's")
    taken("owners", "a further owner")
    taken("unchecked", "whoever it belongs to")
    write("bob\n", 0o644, 0, 0)
    refused("plain", f": bad owner for {FORWARD}$", "not even root's")
    write("bob\n", 0o644, 2001, 2002)
    refused("grouped", f"bad group for {FORWARD}$")
    taken("owngroups", "a further group")
    gone()
    os.mkfifo(FORWARD)
    os.chown(FORWARD, 2001, 2001)
    refused("plain", f"{FORWARD} is not a regular file$", "a FIFO holds nobody up")
    gone()
    os.symlink("/etc/shadow", FORWARD)
    os.chown(FORWARD, 2001, 2001, follow_symlinks=False)
    refused("plain", "failed to open .*Permission denied", "a link to a file of root's")
    gone()
    os.symlink("/etc/passwd", FORWARD)
    os.chown(FORWARD, 2001, 2001, follow_symlinks=False)
    refused("plain", f": bad owner for {FORWARD}$", "even one that all may read")
    gone()
    write("bob\n", path=FORWARD)
    os.rename(FORWARD, FORWARD + "2")
    os.symlink(FORWARD + "2", FORWARD)
    os.chown(FORWARD, 2001, 2001, follow_symlinks=False)
    taken("plain", "a link to a file of one's own")
    gone()
    os.symlink("/nosuch", FORWARD)
    os.chown(FORWARD, 2001, 2001, follow_symlinks=False)
    taken("plain", "a link to nothing is no file")
    write("bob\n", 0o000, 0, 0)
    refused("plain", rf"failed to open {FORWARD}: Permission denied \(euid=2001 egid=2001\)$")
    taken("eacces", "ignore_eacces: as if it were not there")
    write("bob\n" + "#" * 2000000 + "\n")
    refused("plain", f"{FORWARD} is too big \\(max 1048576\\)$")
    refused("plain", rf"failed to stat {HOME}/nowhere/lost/\. \(No such file or directory\)$", "a home that is not mounted", who="lost")
    equal(ask("enotdir", "lost")[0], "250", "unless that is not looked at")
    write("bob\na b c\n")
    refused("plain", r'error in redirect file: missing or malformed local part \(expected word or "<"\) in "a b c"$')
    taken("skipping", "the bad item is left out")
    like(site.mainlog(), r'^\S+ \S+ skipping router: skipped error: missing or malformed local part .* in "a b c"$')
    write(f":include:{HOME}/alice/inc\n")
    refused("plain", f"error in redirect file: failed to open included file {HOME}/alice/inc: No such file or directory$")
    refused("below", f"included file {HOME}/alice/inc is not in directory {HOME}/bob$")
    os.close(os.open(f"{HOME}/alice/inc", os.O_CREAT, 0o600))
    with open(f"{HOME}/alice/inc", "w", encoding="ascii") as out:
        out.write("bob\n")
    os.chown(f"{HOME}/alice/inc", 2001, 2001)
    os.chmod(f"{HOME}/alice/inc", 0o600)
    taken("plain", "an included file is read as the user, too")
    write(":include:DIR/secret\n".replace("DIR", site.dir))
    site.own(site.write("secret", "bob\n", mode=0o400))
    refused("plain", f"failed to open {site.dir}/secret: Permission denied", "and not as the daemon, who could")
    write(":fail: no such luck\n")
    refused("plain", r'error in redirect file: ":fail:" is not permitted')
    equal(ask("failing")[0], "550")
    write("# Exim filter\ndeliver bob\n")
    refused("plain", "error in filter file: filtering not enabled$")

    # deliveries
    def send(to):
        client = Client(site.port)
        for line in ("EHLO me", "MAIL FROM:<x@plain.example>", f"RCPT TO:<{to}>", "DATA", "Subject: s\r\n\r\nhi\r\n."):
            answer = client.ask(line)
        client.ask("QUIT")
        return answer.partition("id=")[2].strip()

    write(f"\\alice, bob, |/usr/bin/tee {HOME}/alice/copy, {HOME}/alice/kept\n")
    wait_for("all is delivered", lambda done=send("alice@plain.example"): f"{done} Completed" in site.mainlog())
    for path in ("alice/box", "bob/box", "alice/copy", "alice/kept"):
        equal(os.path.getsize(f"{HOME}/{path}") > 10, True, f"{path} has it")
    equal([os.stat(f"{HOME}/alice/{name}").st_uid for name in ("copy", "kept", "box")], [2001] * 3, "written by the user")
    write("bob@plain.example\n")
    write("alice@plain.example\n", uid=2002, gid=2002, path=f"{HOME}/bob/.forward")
    wait_for("a loop of two ends", lambda done=send("alice@plain.example"): f"{done} Completed" in site.mainlog())
    unlike(site.mainlog(), "routing loop")
    write("|/bin/cat\n")
    done = send("alice@nopipe.example")
    like(site.mainlog(), "delivery to pipe forbidden", "a forbidden command")
shutil.rmtree(HOME, ignore_errors=True)
