#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenSMTPD as a server takes what we relay: in clear, with STARTTLS that is tried, and with STARTTLS that must prove its name; the
recipients that it refuses are bounced, and the text is as it was.

Debian 12's OpenSMTPD cannot use its own key since OpenSSL 3 ("missing private key"), whoever asks: what of TLS depends on that is
left out where openssl s_client fails as well, and mail to it falls back to clear only where that is permitted."""
import glob
import os
import subprocess

import namespace
import packages
import pki
from heddle import IS_ROOT, Site, equal, skip, wait_for
from peers import Dns

if not IS_ROOT:
    skip("OpenSMTPD wants to be root")
TREE = packages.unpacked("opensmtpd")
if TREE is None:
    skip("Debian's package opensmtpd could not be fetched")
namespace.enter({"/etc/passwd": "+opensmtpd:x:9990:9990::/run/opensmtpd:/usr/sbin/nologin\nopensmtpq:x:9991:9991::/run/opensmtpd:/usr/sbin/nologin\n"
                                "mailbox:x:9992:9992::/nonexistent:/usr/sbin/nologin\n",
                 "/etc/group": "+opensmtpd:x:9990:\nopensmtpq:x:9991:\nmailbox:x:9992:\n"})
for place in ("/usr", "/var/lib"):
    if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={TREE}{place}:{place}", place], check=False).returncode != 0:
        skip("no overlay can be mounted")
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
SMTPD = """pki peer cert "DIR/pki/peer.crt"
pki peer key "DIR/pki/peer.key"
ca peer cert "DIR/pki/ca.pem"
table users file:DIR/users
listen on 127.0.0.1 port 2601 hostname peer.example
listen on 127.0.0.1 port 2602 tls pki peer hostname peer.example
listen on 127.0.0.1 port 2603 tls-require pki peer hostname peer.example
listen on 127.0.0.1 port 2604 smtps pki peer hostname peer.example
action store maildir "DIR/store/%{rcpt.user}" virtual { "@clear.example" = mailbox, "@trying.example" = mailbox, "@sure.example" = mailbox, "@implicit.example" = mailbox }
match from any for domain { clear.example, trying.example, sure.example, implicit.example } rcpt-to regex "^(alice|bob)@" action store
"""
KINDS = {"clear": (2601, ""), "trying": (2602, ""), "sure": (2603, "hosts_require_tls = *\n  tls_verify_hosts = *"),
         "implicit": (2604, "protocol = smtps\n  tls_verify_hosts = *")}
ROUTERS = "".join(f"{kind}:\n  driver = manualroute\n  route_list = {kind}.example peer.example\n  self = send\n  transport = {kind}\n" for kind in KINDS)
TRANSPORTS = "".join(f"{kind}:\n  driver = smtp\n  allow_localhost\n  port = {port}\n  tls_verify_certificates = DIR/pki/ca.pem\n  {options}\n"
                     for kind, (port, options) in KINDS.items())
BODY = f".\n..\n.end\nlong {'y' * 900}\n\nFrom here\n"
EIGHT_BIT = "na\xefve \xe9t\xe9\n"


def handshakes(site):
    """Does it, with OpenSSL's own client?"""
    done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", "127.0.0.1:2602", "-quiet", "-CAfile", site.path("pki/ca.pem")],
                          input=b"QUIT\n", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False)
    return b"221" in done.stdout


def stored(site):
    return [site.read(os.path.relpath(name, site.dir)) for name in sorted(glob.glob(site.path("store/*/new/*")))]


with Site(start=False, routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1h,1h\n", dns=Dns("peer.example A 127.0.0.1\n")) as site:
    ca = pki.Authority(site.path("pki"))
    ca.issue("peer", ["peer.example"], rsa=True)
    os.makedirs(site.path("store"))
    os.chmod(site.path("store"), 0o777)
    site.write("users", "")
    os.makedirs("/var/spool/smtpd")
    os.chmod("/var/spool/smtpd", 0o711)
    conf = site.write("smtpd.conf", SMTPD)
    environment = dict(os.environ, LD_LIBRARY_PATH=packages.library_path(TREE))
    with open(site.path("smtpd.log"), "wb") as log:
        daemon = subprocess.Popen(["/usr/sbin/smtpd", "-d", "-v", "-f", conf], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for("OpenSMTPD is there", lambda: daemon.poll() is not None or "info: startup" in site.read("smtpd.log") or "debug: smtp: listen on" in site.read("smtpd.log"))
        site.start()
        count = 0
        able = handshakes(site)
        if not able:
            print("# this OpenSMTPD fails at each handshake, openssl s_client's too")
        for kind in KINDS:
            name = site.send(f"alice@{kind}.example", f"nobody@{kind}.example", f"bob@{kind}.example", sender="", subject=kind, body=EIGHT_BIT + BODY)
            if not able and kind in ("sure", "implicit"):
                site.wait_for_log(rf"{name} == alice@{kind}\.example R={kind} T={kind} defer ")
                continue
            x = r"X=TLS1\.[23]:\S+ CV=yes " if able and kind != "clear" else ""
            for mark, who in (("=>", "alice"), ("->", "bob")):
                site.wait_for_log(rf'{name} {mark} {who}@{kind}\.example R={kind} T={kind} H=peer\.example \[127\.0\.0\.1\] {x}C="250 2\.0\.0 ')
            site.wait_for_log(rf"{name} \*\* nobody@{kind}\.example .*after RCPT TO:<nobody@{kind}\.example>: 550 ")
            count += 2
            wait_for(f"{kind}: both are stored", lambda: len(stored(site)) >= count)
        equal(len(stored(site)), count, "each once")
        equal({text.partition("\n\n")[2] for text in stored(site)}, {EIGHT_BIT + BODY}, "as it was")
    finally:
        daemon.terminate()
        daemon.wait(20)
