#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Too little space: 452 before a message is taken; when there is space again, mail goes on; nothing acknowledged is lost."""
import os

from disk import may_mount, mount, unmount
from heddle import Site, check, like, skip, wait_for

if not may_mount():
    skip("no small file system can be mounted here")
site = Site("queue_only\ncheck_spool_space = 4M\nmessage_size_limit = 20M\n", start=False)
spool = site.make_directory("spool")
mount(spool, "size=24m,mode=755")
site.own(spool)
try:
    with site:
        site.start()
        acknowledged = [site.send("alice@test.example")]
        filler = os.path.join(spool, "filler")
        free = os.statvfs(spool).f_bavail * os.statvfs(spool).f_frsize
        with open(filler, "wb") as out:
            out.write(b"x" * (free - (3 << 20)))
        client = site.connect(helo="client.example")
        def answers(wanted):  # what was measured is believed for a moment
            client.ask("RSET")
            return client.ask("MAIL FROM:<a@client.example>") == wanted
        check(wait_for("too little", lambda: answers("452 space shortage, please try later")), "below check_spool_space")
        os.truncate(filler, os.path.getsize(filler) - (3 << 20))
        check(wait_for("above it", lambda: answers("250 OK")), "above it")
        client.ask("RCPT TO:<alice@test.example>")
        client.ask("DATA")
        client.send("Subject: too large for what is left\r\n\r\n" + ("x" * 998 + "\r\n") * 9000)
        answer = client.ask(".")
        check(answer[:1] == "4", "a body that fills the disk: try later", answer)
        os.unlink(filler)
        acknowledged.append(site.send("bob@test.example"))
        site.stop()
        site.start()
        site.wait_for_queue(2)
        for name in acknowledged:
            like(site.cli("-bp").stdout, name, "what was acknowledged is there")
        site.panics = ""  # it may have cried for space
finally:
    unmount(spool)
