#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that people use send to us: smtplib, swaks, msmtp, curl and Postfix's smtp-source.  What they were given arrives as it
was: dots at the beginning of lines, bytes over 127, a line as long as SMTP allows."""
import shutil
import subprocess

import packages
from heddle import Site, check, equal, wait_for

ROUTERS = """inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice
  transport = maildir
load:
  driver = accept
  domains = +local_domains
  local_parts = ^[0-9]*bob\\$
  transport = load
"""
TRANSPORTS = """maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
load:
  driver = appendfile
  maildir_format
  directory = DIR/mail/bob
"""
BODY = f".\n..\n.dot\nna\xefve \xe9t\xe9\n{'x' * 997}\n\nlast line\n"
MAIL = f"From: a@client.example\nTo: alice@test.example\nSubject: by NAME\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n{BODY}"
FROM, TO = "a@client.example", "alice@test.example"


def commands(site):
    port = str(site.port)
    site.write("msmtprc", "", mode=0o600)
    yield "swaks", ["--server", f"127.0.0.1:{port}", "--helo", "client.example", "--from", FROM, "--to", TO, "--data", "-",
                    "--pipeline", "--suppress-data"]
    yield "msmtp", ["--file", site.path("msmtprc"), "--host=127.0.0.1", f"--port={port}", "--auth=off", "--tls=off", f"--from={FROM}", TO]
    yield "curl", ["-sS", f"smtp://127.0.0.1:{port}/client.example", "--mail-from", FROM, "--mail-rcpt", TO, "--crlf", "--upload-file", "-"]


def run(site, name, words):
    """It read the message from standard input, and was content."""
    mail = MAIL.replace("NAME", name)
    done = subprocess.run([name, *words], input=mail.encode("latin-1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=site.dir,
                          timeout=60, check=False)
    return check(done.returncode == 0, f"{name} is content", done.stdout.decode("latin-1"))


def body_of(text):
    return text.partition("\n\n")[2]


with Site(routers=ROUTERS, transports=TRANSPORTS) as site:
    with site.smtplib() as smtp:
        mail = MAIL.replace("NAME", "smtplib").replace("\n", "\r\n").encode("latin-1")  # bytes are sent as they are
        equal(smtp.sendmail(FROM, [TO], mail, mail_options=["BODY=8BITMIME"]), {}, "smtplib is content")
    sent = ["smtplib"]
    for name, words in commands(site):
        if not shutil.which(name):
            print(f"# {name} is not installed")
        elif run(site, name, words):
            sent.append(name)
    texts = site.maildir("alice", len(sent))
    for name in sent:
        found = [text for text in texts if f"Subject: by {name}\n" in text]
        # swaks adds an empty line
        equal([body_of(text).rstrip("\n") for text in found], [BODY.rstrip("\n")], f"what {name} was given has arrived, as it was")
    source, environment = packages.program("smtp-source", "postfix")
    if source is None:
        print(f"# {environment}")
    else:
        done = subprocess.run([source, "-s", "5", "-m", "60", "-r", "4", "-l", "5000", "-f", FROM, "-t", "bob@test.example", "-S", "load",
                               f"127.0.0.1:{site.port}"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              encoding="latin-1", timeout=120, check=False)
        check(done.returncode == 0, "smtp-source is content", done.stdout)
        texts = site.maildir("bob", 240)
        equal(sorted({text.partition("Delivered-To: ")[0].count("Subject: load") for text in texts}), [1], "each is one of its messages")
        equal(len({body_of(text) for text in texts}), 1, "all of them with the same body")
    wait_for("the queue is empty", lambda: site.queued() == 0)
    equal(site.queued(), 0, "the queue is empty")
