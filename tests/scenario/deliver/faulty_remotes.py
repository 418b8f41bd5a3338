#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remote servers that refuse for good, talk nonsense, stall or drop at each step: the message fails or waits as it should, and a
host further down the list gets it."""
from heddle import Site, equal, like
from peers import DROP, STALL, Sink

ROUTERS = """out:
  driver = manualroute
  route_data = 127.0.0.1::${extract{$local_part}{PORTS}}
  self = send
  transport = smtp
"""
TRANSPORTS = """smtp:
  driver = smtp
  allow_localhost
  connect_timeout = 2s
  command_timeout = 2s
  data_timeout = 2s
  final_timeout = 2s
"""
STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
FOR_GOOD = {"MAIL": "550 no such sender", "RCPT": "550 5.1.1 no such user", "DATA": "554 no", "END": "554 5.7.1 not this"}
FAULTS = {f"{step.lower()}{kind}": Sink({step: how}) for step in STEPS for kind, how in
          (("drop", DROP), ("stall", STALL), ("nonsense", "hello there"))}
FAULTS.update({f"{step.lower()}refuse": Sink({step: reply}) for step, reply in FOR_GOOD.items()})
PORTS = " ".join(f"{name}={sink.port}" for name, sink in FAULTS.items())

with Site(f"PORTS = {PORTS}\n", routers=ROUTERS, transports=TRANSPORTS, retry="* * F,1d,1h\n") as site:
    ids = {name: site.send(f"{name}@far.example", sender="") for name in FAULTS}
    for name, id in ids.items():
        if name.endswith("refuse"):
            said = FOR_GOOD[name[:-6].upper()]
            site.wait_for_log(rf"{id} \*\* {name}@far\.example R=out T=smtp .*: SMTP error from remote mail server after .*: {said}",
                              f"{name}: failed, with the server's words")
        else:
            site.wait_for_log(rf"{id} == {name}@far\.example R=out T=smtp.* defer \(", f"{name}: deferred")
    equal(site.queued(), len(FAULTS), "what is deferred is kept, and so is what failed and has no sender to tell")
    equal(site.cli("-bp").stdout.count("*** frozen ***"), len(FOR_GOOD), "but that is frozen")
    good = Sink()
    site.write("heddle.conf", site.text(routers=f"out:\n  driver = manualroute\n  route_list = * \"<+ 127.0.0.1:{FAULTS['connectdrop'].port}"
                                        f" + 127.0.0.1:{good.port}\"\n  self = send\n  transport = smtp\n",
                                        transports=TRANSPORTS))
    site.stop()
    site.start()
    id = site.send("x@far.example")
    site.wait_for_log(rf"{id} => x@far\.example .*H=127\.0\.0\.1 \[127\.0\.0\.1\]", "the next host takes it")
    equal(len(good.messages), 1)
