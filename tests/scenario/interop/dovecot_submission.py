#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot's submission service takes what we relay to it with AUTH PLAIN over STARTTLS, and hands it on to a server behind it."""
import os
import subprocess

import namespace
import packages
import pki
from heddle import IS_ROOT, Site, equal, like, skip, unlike, wait_for
from peers import Dns
from smtp_peer import Peer, addresses

if not IS_ROOT:
    skip("Dovecot unpacked needs an overlay over /usr")
CORE, SUBMISSION = packages.unpacked("dovecot-core"), packages.unpacked("dovecot-submissiond", libraries=False)
if CORE is None or SUBMISSION is None:
    skip("Debian's packages dovecot-core and dovecot-submissiond could not be fetched")
namespace.enter({})
if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={SUBMISSION}/usr:{CORE}/usr:/usr", "/usr"], check=False).returncode != 0:
    skip("no overlay can be mounted")
DOVECOT = """base_dir = DIR/dovecot
state_dir = DIR/dovecot
protocols = submission
listen = 127.0.0.1
ssl = required
ssl_cert = <DIR/pki/dovecot.crt
ssl_key = <DIR/pki/dovecot.key
log_path = DIR/dovecot.log
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
first_valid_uid = 0
mail_location = maildir:DIR/store/%n
import_environment = LD_LIBRARY_PATH
auth_mechanisms = plain login
auth_failure_delay = 0
hostname = mx.dovecot.example
submission_relay_host = 127.0.0.1
submission_relay_port = RELAY
passdb {
  driver = passwd-file
  args = DIR/users
}
userdb {
  driver = passwd-file
  args = username_format=%n DIR/users
}
service submission-login {
  chroot =
  inet_listener submission {
    port = 2621
  }
}
"""
CONFIG = """dovecot:
  driver = manualroute
  domains = ! +local_domains
  route_list = * mx.dovecot.example
  self = send
  transport = ${if eq{$domain}{wrong.example}{wrong}{dovecot}}
"""
TRANSPORT = """{name}:
  driver = smtp
  allow_localhost
  port = 2621
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_hosts = *
  tls_verify_certificates = DIR/pki/ca.pem
"""
AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^alice^${if eq{$domain}{wrong.example}{s3kret}{s3cret}}
  client_set_id = alice
"""
BODY = f".\n..\n.end\nlong {'y' * 900}\n\nFrom here\n"

with Site(start=False, routers=CONFIG, transports=TRANSPORT.format(name="dovecot") + TRANSPORT.format(name="wrong"), authenticators=AUTH,
          retry="* * F,1h,1h\n", dns=Dns("mx.dovecot.example A 127.0.0.1\n")) as site:
    ca = pki.Authority(site.path("pki"))
    ca.issue("dovecot", ["mx.dovecot.example"])
    behind = Peer({"RCPT": lambda line: "550 5.1.1 nobody" if "nobody@" in line else "250 OK"})
    for folder in ("dovecot", "store"):
        os.makedirs(site.path(folder))
    os.chmod(site.path("store"), 0o777)
    site.write("users", "alice:{PLAIN}s3cret:65534:65534::DIR/store/alice::\n")
    conf = site.write("dovecot.conf", DOVECOT.replace("RELAY", str(behind.port)))
    environment = dict(os.environ, LD_LIBRARY_PATH=packages.library_path(CORE))
    daemon = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", conf], env=environment, stdin=subprocess.DEVNULL)
    try:
        wait_for("Dovecot is there", lambda: daemon.poll() is not None or "starting up" in site.read("dovecot.log"))
        site.start()
        name = site.send("x@there.example", "nobody@there.example", "y@there.example", sender="", body=BODY)
        where = r"R=dovecot T=dovecot H=mx\.dovecot\.example \[127\.0\.0\.1\] X=TLS1\.3:\S+ CV=yes A=plain:alice (?:K )?C=\"250 "
        site.wait_for_log(rf"{name} => x@there\.example {where}")
        site.wait_for_log(rf"{name} -> y@there\.example {where}")
        site.wait_for_log(rf"{name} \*\* nobody@there\.example .*after RCPT TO:<nobody@there\.example>: 550 ")
        (message,) = wait_for("it is handed on", lambda: behind.messages) or [None]
        equal(addresses(message.rcpt), ["x@there.example", "y@there.example"], "the recipients")
        equal(message.body.decode("latin-1").replace("\r\n", "\n").partition("\n\n")[2], BODY, "as it was")
        name = site.send("x@wrong.example", sender="", body=BODY)
        site.wait_for_log(rf"{name} == x@wrong\.example .*authentication required but authentication attempt\(s\) failed")
        like(site.mainlog(), r"plain authenticator failed H=mx\.dovecot\.example \[127\.0\.0\.1\] 535 5\.7\.8 ")
        equal(len(behind.messages), 1, "without the password nothing is sent")
        unlike(site.mainlog(), "s3cret|s3kret")
    finally:
        daemon.terminate()
        daemon.wait(20)
