#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session from greeting to QUIT, in Exim's words."""
from heddle import Site, equal, like

with Site("smtp_banner = $smtp_active_hostname at your service\nhelo_allow_chars = _\nmessage_size_limit = 1M\nsmtp_max_synprot_errors = 20\n") as site:
    client = site.connect()
    equal(client.greeting, "220 mx.test.example at your service")
    like(client.ask("MAIL FROM:<a@b.example>"), "^(503|550) ", "HELO or EHLO first, or let it be: never a crash")
    client.close()
    client = site.connect()
    equal(client.ask("HELO me.example"), "250 mx.test.example Hello me.example [127.0.0.1]")
    lines = client.ask("EHLO me.example").split("\n")
    equal(lines[0], "250-mx.test.example Hello me.example [127.0.0.1]")
    for extension in ("SIZE 1048576", "8BITMIME", "PIPELINING", "HELP"):
        equal(extension in [line[4:] for line in lines], True, f"EHLO offers {extension}")
    equal(client.ask("DATA"), "503 valid RCPT command must precede DATA")
    equal(client.ask("RCPT TO:<alice@test.example>"), "503 sender not yet given")
    equal(client.ask("NOOP whatever"), "250 OK")
    equal(client.ask("MAIL FROM:<a@b.example> SIZE=2000000"), "552 Message size exceeds maximum permitted")
    equal(client.ask("MAIL FROM:<a@b.example>"), "250 OK")
    equal(client.ask("MAIL FROM:<a@b.example>"), "503 sender already given")
    equal(client.ask("RCPT TO:<alice@test.example>"), "250 Accepted")
    equal(client.ask("RSET"), "250 Reset OK")
    equal(client.ask("RCPT TO:<alice@test.example>"), "503 sender not yet given")
    like(client.ask("VRFY alice@test.example"), "^252 ")
    like(client.ask("HELP"), "^214-Commands supported:")
    like(client.ask("TELEPORT"), "^500 unrecognized command")
    equal(client.ask("QUIT"), "221 mx.test.example closing connection")
    equal(client.reply(), "", "and it closes")
