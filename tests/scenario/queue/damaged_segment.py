#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments that are damaged when the daemon starts: every message that is whole comes back, what is not is set aside and named
in the panic log, nothing else of it is lost, and mail goes on."""
import glob
import os
import re

from heddle import Site, check, equal, like, wait_for

with Site("queue_only\n", panics="") as site:
    ids = [[site.send("alice@test.example", subject=f"{run}-{n}", body=f"text of {run}-{n}\n" * 40) for n in range(10)] for run in range(1)]
    for run in range(1, 3):
        site.stop()
        site.start()
        ids.append([site.send("alice@test.example", subject=f"{run}-{n}", body=f"text of {run}-{n}\n" * 40) for n in range(10)])
    site.stop()
    segments = {run: path for path in sorted(glob.glob(site.path("spool/queue/*.seg"))) for run in range(3)
                if f"text of {run}-5".encode() in open(path, "rb").read()}
    equal(sorted(segments), [0, 1, 2], "each run has a segment of its own")

    def spoil(run, what):
        with open(segments[run], "r+b") as file:
            data = bytearray(file.read())
            what(data)
            file.seek(0)
            file.write(data)
            file.truncate(len(data))

    def flip(data):
        data[data.index(b"text of 0-4")] ^= 1

    def tear(data):  # the length of a record in the middle, and garbage over it
        at = data.index(b"text of 1-6") - 400
        data[at:at + 600] = os.urandom(600)

    def cut(data):
        del data[data.index(b"text of 2-9") + 20:]

    spoil(0, flip)
    spoil(1, tear)
    spoil(2, cut)
    for path in glob.glob(site.path("spool/queue/*.idx")):
        os.unlink(path)
    damaged = {ids[0][4], ids[2][9]}
    site.start()
    wait_for("the last segment has been read", lambda: ids[2][8] in site.cli("-bp").stdout)
    listing = site.cli("-bp").stdout
    missing = [name for run in ids for name in run if name not in listing]
    check(damaged <= set(missing), "what was damaged does not come back", missing)
    check(set(missing) - damaged <= set(ids[1][5:7]), "what is whole does", missing)
    check(missing and ids[1][9] in listing and ids[0][9] in listing, "what lies behind the damage too", listing)
    for run in (0, 1):
        like(site.paniclog(), os.path.basename(segments[run]), f"segment {run} is named in the panic log")
    fresh = site.send("bob@test.example")
    site.stop()
    site.start()
    wait_for("the last segment has been read", lambda: fresh in site.cli("-bp").stdout)
    listing = site.cli("-bp").stdout
    check(fresh in listing and ids[0][3] in listing, "the next start has the same messages", listing)
    equal(site.queued(), 31 - len(missing), "and as many")
    for name in [name for run in ids for name in run if name not in missing] + [fresh]:
        site.cli("-Mrm", name)
    equal(site.queued(), 0, "all of them can be removed")
    wait_for("a segment without messages goes", lambda: glob.glob(site.path("spool/queue/0*.bad")))
    for run, what in ((0, b"ext of 0-4"), (1, b"text of 1-9")):
        kept = segments[run][:-4] + ".bad"
        wait_for("a damaged segment is set aside", lambda kept=kept: os.path.exists(kept))
        check(os.path.exists(kept) and what in open(kept, "rb").read(), "what was damaged is kept for who wants to look", kept)
        named = os.path.basename(kept) + ".* set aside"  # which is written a moment after
        wait_for("the panic log says where", lambda named=named: re.search(named, site.paniclog()))
        like(site.paniclog(), named, "and the panic log says where")

with Site("queue_only\n", panics="cannot be read|damaged|not as it was written|lost") as site:
    whole, bad = site.send("alice@test.example", subject="whole"), site.send("alice@test.example", body="to be spoiled\n")
    site.stop()
    site.start()
    site.stop()  # sealed: what starts now reads the index beside it, not the bodies
    (path,) = [p for p in glob.glob(site.path("spool/queue/*.seg")) if b"to be spoiled" in open(p, "rb").read()]
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(data.index(b"to be spoiled"))
        file.write(b"T")
    site.start()
    site.wait_for_queue(2)
    site.cli("-M", bad)
    site.cli("-M", whole)
    site.wait_for_log(rf"{whole} Completed")
    wait_for("the panic log names the damaged message", lambda: bad in site.paniclog())
    site.wait_for_queue(0)
    equal(len(site.maildir("alice", 1)), 1, "the damaged one is not delivered as if it were whole")
