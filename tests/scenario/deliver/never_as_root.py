#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the configuration says, no delivery acts as root: master refuses, the message waits, and no file appears."""
import os

from heddle import IS_ROOT, Site, equal, skip

if not IS_ROOT:
    skip("only master started by root could act as root")

TRANSPORTS = """asroot:
  driver = appendfile
  file = DIR/out/$local_part_data
  user = root
asnumber:
  driver = appendfile
  file = DIR/out/$local_part_data
  user = 0
command:
  driver = pipe
  command = /usr/bin/touch DIR/out/touched
  user = root
"""
ROUTERS = """byname:
  driver = accept
  local_parts = name
  transport = asroot
bynumber:
  driver = accept
  local_parts = number
  transport = asnumber
command:
  driver = accept
  local_parts = command
  transport = command
"""

with Site(routers=ROUTERS, transports=TRANSPORTS) as site:
    site.make_directory("out")
    os.chmod(site.path("out"), 0o777)
    for who in ("name", "number", "command"):
        name = site.send(f"{who}@test.example")
        site.wait_for_log(rf"{name} == {who}(@test\.example)? .*defer .*root is in never_users|{name} == {who}.*never_users list")
    equal(os.listdir(site.path("out")), [], "nothing was written")
