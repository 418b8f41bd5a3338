#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate: by the server name that the client asks for; renewed ones without a restart; and files that are wrong are refused
when the configuration is loaded, while what was there goes on."""
import os
import shutil
import signal
import subprocess
import time

import pki
from heddle import Site, check, equal, like, wait_for
from tls_client import V12, context, message, starttls

BY_NAME = """tls_certificate = ${{if eq{{$tls_in_sni}}{{other.example}}{{{other}}}{{{server}}}}}
queue_only
"""
TAINTED = "tls_certificate = DIR/pki/$tls_in_sni.pem\n"


def serial(client):
    """Of the certificate that the server has shown."""
    der = client.sock.getpeercert(binary_form=True) if not client.trouble else b""
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-serial"], input=der, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=30, check=False)
    return int(done.stdout.decode().strip().partition("=")[2] or "-1", 16)


def shown(site, name=None):
    client = starttls(site, context(version=V12), name=name)
    number = serial(client)
    client.close()
    return number


with Site(start=False) as site:
    ca = pki.Authority(site.path("pki"))
    server, other = (site.own(ca.issue(name)) for name in ("server", "other"))  # serials 2 and 3
    site.write("heddle.conf", site.text(BY_NAME.format(server=server, other=other)))
    site.start()
    equal([shown(site), shown(site, "other.example"), shown(site, "nobody.example")], [2, 3, 2], "the name chooses")

with Site(start=False, panics="") as site:
    ca = pki.Authority(site.path("pki"))
    server = site.own(ca.issue("server"))
    site.write("heddle.conf", site.text(TAINTED))
    site.start()
    client = site.connect(helo="client.example")
    equal(client.ask("STARTTLS"), "454 TLS currently unavailable", "without a name there is no such file")
    site.wait_for_log(r"TLS error on connection from \(client\.example\) \[127\.0\.0\.1\] \(cert/key setup\): .*pki/\.pem")
    like(client.ask("EHLO client.example"), "^250-", "and the session goes on")

with Site(start=False, panics="") as site:
    ca = pki.Authority(site.path("pki"))
    server = site.own(ca.issue("server"))
    crt, key = site.path("pki/server.crt"), site.path("pki/server.key")
    os.chmod(crt, 0o644)
    site.own(key)
    separate = f"tls_certificate = {crt}\ntls_privatekey = {key}\nqueue_only\n"
    site.write("heddle.conf", site.text(separate))
    site.start()
    equal(shown(site), 2)
    check("tls_privatekey = " in site.cli("-bP", "tls_privatekey").stdout, "-bP shows the setting")

    # renewed: no signal is needed
    old_crt, old_key = (open(path, "rb").read() for path in (crt, key))
    ca.issue("server")
    os.chmod(crt, 0o644)
    site.own(key)
    wait_for("a renewed certificate is used", lambda: shown(site) == 3)

    # spoiled: the old one goes on, and a reload is refused
    with open(key, "w", encoding="ascii") as out:
        out.write("this is no key\n")
    time.sleep(1.1)
    equal([shown(site), shown(site)], [3, 3], "a key that has gone bad: the old one goes on")
    site.wait_for_log(r"TLS: .*server\.key.*going on with what was loaded before")
    site.signal(signal.SIGHUP)
    site.wait_for_log(r"server\.key", "the reload says which file is wrong")
    equal(shown(site), 3, "and the old configuration goes on")
    with open(key, "wb") as out:
        out.write(old_key)  # of another certificate
    time.sleep(1.1)
    equal(shown(site), 3, "a key of another certificate")
    with open(crt, "wb") as out:
        out.write(old_crt)
    wait_for("a pair that fits again", lambda: shown(site) == 2)
    site.stop()

    # refused from the start
    for name, change in (("a key of another certificate", lambda: shutil.copy(ca.issue("another"), key)),
                         ("no key", lambda: os.remove(key)), ("no certificate", lambda: os.remove(crt))):
        change()
        site.start(wait=False)
        check(site.process.wait(30) != 0, f"{name}: the daemon does not start")
        site.process = None
        like(site.read("stderr"), r"server\.(key|crt)", f"{name}: and says which file it is")
        open(site.path("stderr"), "w", encoding="ascii").close()
