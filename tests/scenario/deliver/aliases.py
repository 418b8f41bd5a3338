#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An alias file: several recipients, chains, :fail:, :blackhole:, :defer:, a loop, a file, a command, :include:."""
from heddle import Site, equal, like

ROUTERS = """aliases:
  driver = redirect
  domains = +local_domains
  allow_fail
  allow_defer
  data = ${lookup{$local_part}lsearch{DIR/aliases}}
  file_transport = to_file
  pipe_transport = to_pipe
inbox:
  driver = accept
  domains = +local_domains
  local_parts = alice : bob : carol
  transport = maildir
  cannot_route_message = Unknown user
"""
TRANSPORTS = """maildir:
  driver = appendfile
  maildir_format
  directory = DIR/mail/$local_part_data
to_file:
  driver = appendfile
to_pipe:
  driver = pipe
"""
ALIASES = """team: alice, bob,
   carol@test.example
boss: team
nobody: :blackhole:
gone: :fail: moved to another town
wait: :defer: come back later
circle: circle2, alice
circle2: circle
archive: DIR/mail/archive
script: "|/bin/sh -c 'cat > DIR/mail/script'"
list: :include:DIR/members
"""

with Site("qualify_domain = test.example\n", routers=ROUTERS, transports=TRANSPORTS) as site:
    site.write("aliases", ALIASES)
    site.write("members", "# a comment\nalice\nbob\n")
    boss = site.send("boss@test.example", "alice@test.example", subject="to the team")
    for name in ("alice", "bob", "carol"):
        like(site.maildir(name, 1)[0], "^Subject: to the team", f"{name} has one copy")
    site.wait_for_log(rf"{boss} => carol <boss@test\.example> R=inbox T=maildir")
    site.wait_for_log(rf"{boss} Completed")
    black = site.send("nobody@test.example")
    site.wait_for_log(rf"{black} => :blackhole: <nobody@test\.example> R=aliases")
    site.wait_for_log(rf"{black} Completed")
    gone = site.send("gone@test.example", sender="")
    site.wait_for_log(rf"{gone} \*\* gone@test\.example R=aliases: moved to another town")
    wait = site.send("wait@test.example")
    site.wait_for_log(rf"{wait} == wait@test\.example R=aliases defer \(-\d+\): come back later")
    site.send("circle@test.example", subject="round")
    like(site.maildir("alice", 2)[1], "^Subject: round", "a circle ends")
    archive = site.send("archive@test.example")
    site.wait_for_log(rf"{archive} => .*/mail/archive <archive@test\.example> R=aliases T=to_file")
    script = site.send("script@test.example", subject="to a command")
    site.wait_for_log(rf"{script} => .*<script@test\.example> R=aliases T=to_pipe")
    like(site.read("mail/script"), "^Subject: to a command")
    site.send("list@test.example")
    equal(len(site.maildir("bob", 2)), 2, "a list of members")
    unknown = site.send("dave@test.example", sender="")
    site.wait_for_log(rf"{unknown} \*\* dave@test\.example: Unknown user")
