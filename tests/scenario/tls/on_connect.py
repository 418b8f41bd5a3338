#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_on_connect_ports: TLS before the greeting; who speaks in clear there gets no byte."""
import socket

import heddle
import tls_client
from heddle import Client, Site, equal, like, unlike
from tls_client import at_once, context, message

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
heddle.MAIN = heddle.MAIN.replace("daemon_smtp_ports = 0", f"daemon_smtp_ports = 0 : {PORT}")
ACL = """connect:
  accept logwrite = connected with <$tls_in_ver> to $received_port
check_rcpt:
  accept
"""

with Site(f"tls_on_connect_ports = {PORT} : submissions\nacl_smtp_connect = connect\nqueue_only\nlog_selector = +smtp_no_mail +smtp_connection\n",
          acl=ACL) as site:
    like(site.mainlog(), rf"listening for SMTP on \[127\.0\.0\.1\]:\d+ and for SMTPS on \[127\.0\.0\.1\]:{PORT}$")
    client = at_once(PORT)
    like(client.greeting, r"^220 mx\.test\.example ESMTP Heddle ", "the greeting comes within TLS")
    site.wait_for_log(rf"connected with <TLS1\.3> to {PORT}")
    answer = client.ask("EHLO client.example")
    unlike(answer, "STARTTLS")
    like(message(client), "^250 OK")
    site.wait_for_log(r"<= a@client\.example H=\(client\.example\) \[127\.0\.0\.1\] P=esmtps X=TLS1\.3:")
    client.ask("QUIT")
    client = at_once(PORT)
    client.ask("HELO client.example")
    like(message(client), "^250 OK")
    site.wait_for_log(r" P=smtps X=TLS1\.3:")
    client.close()

    client = Client(PORT, greeting=False)
    client.send("EHLO client.example\r\n")
    equal(client.sock.recv(100), b"", "in clear there is no answer at all")
    site.wait_for_log(r"TLS error on connection from \[127\.0\.0\.1\] \(SSL_accept\): ")
    client.close()

    # too soon within TLS
    client = Client(PORT, greeting=False)
    equal(tls_client.wrap(client), "")
    client.send("EHLO client.example\r\n")
    like(client.reply(), "^(554 SMTP synchronization error|220 )", "input before the greeting")
    client.close()
    like(site.connect().greeting, "^220 ", "the other port greets in clear")
