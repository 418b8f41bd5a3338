#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue's disk is full while deliveries end: what cannot be recorded waits for room, whatever asks for another attempt
meanwhile; after that, and after a crash, nobody has got anything twice, and the sender is told once."""
import os
import re

from disk import may_mount, mount, unmount
from heddle import Site, equal, skip, wait_for

ROUTERS = """list:
  driver = redirect
  domains = +local_domains
  local_parts = list
  data = alice@test.example, bob@test.example, later@test.example
refuse:
  driver = redirect
  local_parts = nobody
  allow_fail
  data = :fail: nobody is here
later:
  driver = redirect
  local_parts = later
  allow_defer
  data = :defer: some other time
keep:
  driver = accept
  local_parts = alice : bob : carol : dave
  transport = take
back:
  driver = accept
  transport = back
"""
TRANSPORTS = """take:
  driver = pipe
  command = /bin/sh DIR/take.sh $local_part_data
  path = /usr/bin:/bin
back:
  driver = appendfile
  file = DIR/mail/bounces
"""
RETRY = "* * F,1h,1h\n"
TAKE = """cat >/dev/null
touch DIR/mail/begun-$1
while ! test -e DIR/mail/go; do sleep 0.05; done
echo $1 >>DIR/mail/taken
"""

if not may_mount():
    skip("no small file system can be mounted here")
site = Site("check_spool_space = 0\ncheck_spool_inodes = 0\n", start=False, routers=ROUTERS, transports=TRANSPORTS, retry=RETRY, panics="could not be recorded|could not be queued")
site.write("take.sh", TAKE)
queue = site.make_directory("spool/queue")
site.own(site.path("spool"))
mount(queue, "size=4m,mode=750")
site.own(queue)
try:
    with site:
        site.start()
        other = site.send("later@test.example")
        site.wait_for_log(rf"{other} == later@test\.example")
        names = [site.send("list@test.example"), site.send("carol@test.example", "nobody@test.example"), site.send("dave@test.example")]
        wait_for("all are in delivery", lambda: all(os.path.exists(site.path(f"mail/begun-{who}")) for who in ("alice", "carol", "dave")))
        with open(os.path.join(queue, "filler"), "wb", buffering=0) as out:
            try:
                while True:
                    out.write(b"x" * 4096)
            except OSError:
                pass
        client, edits = site.connect(helo="client.example"), ["-Mf", "-Mt"]
        def refused():  # what the active segment has room for
            client.send("MAIL FROM:<>\r\nRCPT TO:<later@test.example>\r\nDATA\r\n")
            for _ in range(3):
                client.reply()
            return client.ask("Subject: x\r\n\r\n" + "x" * 900 + "\r\n.")[:1] == "4"
        wait_for("no message fits", refused, 60)
        def no_more():  # down to the last hundred bytes
            edits.reverse()
            return "write the queue" in site.cli(edits[0], other).stdout
        wait_for("nothing fits", no_more, 60)
        site.write("mail/go", "")
        wait_for("it is said", lambda: site.paniclog().count("could not be") >= 3)
        for _ in range(3):
            site.cli("-qff")
            for name in names:
                site.ctl("queue", "deliver", name)  # -M would wait for what cannot be recorded
        equal(sorted(site.read("mail/taken").split()), ["alice", "carol", "dave"], "nothing is delivered again, nor more of the same message")
        equal(site.read("mail/bounces"), "", "nor is anything told that is not on record")
        os.unlink(os.path.join(queue, "filler"))
        site.wait_for_log(rf"{names[2]} Completed", "with room again what was done is recorded")
        site.wait_for_log(rf"{names[1]} Completed")
        site.wait_for_log(rf"{names[0]} => bob ", "and the rest of a list gets it")
        wait_for("all is taken", lambda: len(site.read("mail/taken").split()) == 4)
        wait_for("the sender is told", lambda: site.read("mail/bounces"))
        site.stop()
        site.start()
        tried = rf"(?s){names[0]} == later@test\.example.*daemon started.*{names[0]} == later@test\.example"
        wait_for("what was queued is read, and tried", lambda: site.cli("-qff") and re.search(tried, site.mainlog()))
        site.wait_for_log(tried, "tried again after a restart")
        site.stop()
        equal(sorted(site.read("mail/taken").split()), ["alice", "bob", "carol", "dave"], "each got it once")
        equal(site.read("mail/bounces").count("\nX-Failed-Recipients: nobody@test.example"), 1, "the sender was told once")
finally:
    unmount(queue)
