#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer can repeat or make long has a limit, and its answer; other sessions feel nothing."""
from heddle import check, equal, like, Site, wait_for

MAIN = """message_size_limit = 100K
recipients_max = 3
recipients_max_reject
smtp_accept_max_per_connection = 2
smtp_max_unknown_commands = 2
smtp_accept_max = 6
smtp_accept_max_per_host = 5
smtp_max_synprot_errors = 3
"""

def begun(client, recipients=1):
    client.ask("EHLO client.example")
    client.ask("MAIL FROM:<a@client.example>")
    for number in range(recipients):
        client.ask(f"RCPT TO:<alice+{number}@test.example>")
    return client


def greeted():
    """A connection that was let in; one that was closed a moment ago may still be counted."""
    new = site.connect()
    if new.greeting.startswith("220"):
        return new
    new.close()
    return None


with Site("queue_only\n" + MAIN) as site:
    client = site.connect(helo="client.example")
    like(client.ask("MAIL FROM:<" + "a" * 200000 + "@client.example>"), "^(500|501|552) |^$", "a command of 200 kB")
    client.close()

    client = begun(site.connect())
    client.ask("DATA")
    client.send("Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 3000)
    like(client.ask("."), "^552 Message size exceeds maximum permitted", "a message over the limit")
    client.close()

    client = begun(site.connect(), recipients=3)
    like(client.ask("RCPT TO:<bob@test.example>"), "^552 too many recipients", "a recipient over the limit")
    client.close()

    client = site.connect(helo="client.example")
    codes = [client.code("NONSENSE") for _ in range(4)]
    check("" in codes, "too many unknown commands end the session", codes)
    client.close()

    site_clients = [wait_for("there is room", greeted) for _ in range(5)]
    refused = site.connect()
    like(refused.greeting, "^421 Too many concurrent SMTP connections", "a connection over the limit")
    for client in site_clients + [refused]:
        client.close()
    site.wait_for_log("Connection from .*refused: too many connections")

    client = wait_for("there is room again", greeted)
    client.ask("EHLO client.example")
    for number in range(2):
        client.ask("MAIL FROM:<a@client.example>")
        client.ask("RCPT TO:<alice@test.example>")
        client.ask("DATA")
        like(client.ask(f"Subject: {number}\r\n\r\n."), "^250 OK id=", f"message {number + 1} of this connection")
    like(client.ask("MAIL FROM:<a@client.example>"), "^421 too many messages", "one more than a connection may send")
    equal(site.queued(), 2)
