#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Later means later: every kind of temporary refusal keeps the message, the retry rule says when, and then it goes."""
from heddle import Site, equal
from peers import DROP, Sink

ROUTERS = "out:\n  driver = manualroute\n  route_list = * 127.0.0.1::PORT byname\n  self = send\n  transport = smtp\n"
TRANSPORTS = "smtp:\n  driver = smtp\n  allow_localhost\n  hosts_try_fastopen =\n"
ONCE = {
    "CONNECT": ["421 not now", "220 sink.example ESMTP"],
    "EHLO": [DROP, "250 sink.example"],
    "MAIL": ["451 sender later", "250 OK"],
    "RCPT": ["450 greylisted", "250 OK"],
    "DATA": ["451 no data now", "354 go on"],
    "END": ["452 no room", "250 OK taken"],
}

for word, replies in ONCE.items():
    sink = Sink({word: replies})
    with Site(arguments=["-q1s"], routers=ROUTERS.replace("PORT", str(sink.port)), transports=TRANSPORTS,
              retry="* * F,1h,1s\n") as site:
        name = site.send("x@far.example")
        site.wait_for_log(rf"{name} == x@far\.example R=out T=smtp.* defer \(-?\d+\)", f"{word}: it is deferred")
        site.wait_for_log(rf"{name} => x@far\.example R=out T=smtp", f"{word}: and delivered when it is time")
        site.wait_for_log(rf"{name} Completed", f"{word}: completed")
        equal(len(sink.messages), 1, f"{word}: once")
    sink.close()
