#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGHUP: a good configuration is in force for new sessions, a session keeps what it began with; a bad one changes nothing."""
import signal

from heddle import Site, equal, like, wait_for

def greeting(site):
    client = site.connect()
    client.close()
    return client.greeting

def conf(site, banner):
    return site.text(f"smtp_banner = {banner}\nqueue_only\nacl_smtp_vrfy = {banner}\n",
                     acl=f"check_rcpt:\n  accept\n{banner}:\n  deny message = I am {banner}\n")

with Site(panics="reload refused", start=False) as site:
    site.write("heddle.conf", conf(site, "one"))
    site.start()
    old = site.connect(helo="client.example")
    equal(old.greeting, "220 one")
    site.write("heddle.conf", conf(site, "two"))
    site.signal(signal.SIGHUP)
    site.wait_for_log("SIGHUP received: re-read the configuration")
    wait_for("the new banner", lambda: greeting(site) == "220 two")
    like(old.ask("VRFY x@test.example"), "I am one", "with what it began with")
    site.write("heddle.conf", conf(site, "three") + "begin nonsense\n")
    site.signal(signal.SIGHUP)
    wait_for("it is refused", lambda: "reload refused" in site.read("stderr") + site.paniclog())
    like(site.read("stderr"), r"heddle\.conf:\d+: .*nonsense", "with file and line")
    equal(greeting(site), "220 two", "and nothing has changed")
    site.write("heddle.conf", conf(site, "two"))
    site.send("alice@test.example")
    equal(site.queued(), 1)
    site.panics = "" if "reload refused" not in site.paniclog() else site.panics
