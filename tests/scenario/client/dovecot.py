#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot's LMTP takes what we deliver, over its unix socket (the lmtp transport) and over TCP (smtp's protocol = lmtp): the users
that it has get their mail, the others are refused by it, one by one."""
import glob
import os
import subprocess

import namespace
import packages
from heddle import IS_ROOT, Site, equal, skip, wait_for

if not IS_ROOT:
    skip("Dovecot unpacked needs an overlay over /usr")
CORE, LMTP = packages.unpacked("dovecot-core"), packages.unpacked("dovecot-lmtpd", libraries=False)
if CORE is None or LMTP is None:
    skip("Debian's packages dovecot-core and dovecot-lmtpd could not be fetched")
namespace.enter({})
if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={LMTP}/usr:{CORE}/usr:/usr", "/usr"], check=False).returncode != 0:
    skip("no overlay can be mounted")
DOVECOT = """base_dir = DIR/dovecot
state_dir = DIR/dovecot
protocols = lmtp
listen = 127.0.0.1
ssl = no
log_path = DIR/dovecot.log
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
first_valid_uid = 0
mail_location = maildir:DIR/store/%n
import_environment = LD_LIBRARY_PATH
auth_mechanisms = plain
passdb {
  driver = passwd-file
  args = DIR/users
}
userdb {
  driver = passwd-file
  args = username_format=%n DIR/users
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
  inet_listener lmtp {
    port = 2424
  }
}
protocol lmtp {
  postmaster_address = postmaster@test.example
}
"""
ROUTERS = """inbox:
  driver = accept
  domains = test.example
  transport = unix
outbox:
  driver = manualroute
  domains = tcp.example
  route_list = * 127.0.0.1
  self = send
  transport = tcp
"""
TRANSPORTS = """unix:
  driver = lmtp
  socket = DIR/dovecot/lmtp
  batch_max = 20
  user = heddle
tcp:
  driver = smtp
  protocol = lmtp
  port = 2424
  allow_localhost
"""
BODY = ".\n..\n.end\nFrom here\n" + "z" * 300 + "\n"


def stored(site, who):
    return [site.read(os.path.relpath(name, site.dir)) for name in sorted(glob.glob(site.path(f"store/{who}/new/*")))]


with Site(start=False, routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1h,1h\n") as site:
    for folder in ("dovecot", "store"):
        os.makedirs(site.path(folder))
    os.chmod(site.path("store"), 0o777)
    os.chmod(site.path("dovecot"), 0o755)
    site.write("users", "".join(f"{who}:{{PLAIN}}x:65534:65534::DIR/store/{who}::\n" for who in ("alice", "bob")))
    conf = site.write("dovecot.conf", DOVECOT)
    environment = dict(os.environ, LD_LIBRARY_PATH=packages.library_path(CORE))
    daemon = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", conf], env=environment, stdin=subprocess.DEVNULL)
    try:
        wait_for("Dovecot is there", lambda: os.path.exists(site.path("dovecot/lmtp")))
        site.start()
        for domain, transport in (("test.example", "T=unix"), ("tcp.example", "T=tcp H=127.0.0.1 [127.0.0.1]")):
            before = {who: len(stored(site, who)) for who in ("alice", "bob")}
            name = site.send(*[f"{who}@{domain}" for who in ("alice", "nobody", "bob")], sender="", subject=domain, body=BODY)
            route = transport.replace("[", r"\[").replace("]", r"\]")
            site.wait_for_log(rf'{name} => alice.* {route} C="250 2\.0\.0 <alice@{domain}> \S+ Saved"$')
            site.wait_for_log(rf'{name} -> bob.* {route} C="250 2\.0\.0 <bob@{domain}> \S+ Saved"$')
            site.wait_for_log(rf"{name} \*\* nobody@{domain} .*after RCPT TO:<nobody@{domain}>: 550 5\.1\.1 ")
            for who in ("alice", "bob"):
                texts = stored(site, who)
                equal((len(texts), texts[-1].partition("\n\n")[2] if texts else None), (before[who] + 1, BODY), f"what {who} got is as it was")
    finally:
        daemon.terminate()
        daemon.wait(20)
