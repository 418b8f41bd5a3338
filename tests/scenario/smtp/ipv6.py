#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both families at once: a client by IPv6 is served, logged and matched by its address."""
import socket

from heddle import Client, Site, equal, like, skip

try:
    socket.create_server(("::1", 0), family=socket.AF_INET6).close()
except OSError:
    skip("there is no IPv6 here")

ACL = "check_rcpt:\n  accept hosts = <; ::1/128\n  deny message = only by IPv6\n"

with Site("queue_only\nlocal_interfaces = <; 127.0.0.1 ; ::1\n", acl=ACL, start=False) as site:
    site.write("heddle.conf", site.read("heddle.conf").replace("local_interfaces = 127.0.0.1\n", ""))
    site.start()
    equal(len(site.ports), 2, "two ports")
    four, six = Client(site.ports[0]), Client(site.ports[1], host="::1")
    for client in (four, six):
        client.ask("EHLO client.example")
        client.ask("MAIL FROM:<a@client.example>")
    equal(four.ask("RCPT TO:<alice@test.example>"), "550 only by IPv6")
    equal(six.ask("RCPT TO:<alice@test.example>"), "250 Accepted")
    six.ask("DATA")
    like(six.ask("Subject: six\r\n\r\nx\r\n."), "^250 OK id=")
    site.wait_for_log(r"<= a@client\.example H=\(client\.example\) \[::1\] P=esmtp S=\d+")
    site.wait_for_log(r"H=\(client\.example\) \[127\.0\.0\.1\] F=<a@client\.example> rejected RCPT")
