#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lmtp transport over a unix socket and to a command, and smtp's protocol = lmtp: an outcome for each recipient, whatever the
server does between them; batches; faults at each step defer and lose nothing."""
import smtp_peer
from heddle import IS_ROOT, Site, equal, like, unlike, wait_for
from peers import DROP, STALL

USERS = "  user = heddle\n" if IS_ROOT else ""
ROUTERS = """inbox:
  driver = accept
  domains = test.example : other.example
  transport = ${lookup{$local_part}lsearch*{DIR/transports}}
"""
STEPS = ("CONNECT", "LHLO", "MAIL", "RCPT", "DATA", "LMTP")
HOW = {"refuses": "550 5.7.1 no", "later": "451 later", "drops": DROP, "stalls": STALL, "babbles": "what?\1\2"}
COMMAND = r"""import sys
def say(text):
    sys.stdout.write(text + "\r\n")
    sys.stdout.flush()
say("220 here LMTP")
rcpt, out = [], open(sys.argv[1] + "/" + sys.argv[2], "a")
for line in iter(sys.stdin.readline, ""):
    word = line[:4].upper()
    out.write(line)
    if word == "LHLO":
        say("250-here\r\n250 SIZE")
    elif word == "RCPT":
        rcpt.append(line)
        say("250 OK")
    elif word == "DATA":
        say("354 go on")
        for line in iter(sys.stdin.readline, ""):
            if line.rstrip("\r\n") == ".":
                break
            out.write(line)
        out.flush()
        for r in rcpt:
            say("550 5.2.2 over quota" if "full" in r else "250 2.1.5 kept")
    else:
        say("250 OK")
    if word == "QUIT":
        break
"""
TRANSPORTS = """socket:
  driver = lmtp
  socket = DIR/lmtp/socket
  batch_max = 10
  ignore_quota
  return_path_add
{users}single:
  driver = lmtp
  socket = DIR/lmtp/$local_part_data
  batch_max = 10
{users}byid:
  driver = lmtp
  socket = DIR/lmtp/socket
  batch_max = 10
  batch_id = $domain
{users}command:
  driver = lmtp
  command = {python} DIR/server.py DIR/lmtp "said to it"
  batch_max = 10
  timeout = 10s
{users}away:
  driver = lmtp
  socket = DIR/lmtp/nosuch
{users}tcp:
  driver = smtp
  protocol = lmtp
  hosts = 127.0.0.1
  port = {port}
  allow_localhost
  lmtp_ignore_quota
"""
FAULT = """{name}:
  driver = lmtp
  socket = DIR/lmtp/{name}
  timeout = 1s
  batch_max = 10
{users}"""

def verdict(line):
    return "550 5.1.1 who" if "nobody" in line else "450 4.2.1 later" if "later" in line else "250 2.1.5 fine"


def at_end(line):
    return "552 5.2.2 full" if "full" in line else "450 4.2.1 busy" if "busy" in line else "250 2.1.5 kept"


with Site("domainlist more_domains = other.example\n", start=False, panics="") as site:
    site.make_directory("lmtp")
    site.write("server.py", COMMAND)
    peer = smtp_peer.Peer({"RCPT": verdict, "LMTP": at_end}, extensions=("PIPELINING", "SIZE", "8BITMIME", "IGNOREQUOTA"), lmtp=True,
                          path=site.path("lmtp/socket"))
    tcp = smtp_peer.Peer({"RCPT": verdict, "LMTP": at_end}, extensions=("PIPELINING", "IGNOREQUOTA"), lmtp=True)
    faults = {f"{step}{how}".lower(): smtp_peer.Peer({step: reply}, lmtp=True, path=site.path(f"lmtp/{step}{how}".lower()))
              for step in STEPS for how, reply in HOW.items()}
    faults["dying"] = smtp_peer.Peer({"LMTP": ["250 kept", DROP]}, lmtp=True, path=site.path("lmtp/dying"))
    names = "".join(f"{name}: {name}\n" for name in list(faults) + ["command", "commandfull", "away", "tcp", "tcpfull", "byid", "byid2", "dying2"])
    names = names.replace("commandfull: commandfull", "commandfull: command").replace("tcpfull: tcpfull", "tcpfull: tcp")
    site.write("transports", names.replace("byid2: byid2", "byid2: byid").replace("dying2: dying2", "dying2: dying") + "*: socket\n")
    words = {"users": USERS, "python": "/usr/bin/python3", "port": tcp.port}
    site.write("heddle.conf", site.text("", routers=ROUTERS, retry="* * F,1h,1h\n", transports=TRANSPORTS.format(**words) + "".join(
        FAULT.format(name=name, **words) for name in faults)).replace("local_domains = test.example", "local_domains = test.example : other.example"))
    site.start()

    everyone = [f"{name}@test.example" for name in ("a", "b", "nobody", "later", "full", "busy", "c")]
    name = site.send(*everyone, sender="", body=".dot\nend\n")
    site.wait_for_log(rf'{name} => a <a@test\.example> R=inbox T=socket C="250 2\.1\.5 kept"$')
    site.wait_for_log(rf'{name} -> c <c@test\.example> R=inbox T=socket C="250 2\.1\.5 kept"$')
    site.wait_for_log(rf"{name} \*\* nobody@test\.example R=inbox T=socket: LMTP error after RCPT TO:<nobody@test\.example>.*: 550 5\.1\.1 who")
    site.wait_for_log(rf"{name} \*\* full@test\.example R=inbox T=socket: LMTP error after end of data: 552 5\.2\.2 full")
    site.wait_for_log(rf"{name} == later@test\.example R=inbox T=socket defer .*: LMTP error after RCPT TO:.*: 450 4\.2\.1 later")
    site.wait_for_log(rf"{name} == busy@test\.example R=inbox T=socket defer .*: LMTP error after end of data: 450 4\.2\.1 busy")
    equal(len(peer.sessions), 1, "all in one session")
    (message,) = peer.messages
    equal(smtp_peer.addresses(message.rcpt), ["a@test.example", "b@test.example", "c@test.example"], "who has it")
    like(message.rcpt[0], " IGNOREQUOTA$")
    like(message.body.decode(), r"^Return-path: <>\r\n[\s\S]*\r\n\r\n\.dot\r\nend\r\n$", "the message, dots as they were")
    site.send("byid@test.example", "byid2@test.example", "byid@other.example")
    wait_for("both batches have come", lambda: len(peer.messages) >= 3)
    equal(sorted(len(m.rcpt) for m in peer.messages[1:]), [1, 2], "batch_id keeps domains apart")

    name = site.send("command@test.example", "commandfull@test.example", sender="")
    site.wait_for_log(rf'{name} => command <command@test\.example> R=inbox T=command C="250 2\.1\.5 kept"$')
    site.wait_for_log(rf"{name} \*\* commandfull@test\.example R=inbox T=command: LMTP error after end of data: 550 5\.2\.2 over quota")
    like(site.read("lmtp/said to it"), r"^LHLO mx\.test\.example\s+MAIL FROM:<> SIZE=\d+\s+RCPT TO:<command@test\.example>\s+RCPT TO:<commandfull@", "what the command heard")

    name = site.send("away@test.example", sender="")
    site.wait_for_log(rf"{name} == away@test\.example R=inbox T=away defer .*: failed to connect to socket .*nosuch .*: No such file or directory")

    name = site.send("tcp@test.example", "tcpfull@test.example", sender="")
    site.wait_for_log(rf'{name} => tcp@test\.example R=inbox T=tcp H=127\.0\.0\.1 \[127\.0\.0\.1\] C="250 2\.1\.5 kept"$')
    site.wait_for_log(rf"{name} \*\* tcpfull@test\.example R=inbox T=tcp H=.*: 552 5\.2\.2 full")
    like(str(tcp.messages[0].rcpt), "IGNOREQUOTA", "lmtp_ignore_quota")

    sent = {fault: site.send(f"{fault}@test.example", sender="") for fault in faults if fault != "dying"}
    for fault, name in sent.items():
        sign = r"\*\*" if fault.endswith("refuses") else "=="
        site.wait_for_log(rf"{name} {sign} {fault}@test\.example R=inbox T={fault}", f"{fault}: {'failed' if sign != '==' else 'deferred'}")
    equal([fault for fault, p in faults.items() if p.messages], [], "nothing was taken")
    # it dies between the answers: what was said stands
    name = site.send("dying@test.example", "dying2@test.example", sender="")
    site.wait_for_log(rf"{name} => dying <dying@test\.example> R=inbox T=dying")
    site.wait_for_log(rf"{name} == dying2@test\.example R=inbox T=dying defer .*: LMTP connection closed after end of data")
    unlike(site.mainlog(), r"=> (?:connect|lhlo|mail|rcpt|data)")
