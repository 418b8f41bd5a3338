#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""heddle -bs and -bS: a user of this host hands in messages on standard input.  Who it is says the system, not the client."""
import getpass
import os
import socket
import subprocess

from heddle import IS_ROOT, Site, equal, like, unlike, wait_for

ACL = """check_rcpt:
  deny hosts = :
       local_parts = bad
       message = no $local_part
  accept hosts = :
  deny
check_local:
  deny condition = ${if match{$h_subject:}{bad}}
       message = not you
  accept
"""
ME = getpass.getuser()

with Site("acl_not_smtp = check_local\nqualify_domain = test.example\nlog_selector = +smtp_connection\n", acl=ACL) as site:
    def run(mode, text, *before):
        done = subprocess.run([*before, os.path.join(site.programs, "heddle"), "-C", site.config, mode], input=text.encode("latin-1"),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=site.environment, timeout=60, check=False)
        return done.returncode, done.stdout.decode("latin-1").replace("\r\n", "\n"), done.stderr.decode("latin-1")

    status, out, _ = run("-bs", "EHLO me\nMAIL FROM:<sender@far.example>\nRCPT TO:<bad>\nRCPT TO:<alice>\nDATA\nSubject: one\n\nhi\n.\nQUIT\n")
    equal(status, 0)
    like(out, rf"^250-mx\.test\.example Hello {ME} at me$")
    like(out, r"^550 no bad\n250 Accepted\n354 .*\n250 OK id=\S+\n221 ", "ACLs see an empty host; lines may end in LF")
    line = wait_for("it is logged", lambda: [x for x in site.mainlog().splitlines() if " <= " in x])[0]
    like(line, rf" <= sender@far\.example U={ME} P=local-esmtp S=\d+", "root, or who runs the daemon, may say who sends")
    wait_for("it is delivered", lambda: "=> alice" in site.mainlog())
    like(site.mainlog(), rf"SMTP connection from {ME}$")

    if IS_ROOT:
        status, out, _ = run("-bs", "EHLO me\nMAIL FROM:<root@far.example>\nRCPT TO:<alice>\nDATA\nFrom: root@far.example\n\nhi\n.\nQUIT\n",
                             "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
        equal(status, 0, "another user reaches the socket")
        like(site.mainlog(), r" <= nobody@test\.example U=nobody P=local-esmtp", "and is the sender, whatever it says")

    BATCH = "MAIL FROM:<a@far.example>\nRCPT TO:<bad>\nRCPT TO:<alice>\nDATA\nSubject: good\n\n..dot\n.\nHELO x\nVRFY x\n"
    status, out, err = run("-bS", BATCH + "MAIL FROM:<>\nRCPT TO:<alice>\nDATA\nSubject: bad\n\n.\nMAIL FROM:<>\n")
    equal(status, 1, "one message was taken, the second refused")
    equal(out, "550 not you\nTransaction started in line 10\nError detected in line 16\n")
    like(err, r"^1 previous message was successfully processed\.\nThe rest of the batch was abandoned\.$")
    like(site.mainlog(), rf" <= a@far\.example U={ME} P=local-bsmtp ", "the ACLs of SMTP are not asked")
    status, out, err = run("-bS", "MAIL FROM:<a@far.example>\nRCPT TO:<alice\n")
    equal(status, 2)
    like(out, r"^501 .*\nTransaction started in line 0\nError detected in line 2\nRCPT TO:<alice\n$")
    like(err, r"^The SMTP command at fault was:\n\n   RCPT TO:<alice\n$")
    status, out, _ = run("-bS", "MAIL FROM:<a@far.example>\nRCPT TO:<alice>\nDATA\nSubject: cut\n")
    equal(status, 2, "a message without its dot is no message")
    like(out, r"^421 Lost incoming connection\nTransaction started in line 0\nError detected in line 4$")
    equal(run("-bS", BATCH + "QUIT\nnonsense\n")[0], 0, "QUIT ends the batch")
    unlike(site.mainlog(), "cut")

    # what does not say who it is
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(site.path("spool/submission.sock"))
    sock.sendall(b"heddle-submission 1 smtp nosuchuser -\n")
    like(sock.makefile().readline(), r"^554 ", "a name that is not the user's is refused")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(site.path("spool/submission.sock"))
    sock.sendall(f"heddle-submission 1 smtp {'nobody' if ME != 'nobody' else 'root'} -\n".encode("ascii"))
    like(sock.makefile().readline(), r"^554 ", "another user's too")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(site.path("spool/submission.sock"))
    sock.sendall(b"EHLO x\n")
    like(sock.makefile().readline(), r"^554 ", "and so is what is no submission")
    site.stop()
    status, out, _ = run("-bs", "QUIT\n")
    equal(status, 75, "without a daemon: try again later")
    like(out, r"^421 no daemon takes messages at ")
