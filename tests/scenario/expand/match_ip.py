#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookups in the list of match_ip are about the address, with net- and without; address literals with a tag; as exim4 has them."""
import subprocess

import packages
from heddle import Site, equal, skip

PROGRAM, PLACE = packages.program("exim4", "exim4-daemon-light")
if PROGRAM is None:
    skip(PLACE)
TEXTS = [f"${{if match_ip{{{address}}}{{{item};FILE}}{{y}}{{n}}}}" for address in ("192.168.1.1", "10.1.1.1", "10.1.1.2", "2001:db8::1")
         for item in ("iplsearch", "net-iplsearch", "lsearch", "net-lsearch", "net24-lsearch", "*@lsearch"[2:])]
with Site() as site:
    with open(site.path("ip"), "w", encoding="utf-8") as out:
        out.write('10.1.1.1: y\n192.168.0.0/16: z\n"2001:db8::/32": w\n10.1.1.0/24: v\n')
    with open(site.path("exim.conf"), "w", encoding="utf-8") as out:
        out.write("keep_environment =\n")
    for text in TEXTS:
        text = text.replace("FILE", site.path("ip"))
        wanted = subprocess.run([PROGRAM, "-C", site.path("exim.conf"), "-be", text], capture_output=True, encoding="utf-8", env=PLACE, check=False)
        equal(site.cli("-be", text).stdout, wanted.stdout, text)
