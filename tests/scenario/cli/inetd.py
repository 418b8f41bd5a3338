#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""-bs with a TCP/IP connection as standard input, as inetd starts it: an ordinary session of the daemon's with that client, with
hosts, ACLs and log lines as if it had come by itself.  Only who is trusted may hand one in."""
import os
import socket
import subprocess

from heddle import IS_ROOT, Client, Site, equal, like, unlike, wait_for

ACL = """check_rcpt:
  deny local_parts = bob
       message = not from $sender_host_address
  accept hosts = 127.0.0.1
  deny
"""

with Site("log_selector = +smtp_connection\n", acl=ACL) as site, socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)

    def session(*before):
        """A client, and the program that was started with the server's end of its connection."""
        client = Client(listener.getsockname()[1], greeting=False)
        served, _ = listener.accept()
        with served:
            program = subprocess.Popen([*before, os.path.join(site.programs, "heddle"), "-C", site.config, "-bs"], stdin=served, stdout=served,
                                       stderr=subprocess.PIPE, env=site.environment)
        return client, program

    client, program = session()
    like(client.reply(), r"^220 mx\.test\.example ESMTP")
    like(client.ask("EHLO far.example"), r"250-mx\.test\.example Hello far\.example \[127\.0\.0\.1\]")
    like(client.ask("MAIL FROM:<s@far.example>"), "^250 ")
    equal(client.ask("RCPT TO:<bob@test.example>"), "550 not from 127.0.0.1")
    like(client.ask("RCPT TO:<alice@test.example>"), "^250 ")
    like(client.ask("DATA"), "^354 ")
    like(client.ask("Subject: by inetd\r\n\r\nhi\r\n."), "^250 OK id=")
    like(client.ask("QUIT"), "^221 ")
    equal(program.wait(30), 0)
    line = wait_for("it is logged", lambda: [x for x in site.mainlog().splitlines() if " <= " in x])[0]
    like(line, r" <= s@far\.example H=\(far\.example\) \[127\.0\.0\.1\] P=esmtp S=\d+")
    unlike(line, " U=", "it is the client's, not that of who started the program")
    equal(len(site.maildir("alice", 1)), 1)

    client, program = session()
    client.reply()
    client.sock.close()
    equal(program.wait(30), 0, "a client that goes away ends it")

    if IS_ROOT:  # as an ordinary user everybody here is the owner of the daemon
        client, program = session("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
        _, errors = program.communicate(timeout=30)
        equal(program.returncode != 0, True, "who is not trusted may not say where a connection is from")
        like(errors.decode() + (client.reply() or ""), r"(?i)trusted|permission|not permitted|denied")
        equal(site.mainlog().count(" <= "), 1)
