#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""XCLIENT: who a listed proxy speaks for is the client from then on; nobody else may say so."""
from heddle import Site, equal, like, unlike

ACL = """check_connect:
  deny hosts = 192.0.2.66
       message = not you
  accept
check_rcpt:
  deny local_parts = bob
       hosts = ! : !203.0.113.5
       message = I=$received_ip_address:$received_port A=$sender_host_authenticated/$authenticated_id N=$sender_host_name
  accept
"""

with Site("hosts_xclient = 127.0.0.1\nacl_smtp_connect = check_connect\nsmtp_max_synprot_errors = 20\nsmtp_accept_max_nonmail = 100\nqueue_only\nsmtp_accept_max_per_host = 2\n"
          "log_selector = +incoming_port\n",
          acl=ACL) as site:
    client = site.connect()
    like(client.ask("EHLO proxy.example"), "^250-XCLIENT ADDR NAME PORT PROTO HELO LOGIN DESTADDR DESTPORT$", "it is offered to the proxy")
    for line in ("XCLIENT", "XCLIENT ADDR", "XCLIENT ADDR=", "XCLIENT ADDR=nonsense", "XCLIENT FOO=bar", "XCLIENT PORT=70000", "XCLIENT ADDR=1.2.3",
                 "XCLIENT PROTO=LMTP", "XCLIENT NAME=a+0Db", "XCLIENT NAME=a+0", "XCLIENT NAME=" + "a" * 300, "XCLIENT ADDR=IPV6:zz"):
        like(client.ask(line), "^501 ", line[:30])
    like(client.ask("MAIL FROM:<a@client.example>"), "^250")
    like(client.ask("XCLIENT ADDR=203.0.113.5"), "^503 XCLIENT is not permitted inside a transaction")
    client.ask("RSET")
    like(client.ask("XCLIENT ADDR=203.0.113.5 NAME=real.example PORT=4711 DESTADDR=198.51.100.7 DESTPORT=2525"), "^220 mx.test.example ", "a greeting")
    like(client.ask("MAIL FROM:<a@client.example>"), "^503 HELO or EHLO required", "everything begins anew")
    like(client.ask("EHLO real.example"), r"^250-mx.test.example Hello real.example \[203.0.113.5\]")
    client.ask("MAIL FROM:<a@client.example>")
    equal(client.ask("RCPT TO:<alice@test.example>"), "250 Accepted")
    client.ask("DATA")
    like(client.ask("Subject: x\r\n\r\nx\r\n."), "^250 OK id=")
    like(client.ask("XCLIENT ADDR=[UNAVAILABLE] LOGIN=joe NAME=[UNAVAILABLE] HELO=helo.example"), "^220 ", "again: the connection's address decides")
    client.ask("EHLO other.example")
    like(client.ask("XCLIENT ADDR=IPV6:2001:db8::7 LOGIN=joe"), "^220 ")
    client.ask("EHLO other.example")
    client.ask("MAIL FROM:<a@client.example>")
    like(client.ask("RCPT TO:<bob@test.example>"), "^550 I=198.51.100.7:2525 A=XCLIENT/joe N=$", "what ACLs see")
    client.ask("RSET")
    like(client.ask("XCLIENT ADDR=192.0.2.66"), "^550 not you", "the connect ACL is asked again")
    equal(client.reply(), "", "and its refusal ends the connection")
    client.close()
    like(site.mainlog(), r"<= a@client.example H=real.example \[203.0.113.5\]:4711 P=esmtp S=")

    for _ in range(4):  # sessions are still counted for the address that they came from
        client = site.connect()
        client.ask("EHLO proxy.example")
        like(client.ask("XCLIENT ADDR=203.0.113.9"), "^220 ")
        like(client.ask("QUIT"), "^221")
        client.close()

with Site("hosts_xclient = 192.0.2.1\nqueue_only\n") as site:
    client = site.connect()
    unlike(client.ask("EHLO liar.example"), "XCLIENT", "it is not offered to others")
    equal(client.ask("XCLIENT ADDR=192.0.2.1"), "503 XCLIENT command used when not advertised")
    equal(client.ask("XCLIENT ADDR=127.0.0.1 LOGIN=root"), "503 XCLIENT command used when not advertised")
    client.ask("MAIL FROM:<a@client.example>")
    client.ask("RCPT TO:<alice@test.example>")
    client.ask("DATA")
    client.ask("Subject: x\r\n\r\nx\r\n.")
    client.close()
    like(site.mainlog(), r"<= a@client.example H=\(liar.example\) \[127.0.0.1\] P=esmtp S=", "and nothing of it is believed")
