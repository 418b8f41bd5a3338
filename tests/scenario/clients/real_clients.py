#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that people use: smtplib, and swaks, msmtp, curl, Postfix's smtp-source where they are installed."""
import shutil
import subprocess

from heddle import Site, check, equal, like, wait_for

MAIL = "From: a@client.example\nTo: alice@test.example\nSubject: by {}\n\nA line\n.\n"

def run(site, name, *words):
    if not shutil.which(name):
        print(f"# {name} is not installed")
        return False
    done = subprocess.run([name, *words], input=MAIL.format(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding="latin-1", cwd=site.dir, timeout=60, check=False)
    return check(done.returncode == 0, f"{name} is content", done.stdout)

with Site() as site:
    port = str(site.port)
    with site.smtplib() as smtp:
        equal(smtp.sendmail("a@client.example", ["alice@test.example"], MAIL.format("smtplib")), {}, "smtplib is content")
    sent = ["smtplib"]
    site.write("msmtprc", "", mode=0o600)
    swaks = ("--server", f"127.0.0.1:{port}", "--helo", "client.example", "--from", "a@client.example", "--to",
             "alice@test.example", "--header", "Subject: by swaks", "--pipeline")
    if run(site, "swaks", *swaks):
        sent.append("swaks")
    if run(site, "msmtp", "--file", site.path("msmtprc"), "--host=127.0.0.1", f"--port={port}", "--auth=off", "--tls=off",
           "--from=a@client.example", "alice@test.example"):
        sent.append("msmtp")
    if run(site, "curl", "-sS", f"smtp://127.0.0.1:{port}/client.example", "--mail-from", "a@client.example", "--mail-rcpt",
           "alice@test.example", "--upload-file", "-"):
        sent.append("curl")
    texts = site.maildir("alice", len(sent))
    for name in sent:
        check(any(f"Subject: by {name}\n" in text for text in texts), f"what {name} sent has arrived")
    if run(site, "smtp-source", "-s", "5", "-m", "50", "-f", "a@client.example", "-t", "bob@test.example", f"127.0.0.1:{port}"):
        equal(len(site.maildir("bob", 50)), 50)
