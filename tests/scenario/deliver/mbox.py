#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for one mbox from many sessions at once: each whole, From lines escaped, nothing torn; a symlink is refused."""
import os
import re
import threading

from heddle import Site, check, equal, like, wait_for

TRANSPORTS = """mbox:
  driver = appendfile
  file = DIR/mail/$local_part_data
  delivery_date_add
  envelope_to_add
  return_path_add
"""
ROUTERS = """inbox:
  driver = accept
  local_parts = alice : link
  transport = mbox
"""
BODY = "From the beginning\n" + "text\n" * 2000 + "the end of {}\n"

with Site(routers=ROUTERS, transports=TRANSPORTS, panics="") as site:
    os.symlink(site.path("elsewhere"), site.path("mail/link"))
    threads = [threading.Thread(target=site.send, args=("alice@test.example",), kwargs={"body": BODY.format(n)}) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for("all are delivered", lambda: site.mainlog().count("=> alice") >= 12)
    text = site.read("mail/alice")
    equal(len(re.findall(r"^From sender@client\.example \w\w\w \w\w\w [ \d]\d \d\d:\d\d:\d\d \d{4}$", text, re.M)), 12, "12 From lines")
    equal(text.count("\n>From the beginning\n"), 12, "a body line that begins with From is escaped")
    equal(sorted(int(n) for n in re.findall(r"^the end of (\d+)\n\n", text, re.M)), list(range(12)), "each is whole")
    check(text.endswith("\n\n"), "an empty line ends each")
    like(text, r"^Return-path: <sender@client\.example>\nEnvelope-to: alice@test\.example\nDelivery-date: ")
    equal(oct(os.stat(site.path("mail/alice")).st_mode & 0o777), "0o600")
    name = site.send("link@test.example")
    site.wait_for_log(rf"{name} == link@test\.example .*T=mbox defer")
    check(not os.path.exists(site.path("elsewhere")), "nothing went through the symlink")
