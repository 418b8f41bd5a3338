#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""control = debug: what ACLs do goes to a log of its own beside the main log, for this session alone; a selector whose feature is
not here is warned of, and an unknown one refused."""
import os

from heddle import Site, check, equal, like, unlike

ACL = """check_rcpt:
  accept local_parts = alice
  warn local_parts = bob
       control = debug/opts=-all+acl/tag=.$sender_host_address
  warn local_parts = carol
       control = debug/kill
  accept
"""

with Site("log_selector = +dkim_verbose +arguments\n", acl=ACL) as site:
    folder = site.path("spool/log")

    def debug_logs():
        return sorted(name for name in os.listdir(folder) if name.startswith("debug"))

    like(site.mainlog(), r"Warning: .*log_selector: \+dkim_verbose: it says nothing")
    like(site.mainlog(), r"Warning: .*log_selector: \+arguments: it says nothing")
    client, other = site.connect(helo="client.example"), site.connect(helo="other.example")
    client.ask("MAIL FROM:<a@client.example>")
    client.ask("RCPT TO:<alice@test.example>")
    equal(debug_logs(), [], "nothing is written before it is asked for")
    equal(client.code("RCPT TO:<bob@test.example>"), "250")
    equal(debug_logs(), ["debuglog.127.0.0.1"], "the tag is the end of the name")
    text = site.read("spool/log/debuglog.127.0.0.1")
    like(text, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \d+ processing \"warn\" \(")
    like(text, r'end of ACL "check_rcpt": ACCEPT$')
    unlike(text, "check local_parts = alice", "only from then on")
    other.ask("MAIL FROM:<b@client.example>")
    other.ask("RCPT TO:<alice@test.example>")
    equal(site.read("spool/log/debuglog.127.0.0.1"), text, "another session is not in it")
    client.ask("RCPT TO:<alice@test.example>")
    check(len(site.read("spool/log/debuglog.127.0.0.1")) > len(text), "it goes on for the session")
    equal(client.code("RCPT TO:<carol@test.example>"), "250")
    equal(debug_logs(), [], "kill removes the file")
    site.write("bad.conf", site.text("log_selector = +nonsense\n"))
    like(site._run("heddle", "-C", site.path("bad.conf"), "-bV").stderr, r"unknown log_selector setting: \+nonsense")
    site.write("bad.conf", site.text(acl="check_rcpt:\n  accept control = debug/tag=../x\n"))
    like(site._run("heddle", "-C", site.path("bad.conf"), "-bV").stderr, r'unknown option "x" in "control=debug"|unknown option "\.\."|cannot be the end')
    site.write("bad.conf", site.text(acl="check_rcpt:\n  accept control = debug/pretrigger=100\n"))
    like(site._run("heddle", "-C", site.path("bad.conf"), "-bV").stderr, "not supported yet: control = debug/pretrigger")
