#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that people use log in: smtplib, swaks, msmtp and curl, by PLAIN, LOGIN, CRAM-MD5 and EXTERNAL over TLS; and with a wrong
password they do not."""
import re
import shutil
import smtplib
import ssl
import subprocess

import pki
from heddle import Site, check, equal, unlike

MAIN = """tls_advertise_hosts = *
tls_certificate = DIR/pki/server.pem
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = *
smtp_accept_max_nonmail = 50
queue_only
"""
ACL = "check_rcpt:\n  accept authenticated = *\n  deny message = who are you\n"
AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice@test.example}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{alice@test.example}}{eq{$auth2}{s3cret}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{alice@test.example}{s3cret}fail}
  server_set_id = $auth1
ext:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${certextract {subj_altname,mail,>:} {$tls_in_peercert}}
  server_condition = ${if forany {$auth2} {eq {$item}{$auth1}}}
  server_set_id = $auth1
"""
USER, HOST, TO = "alice@test.example", "localhost", "bob@test.example"
OURS = {"PLAIN": "plain", "LOGIN": "login", "CRAM-MD5": "cram", "EXTERNAL": "ext"}
MAIL = f"From: {USER}\nTo: {TO}\nSubject: x\n\nx\n"


def swaks(mechanism, password):
    return None if mechanism == "EXTERNAL" else [
        "swaks", "--server", f"{HOST}:{site.port}", "--helo", "client.example", "--from", f"swaks-{mechanism}@test.example", "--to", TO, "--tls",
        "--auth", mechanism, "--auth-user", USER, "--auth-password", password]


def msmtp(mechanism, password):
    file = site.write(f"msmtprc-{mechanism}", f"defaults\npassword {password}\n", mode=0o600) or site.path(f"msmtprc-{mechanism}")
    site.write("empty", "")
    return ["msmtp", "--file", file, f"--host={HOST}", f"--port={site.port}", "--tls=on", f"--tls-trust-file={ca.pem}", f"--tls-cert-file={crt}",
            f"--tls-key-file={key}", f"--auth={mechanism.lower()}", f"--user={USER}", f"--passwordeval=echo {password}",
            f"--from=msmtp-{mechanism}@test.example", TO]


def curl(mechanism, password):
    return ["curl", "-sS", "--ssl-reqd", f"smtp://{HOST}:{site.port}/client.example", "--cacert", ca.pem, "--cert", crt, "--key", key, "--user",
            f"{USER}:{'' if mechanism == 'EXTERNAL' else password}", "--login-options", f"AUTH={mechanism}", "--mail-from",
            f"curl-{mechanism}@test.example", "--mail-rcpt", TO, "--upload-file", "-"]


def python(mechanism, password):
    """smtplib; EXTERNAL by a function of our own, as its manual tells one to."""
    context = ssl.create_default_context(cafile=ca.pem)
    context.load_cert_chain(crt, key)
    with smtplib.SMTP(HOST, site.port, local_hostname="client.example", timeout=30) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo()
        smtp.user, smtp.password = USER, password
        method = {"PLAIN": smtp.auth_plain, "LOGIN": smtp.auth_login, "CRAM-MD5": smtp.auth_cram_md5, "EXTERNAL": lambda challenge=None: USER}
        try:
            smtp.auth(mechanism, method[mechanism])
            smtp.sendmail(f"smtplib-{mechanism}@test.example", [TO], MAIL)
        except smtplib.SMTPException as error:
            return f"{error}"
    return None


def run(words):
    done = subprocess.run(words, input=MAIL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", cwd=site.dir, timeout=60,
                          check=False)
    return done.stdout or "failed" if done.returncode else None


with Site(MAIN, acl=ACL, authenticators=AUTH, start=False) as site:
    ca = pki.Authority(site.path("pki"))
    ca.issue("server", ["localhost", "IP:127.0.0.1"])
    site.own(site.path("pki/server.pem"))
    ca.issue("alice", [f"email:{USER}"], usage="clientAuth")
    crt, key = site.path("pki/alice.crt"), site.path("pki/alice.key")
    site.start()
    for name, make in (("smtplib", None), ("swaks", swaks), ("msmtp", msmtp), ("curl", curl)):
        if make and not shutil.which(name):
            print(f"# {name} is not installed")
            continue
        for mechanism, ours in OURS.items():
            if make and make(mechanism, "s3cret") is None:
                continue
            problem = run(make(mechanism, "s3cret")) if make else python(mechanism, "s3cret")
            check(problem is None, f"{name} is content with {mechanism}", problem)
            line = rf"<= {name}-{mechanism}@test\.example .* P=esmtpsa X=\S+ .*A={ours}:alice@test\.example "
            equal(len(re.findall(line, site.mainlog())), 1, f"{name} sent as alice by {mechanism}")
        problem = run(make("PLAIN", "s3kret")) if make else python("PLAIN", "s3kret")
        check(problem is not None, f"{name} is told that the password is wrong")
    sent = len(re.findall(" <= ", site.mainlog()))
    equal(site.queued(), sent, "nothing else was taken")
    unlike(site.mainlog() + site.rejectlog() + site.paniclog(), "s3cret|s3kret", "no log has a password")
