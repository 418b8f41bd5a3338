#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server offers is used, and only that: BDAT in one piece and in many, PRDR, LIMITS, SIZE, SMTPUTF8 and what cannot go
without it, PIPECONNECT; each transport can say no."""
import re

import smtp_peer
from heddle import Site, check, equal, like, unlike, wait_for
from peers import Dns, Sink

ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_data = ${lookup{$domain}lsearch{DIR/hosts}}
  self = send
  transport = ${lookup{$domain}lsearch{DIR/transports}{$value}{smtp}}
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  tls_verify_certificates =
plain:
  driver = smtp
  allow_localhost
  hosts_try_chunking =
  hosts_try_prdr =
  hosts_avoid_pipelining = *
  size_addition = -1
early:
  driver = smtp
  allow_localhost
  hosts_pipe_connect = *
  connection_max_messages = 1
short:
  driver = smtp
  allow_localhost
  message_linelength_limit = 80
"""
BODY = ".\n..\nno dot\n.end\n"
BIG = "".join(f"{i:06d} {'x' * 60}\n.dots\n" for i in range(4000))
WITH_ALL = smtp_peer.EVERYTHING


def verdict(line):
    return "550 5.1.1 who" if "nobody" in line else "250 OK"


def each(line):
    return "550 5.7.1 not for me" if "choosy" in line else "450 4.2.1 later" if "busy" in line else "250 2.1.5 mine"


with Site(start=False, panics="") as site:
    peers = {
        "all.example": smtp_peer.Peer({"RCPT": verdict, "PRDR": each}, extensions=WITH_ALL),
        "slow.example": smtp_peer.Peer({"RCPT": verdict}, extensions=("CHUNKING", "8BITMIME")),
        "none.example": smtp_peer.Peer({"RCPT": verdict}, extensions=WITH_ALL),
        "few.example": smtp_peer.Peer(extensions=("PIPELINING", "LIMITS RCPTMAX=3 MAILMAX=2 OTHER=1")),
        "domain.example": smtp_peer.Peer(extensions=("PIPELINING", "LIMITS RCPTDOMAINMAX=1")),
        "refuse.example": smtp_peer.Peer({"BDAT": "552 5.3.4 too big for me"}, extensions=("PIPELINING", "CHUNKING")),
        "sender.example": smtp_peer.Peer({"MAIL": "550 5.1.8 not you"}, extensions=("PIPELINING", "CHUNKING")),
        "early.example": smtp_peer.Peer(extensions=("PIPELINING", "PIPECONNECT"), greeting_delay=0.3),
        "short.example": smtp_peer.Peer(),
    }
    peers["other.example"] = peers["domain.example"]
    site.write("hosts", "".join(f"{name}: 127.0.0.1::{peer.port}\n" for name, peer in peers.items()))
    site.write("transports", "none.example: plain\nearly.example: early\nshort.example: short\n")
    site.write("heddle.conf", site.text("", routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1h,1h\n"))
    site.start()

    # one message, in one piece, answered for each recipient
    peer = peers["all.example"]
    name = site.send("a@all.example", "choosy@all.example", "busy@all.example", "nobody@all.example", "b@all.example", sender="", body=BODY)
    site.wait_for_log(rf'{name} => a@all\.example R=out T=smtp H=127\.0\.0\.1 \[127\.0\.0\.1\] PRDR K C="250 OK taken"$')
    site.wait_for_log(rf"{name} -> b@all\.example R=out T=smtp .* PRDR K C=")
    site.wait_for_log(rf"{name} \*\* choosy@all\.example .*: SMTP error from remote mail server after end of data: 550 5\.7\.1 not for me$")
    site.wait_for_log(rf"{name} \*\* nobody@all\.example .*after RCPT TO:<nobody@all\.example>: 550 5\.1\.1 who$")
    site.wait_for_log(rf"{name} == busy@all\.example .*: 450 4\.2\.1 later$")
    (message,) = peer.messages
    equal((message.bdat, smtp_peer.addresses(message.rcpt)), (1, ["a@all.example", "b@all.example"]), "one BDAT, for those who want it")
    equal(message.body.decode("latin-1").replace("\r\n", "\n").partition("\n\n")[2], BODY, "dots are as they were")
    like(message.mail, r"^MAIL FROM:<> SIZE=\d+ PRDR$")

    # many pieces; without PIPELINING too
    for domain, pieces in (("all.example", peers["all.example"]), ("slow.example", peers["slow.example"])):
        before = len(pieces.messages)
        name = site.send(f"a@{domain}", body=BIG)
        site.wait_for_log(rf'{name} => a@{domain} .* K C="250 OK taken"$')
        message = pieces.messages[before]
        check(message.bdat > 3, f"{domain}: in {message.bdat} pieces")
        equal(message.body.decode("latin-1").replace("\r\n", "\n").partition("\n\n")[2], BIG, f"{domain}: whole")
    unlike(str(peers["all.example"].messages[-1].mail), "PRDR", "no PRDR for one recipient")

    # told not to
    name = site.send("a@none.example", "b@none.example", body=BODY)
    site.wait_for_log(rf'{name} => a@none\.example R=out T=plain H=127\.0\.0\.1 \[127\.0\.0\.1\] C="250 OK taken"$')
    (message,) = peers["none.example"].messages
    equal((message.bdat, message.mail), (0, "MAIL FROM:<sender@client.example>"), "neither BDAT nor PRDR nor SIZE")

    # RFC 9422
    name = site.send(*[f"r{i}@few.example" for i in range(8)])
    site.wait_for_log(rf"{name} Completed")
    peer = peers["few.example"]
    equal([len(m.rcpt) for m in peer.messages], [3, 3, 2], "RCPTMAX")
    equal(sorted(r for m in peer.messages for r in smtp_peer.addresses(m.rcpt)), [f"r{i}@few.example" for i in range(8)], "everybody, once")
    equal([sum(line.startswith("MAIL") for line, _ in s.commands) for s in peer.sessions], [2, 1], "MAILMAX")
    name = site.send("a@domain.example", "a@other.example", "b@domain.example")
    site.wait_for_log(rf"{name} Completed")
    equal(sorted(smtp_peer.addresses(m.rcpt) for m in peers["domain.example"].messages),
          [["a@domain.example", "b@domain.example"], ["a@other.example"]], "RCPTDOMAINMAX")

    # refusals in the middle
    name = site.send("a@refuse.example", body=BIG, sender="")
    site.wait_for_log(rf"{name} \*\* a@refuse\.example .*after sending data block: 552 5\.3\.4 too big for me")
    for body in (BODY, BIG):
        name = site.send("a@sender.example", body=body, sender="")
        site.wait_for_log(rf"{name} \*\* a@sender\.example .*after pipelined MAIL FROM:<>.*: 550 5\.1\.8 not you")
    name = site.send("nobody@all.example", "nobody2@all.example", body=BODY, sender="")
    site.wait_for_log(rf"{name} \*\* nobody2@all\.example")
    after = site.send("a@all.example", body=BODY)
    site.wait_for_log(rf"{after} => a@all\.example .* K ", "a message without recipients leaves no trace on the connection")
    equal(peers["all.example"].messages[-1].body.decode().replace("\r\n", "\n").partition("\n\n")[2], BODY, "and the next one is whole")

    # before the greeting, once it is known that this is welcome
    for i in range(3):
        name = site.send("a@early.example", body=BODY)
        site.wait_for_log(rf"{name} => a@early\.example")
    equal([s.early for s in peers["early.example"].sessions], [False, True, True], "EHLO comes early from the second time on")

    name = site.send("a@short.example", body="x" * 100 + "\n", sender="")
    site.wait_for_log(rf"{name} \*\* a@short\.example R=out T=short: message has lines too long for transport")
    equal(peers["short.example"].messages, [], "and it was not sent")
