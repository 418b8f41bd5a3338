#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands: the message on standard input, variables in the environment and the arguments, every kind of exit; no shell."""
from heddle import Site, equal, like

TRANSPORTS = """command:
  driver = pipe
  command = DIR/$local_part_data.sh one "two words" $local_part_data@test.example
  path = /usr/bin:/bin
  timeout = 3s
  return_fail_output
"""
ROUTERS = "all:\n  driver = accept\n  local_parts = keep : fails : later : slow : loud : missing\n  transport = command\n"

with Site(routers=ROUTERS, transports=TRANSPORTS) as site:
    site.make_directory("out")
    def script(name, text):
        site.write(f"{name}.sh", "#!/bin/sh\n" + text, mode=0o755)
    script("keep", 'cat >DIR/out/message; printf "%s|" "$@" "$LOCAL_PART" "$SENDER" "$PATH" >DIR/out/words; id -u >DIR/out/uid\n')
    script("fails", "cat >/dev/null; echo 'no such thing; sorry'; exit 7\n")
    script("later", "exit 75\n")
    script("slow", "sleep 600\n")
    script("loud", "yes | head -c 10000000; exit 0\n")
    keep = site.send("keep@test.example", subject="for a command", body="$(touch DIR/out/shell) `x`\n")
    site.wait_for_log(rf"{keep} => keep <keep@test\.example> R=all T=command$")
    like(site.read("out/message"), r"^From sender@client\.example ") if site.read("out/message").startswith("From ") else None
    like(site.read("out/message"), r"^Subject: for a command\n")
    like(site.read("out/words"), r"^one\|two words\|keep@test\.example\|keep\|sender@client\.example\|/usr/bin:/bin\|$")
    fails = site.send("fails@test.example", sender="")
    site.wait_for_log(rf"{fails} \*\* fails@test\.example .*T=command: .*7")
    later = site.send("later@test.example")
    site.wait_for_log(rf"{later} == later@test\.example R=all T=command defer")
    loud = site.send("loud@test.example")
    site.wait_for_log(rf"{loud} (=>|\*\*|==) loud")
    missing = site.send("missing@test.example", sender="")
    site.wait_for_log(rf"{missing} (\*\*|==) missing@test\.example ")
    slow = site.send("slow@test.example", sender="")
    site.wait_for_log(rf"{slow} \*\* slow@test\.example .*(timeout|timed out)")
    equal(site.pids("heddle-kernel") != [], True, "the kernel has not noticed any of it")
