#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients are slowed down without holding a thread; the load of the host; many messages in one connection."""
import time

from heddle import Site, check, equal, like, unlike

MAIN = """smtp_ratelimit_hosts = 127.0.0.1
smtp_ratelimit_mail = 1,0.3s,2,0.5s
smtp_ratelimit_rcpt = 2,0.2s,1.5,10s
smtp_accept_queue_per_connection = 2
"""


def timed(client, line):
    began = time.monotonic()
    answer = client.ask(line)
    return answer[:3], round(time.monotonic() - began, 2)


def between(pair, low, high, what):
    check(pair[0] == "250" and low <= pair[1] < high, what, pair)


with Site(MAIN) as site:
    client = site.connect(helo="client.example")
    between(timed(client, "MAIL FROM:<a@client.example>"), 0, 0.2, "the first MAIL")
    between(timed(client, "RCPT TO:<alice@test.example>"), 0, 0.15, "RCPT 1")
    between(timed(client, "RCPT TO:<alice@test.example>"), 0, 0.15, "RCPT 2")
    between(timed(client, "RCPT TO:<alice@test.example>"), 0.2, 0.6, "RCPT 3")
    between(timed(client, "RCPT TO:<alice@test.example>"), 0.3, 0.8, "RCPT 4")
    client.ask("RSET")
    between(timed(client, "MAIL FROM:<a@client.example>"), 0.3, 0.8, "the second MAIL")
    between(timed(client, "RCPT TO:<alice@test.example>"), 0, 0.15, "with each message RCPTs begin anew")
    client.ask("RSET")
    between(timed(client, "MAIL FROM:<a@client.example>"), 0.5, 1.0, "the third, at the maximum")
    client.close()
    crowd = [site.connect(helo="client.example") for _ in range(15)]
    for client in crowd:
        client.send("MAIL FROM:<a@client.example>\r\nRSET\r\nMAIL FROM:<b@client.example>\r\n")
    began = time.monotonic()
    for client in crowd:
        equal([client.reply()[:3] for _ in range(3)], ["250"] * 3)
        client.close()
    check(time.monotonic() - began < 2, "many wait side by side", time.monotonic() - began)

with Site("smtp_accept_queue_per_connection = 2\n") as site:
    client = site.connect(helo="client.example")
    for _ in range(3):
        client.ask("MAIL FROM:<a@client.example>")
        client.ask("RCPT TO:<alice@test.example>")
        client.ask("DATA")
        like(client.ask("Subject: x\r\n\r\nx\r\n."), "^250 OK id=")
    client.close()
    site.wait_for_log(r"no immediate delivery: more than 2 messages received in one connection$")
    site.wait_for_queue(1)
    equal(site.mainlog().count("no immediate delivery"), 1, "only the third waits")

with Site("smtp_load_reserve = 0.0\nsmtp_reserve_hosts = 127.0.0.2\n") as site:
    with open("/proc/loadavg", encoding="ascii") as file:
        busy = float(file.read().split()[0]) > 0.05
    if busy:
        equal(site.connect().greeting, "421 Too much load; please try again later.")
        site.wait_for_log(r"Connection from \[127.0.0.1\] refused: load average = \d+\.\d\d$")
        from heddle import Client
        like(Client(site.port, source="127.0.0.2").greeting, "^220 ", "a host of the reserve")
with Site("smtp_load_reserve = 100000\n") as site:
    like(site.connect().greeting, "^220 ")
    unlike(site.mainlog(), "refused")
