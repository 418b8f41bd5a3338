#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""timezone, keep_environment and add_environment: what the log, dates, ${env} and commands see.  Nothing else is let through."""
import datetime
import zoneinfo

from heddle import Site, equal, like

MAIN = """timezone = Asia/Kathmandu
log_timezone
keep_environment = KEPT : ^ALSO : kept2
add_environment = ADDED=x : KEPT3=over:NOTHING
received_header_text = Received: by us
acl_smtp_data = data
"""
GIVEN = {"TZ": "America/New_York", "KEPT": "k", "ALSO_THIS": "a", "KEPT2": "case counts", "KEPT3": "under", "OTHER": "o"}
SEEN = "<${env{KEPT}}|${env{ALSO_THIS}}|${env{KEPT2}}|${env{KEPT3}}|${env{OTHER}}|${env{ADDED}}|${env{NOTHING}{yes}{no}}|${env{TZ}}>"
WANTED = "<k|a||over||x|no|Asia/Kathmandu>"
ACL = f"check_rcpt:\n  accept\ndata:\n  accept logwrite = sees {SEEN} $tod_zone $tod_log\n"
ROUTERS = "all:\n  driver = accept\n  transport = command\n"
TRANSPORTS = "command:\n  driver = pipe\n  command = DIR/show\n"

with Site(main=MAIN, acl=ACL, routers=ROUTERS, transports=TRANSPORTS, environment=GIVEN, start=False) as site:
    site.write("show", "#!/bin/sh\ncat > DIR/mail/message\nenv > DIR/mail/environment\ndate +%z >> DIR/mail/environment\n", 0o755)
    equal(site.cli("-be", "x " + SEEN + "$tod_zone").stdout.strip(), f"x {WANTED}+0545", "the command line")
    site.start()
    name = site.send("bob@test.example")
    line = site.wait_for_log(rf"(.*) {name} sees (<.*>) (\S+) (.*)$")
    equal(line.group(2), WANTED, "the daemon")
    equal(line.group(3), "+0545")
    now = datetime.datetime.now(zoneinfo.ZoneInfo("Asia/Kathmandu"))
    for stamp in (line.group(1), line.group(4) + " +0545"):
        at = datetime.datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S %z")
        equal(abs((now - at).total_seconds()) < 60, True, f"{stamp} is now")
    site.wait_for_log(rf"{name} Completed")
    like(site.read("mail/message"), r"^Received: by us;\n\t\w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0545$")
    like(site.read("mail/environment"), r"^TZ=Asia/Kathmandu$", "a command's own")
    like(site.read("mail/environment"), r"^\+0545$", "it is believed")
    equal("ADDED" in site.read("mail/environment"), False, "a command gets nothing else of these")
    site.stop()
    site.write("heddle.conf", site.text(MAIN.replace("timezone = Asia/Kathmandu\n", "", 1), acl=ACL, routers=ROUTERS, transports=TRANSPORTS))
    equal(site.cli("-be", "x ${env{TZ}{set}{unset}} $tod_zone").stdout.split()[1], "unset", "TZ does not come from outside")
