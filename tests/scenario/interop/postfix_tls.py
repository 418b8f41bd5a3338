#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix as a client sends to us over TLS that it verifies, with SASL PLAIN and without; its smtpd takes what we send, over STARTTLS
that is tried and that must prove its name."""
import glob
import os
import shutil
import subprocess

import namespace
import packages
import pki
from heddle import IS_ROOT, Site, equal, like, skip, unlike, wait_for
from peers import Dns

if not IS_ROOT:
    skip("Postfix wants to be root")
TREE = packages.unpacked("postfix")
SASL = packages.unpacked("libsasl2-modules", libraries=False)
if TREE is None or SASL is None:
    skip("Debian's packages postfix and libsasl2-modules could not be fetched")
namespace.enter({"/etc/passwd": "+postfix:x:9980:9980::/var/spool/postfix:/usr/sbin/nologin\n",
                 "/etc/group": "+postfix:x:9980:\npostdrop:x:9981:\n"})
if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={SASL}/usr:{TREE}/usr:/usr", "/usr"], check=False).returncode != 0:
    skip("no overlay can be mounted")
MAIN_CF = """compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = DIR/pfdata
maillog_file = DIR/postfix.log
maillog_file_prefixes = /tmp, DIR
import_environment = LD_LIBRARY_PATH MAIL_CONFIG MAIL_LOGTAG POSTLOG_SERVICE POSTLOG_HOSTNAME
export_environment = LD_LIBRARY_PATH PATH
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = DIR/pki/postfix.crt
smtpd_tls_key_file = DIR/pki/postfix.key
smtpd_tls_loglevel = 1
virtual_mailbox_domains = postfix.example
virtual_mailbox_base = DIR/store
virtual_mailbox_maps = inline:{ a@postfix.example=a/, b@postfix.example=b/ }
virtual_uid_maps = static:9980
virtual_gid_maps = static:9980
virtual_minimum_uid = 1
relayhost = [127.0.0.1]:PORT
sender_dependent_default_transport_maps = inline:{ plain@postfix.example=plain:, login@postfix.example=login: }
smtp_tls_CAfile = DIR/pki/ca.pem
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = localhost
smtp_tls_loglevel = 1
smtp_sasl_password_maps = inline:{ {[127.0.0.1]:PORT=user:s3cret} }
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = plain
"""
MASTER_CF = """127.0.0.1:2611 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
plain unix - - n - - smtp
login unix - - n - - smtp -o smtp_sasl_auth_enable=yes
postlog unix-dgram n - n - 1 postlogd
"""
CONFIG = """tls_certificate = DIR/pki/heddle.pem
acl_smtp_mail = mail
"""
ACL = """mail:
  deny senders = *@postfix.example
       !encrypted = *
  accept
check_rcpt:
  accept
"""
AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{user}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
"""
KINDS = {"trying": "", "sure": "hosts_require_tls = *\n  tls_verify_hosts = *\n  tls_verify_certificates = DIR/pki/ca.pem"}
ROUTERS = """out:
  driver = manualroute
  domains = postfix.example
  route_list = * mx.postfix.example
  self = send
  transport = ${if eq{$local_part}{a}{trying}{sure}}
inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice
  transport = maildir
"""
TRANSPORTS = "maildir:\n  driver = appendfile\n  maildir_format\n  directory = DIR/mail/$local_part_data\n" + "".join(
    f"{kind}:\n  driver = smtp\n  allow_localhost\n  port = 2611\n  {options}\n" for kind, options in KINDS.items())
BODY = f".\n..\n.end\nlong {'y' * 900}\n\nFrom here\n"
EIGHT_BIT = "na\xefve \xe9t\xe9\n"


def stored(site, who):
    return [site.read(os.path.relpath(name, site.dir)) for name in sorted(glob.glob(site.path(f"store/{who}/new/*")))]


with Site(start=False, dns=Dns("mx.postfix.example A 127.0.0.1\n")) as site:
    ca = pki.Authority(site.path("pki"))
    ca.issue("postfix", ["mx.postfix.example"])
    site.own(ca.issue("heddle", ["localhost"]))
    site.write("heddle.conf", site.text(CONFIG, acl=ACL, authenticators=AUTH, routers=ROUTERS, transports=TRANSPORTS))
    site.start()
    os.makedirs("/var/spool/postfix")
    for folder in ("pfdata", "store"):
        os.makedirs(site.path(folder))
        os.chown(site.path(folder), 9980, 9980)
    shutil.copytree(os.path.join(TREE, "etc/postfix"), "/etc/postfix")
    for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
        with open(f"/etc/postfix/{name}", "w", encoding="ascii") as out:
            out.write(text.replace("PORT", str(site.port)).replace("DIR", site.dir))
    environment = dict(os.environ, LD_LIBRARY_PATH=f"/usr/lib/postfix:{packages.library_path(TREE)}")
    subprocess.run(["/usr/sbin/postfix", "check"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    with open(site.path("master.log"), "wb") as log:
        daemon = subprocess.Popen(["/usr/lib/postfix/sbin/master", "-d"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True)  # it ends its process group
    try:
        wait_for("Postfix is there", lambda: daemon.poll() is not None or os.path.exists("/var/spool/postfix/public/pickup") and
                 "daemon started" in site.read("postfix.log"))
        equal(daemon.poll(), None, "Postfix runs")
        # we send
        for who, kind, cv in (("a", "trying", "no"), ("b", "sure", "yes")):
            for i in range(3):
                name = site.send(f"{who}@postfix.example", sender="", subject=f"number {i}", body=EIGHT_BIT + BODY)
                site.wait_for_log(rf'{name} => {who}@postfix\.example R=out T={kind} H=mx\.postfix\.example \[127\.0\.0\.1\] X=TLS1\.3:\S+ CV={cv} (?:DN=\S+ )?(?:K )?C="250 2\.0\.0 ')
            wait_for(f"{kind}: they are stored", lambda w=who: len(stored(site, w)) == 3)
            equal({text.partition("\n\n")[2] for text in stored(site, who)}, {EIGHT_BIT + BODY}, f"{kind}: as it was")
        # Postfix sends
        for transport, proto, auth in (("plain", "esmtps", ""), ("login", "esmtpsa", r"A=plain:user ")):
            done = subprocess.run(["/usr/sbin/sendmail", "-i", "-f", f"{transport}@postfix.example", "alice@test.example"], env=environment, check=False,
                                  input=f"Subject: {transport}\n\n{EIGHT_BIT}{BODY}".encode("latin-1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            equal(done.returncode, 0, "Postfix takes it")
            site.wait_for_log(rf"<= {transport}@postfix\.example H=\(postfix\.example\) \[127\.0\.0\.1\] P={proto} X=TLS1\.3:\S+ CV=no (?:SNI=\S+ )?{auth}")
        texts = site.maildir("alice", 2)
        equal({text.partition("\n\n")[2] for text in texts}, {EIGHT_BIT + BODY}, "as it was")
        like(site.read("postfix.log"), r"Verified TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]", "Postfix has verified us")
        unlike(site.mainlog(), "s3cret")
    finally:
        daemon.terminate()
        daemon.wait(20)
