#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""gnutls-cli, a TLS client that is not OpenSSL's: STARTTLS in both versions and TLS at once, with and without a certificate of its
own, which authenticates it by EXTERNAL; it holds our certificate and our name to be right, and stops at a wrong one."""
import re
import socket
import subprocess
import threading

import heddle
import packages
import pki
from heddle import Site, check, equal, like, skip, unlike
from sasl_peer import b64

PROGRAM, ENVIRONMENT = packages.program("gnutls-cli", "gnutls-bin")
if PROGRAM is None:
    skip(ENVIRONMENT)
with socket.create_server(("127.0.0.1", 0)) as probe, socket.create_server(("127.0.0.1", 0)) as other_probe:
    PORT, UNASKED = probe.getsockname()[1], other_probe.getsockname()[1]  # at UNASKED it is not asked for its certificate
heddle.MAIN = heddle.MAIN.replace("daemon_smtp_ports = 0", f"daemon_smtp_ports = 0 : {PORT} : {UNASKED}")
MAIN = f"""tls_on_connect_ports = {PORT} : {UNASKED}
tls_certificate = DIR/pki/rsa.pem : DIR/pki/ecdsa.pem
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = ${{if eq{{$received_port}}{{{UNASKED}}}{{}}{{*}}}}
tls_resumption_hosts = *
log_selector = +tls_peerdn +tls_sni
queue_only
"""
AUTH = """ext:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${certextract {subj_altname,mail,>:} {$tls_in_peercert}}
  server_condition = ${if forany {$auth2} {eq {$item}{$auth1}}}
  server_set_id = $auth1
"""
USER = "user@test.example"
VERSIONS = {"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3"}
OTHERS = {  # what else it may want: the version and the cipher's name in the log
    "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-RSA": r"TLS1\.2:ECDHE-RSA-",
    "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+CHACHA20-POLY1305": r"TLS1\.2:ECDHE-ECDSA-CHACHA20-POLY1305",
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM": r"TLS1\.3:TLS_AES_128_GCM_SHA256",
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1": r"TLS1\.3:",
    "SECURE128": r"TLS1\.[23]:",
    "PFS": r"TLS1\.[23]:",
}
REFUSED = ("NORMAL:-VERS-ALL:+VERS-TLS1.1", "NORMAL:-VERS-ALL:+VERS-TLS1.0:%ALLOW_SMALL_RECORDS", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA",
           "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ANON-ECDH", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+NULL",
           "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC")


class Cli:
    """One run; said is all that it printed so far."""

    def __init__(self, site, *words, priority="NORMAL", at_once=None):
        way = [] if at_once else ["--starttls-proto=smtp"]
        # it reads into a buffer but looks for input with select: a record each, so that no line waits in that buffer
        self.stdin, stdin = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [PROGRAM, *way, "--crlf", f"--x509cafile={ca.pem}", f"--priority={priority}", *words, "-p", str(at_once or site.port), "localhost"],
            env=ENVIRONMENT, cwd=site.dir, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        stdin.close()
        self.said, self.at_once = "", at_once
        self.timer = threading.Timer(heddle.PATIENCE, self.process.kill)
        self.timer.start()

    def until(self, regex):
        """Read on; did it say so?"""
        while not re.search(regex, self.said, re.M):
            line = self.process.stdout.readline().decode("latin-1")
            if not line:
                return False
            self.said += line
        return True

    def ask(self, *lines, code="250"):
        """The answer; "" when it has another code or none."""
        before, self.said = self.said, ""
        try:
            for line in lines:
                self.stdin.send(f"{line}\n".encode("latin-1"))
        except OSError:
            return ""
        good = self.until(r"^\d{3} ")
        answer, self.said = self.said, before + self.said
        return answer if good and re.search(rf"^{code} ", answer, re.M) else ""

    def close(self):
        self.stdin.close()
        self.said += self.process.stdout.read().decode("latin-1")
        self.timer.cancel()
        return self.process.wait(30)

    def greeted(self):
        return self.until("^220 " if self.at_once else "^- Handshake was completed")

    def message(self, sender, *, auth=None):
        """The whole of a session; the message's id, or what it said."""
        if not self.greeted():
            self.close()
            return self.said
        offered = self.ask("EHLO client.example")
        check(("AUTH" in offered) == bool(auth), f"EXTERNAL is {'' if auth else 'not '}offered", self.said)
        if auth and not self.ask(f"AUTH EXTERNAL {b64(auth)}", code="235"):
            self.close()
            return self.said
        for line, code in ((f"MAIL FROM:<{sender}>", "250"), ("RCPT TO:<alice@test.example>", "250"), ("DATA", "354")):
            self.ask(line, code=code)
        answer = self.ask("Subject: x", "", "body", ".")
        self.ask("QUIT", code="221")
        self.close()
        found = re.search(r"^250 OK id=(\S+)", answer, re.M)
        return found.group(1) if found else self.said


with Site(MAIN, authenticators=AUTH, start=False) as site:
    ca, stranger = pki.Authority(site.path("pki")), pki.Authority(site.path("pki"), "stranger")
    for kind in ("rsa", "ecdsa"):
        site.own(ca.issue(kind, ["localhost"], rsa=kind == "rsa"))
    ca.issue("user", [f"email:{USER}"], usage="clientAuth")
    stranger.issue("alien", [f"email:{USER}"], usage="clientAuth")
    def shown(name):
        return [f"--x509{part}file={site.path('pki')}/{name}.{suffix}" for part, suffix in (("cert", "crt"), ("key", "key"))]

    site.start()
    for version, priority in VERSIONS.items():
        x = rf"X=TLS{re.escape(version)}:\S+:(?:128|256)"
        for at_once in (None, PORT):
            what = f"{version}{' at once' if at_once else ''}"
            cli = Cli(site, priority=priority, at_once=at_once)
            identity = cli.message("plain@client.example")
            like(cli.said, "^- Status: The certificate is trusted", f"{what}: it trusts us")
            like(site.mainlog(), rf"^\S+ \S+ {re.escape(identity)} <= plain@client\.example .* P=esmtps {x} CV=no SNI=localhost ", f"{what}: without a certificate")
            cli = Cli(site, *shown("user"), priority=priority, at_once=at_once)
            identity = cli.message("auth@client.example", auth=USER)
            like(site.mainlog(), rf'^\S+ \S+ {re.escape(identity)} <= auth@client\.example .* P=esmtpsa {x} CV=yes DN="O=Test,CN=user" SNI=localhost A=ext:{USER} ',
                 f"{what}: with one, by EXTERNAL")
        cli = Cli(site, *shown("user"), priority=priority)
        cli.greeted()
        cli.ask("EHLO client.example")
        check(cli.ask(f"AUTH EXTERNAL {b64('other@test.example')}", code="535"), f"{version}: the name of another is refused", cli.said)
        cli.close()
        cli = Cli(site, *shown("alien"), priority=priority)
        identity = cli.message("alien@client.example")
        like(site.mainlog(), rf"^\S+ \S+ {re.escape(identity)} <= alien@client\.example .* {x} CV=no ", f"{version}: a certificate of another authority")
        # it comes back with its session
        cli = Cli(site, "--resume", priority=priority, at_once=UNASKED)
        cli.greeted()
        like(cli.said, "This is a resumed session", f"{version}: a session is taken up again")
        cli.close()
    for priority, logged in OTHERS.items():
        identity = Cli(site, priority=priority).message("other@client.example")
        like(site.mainlog(), rf"^\S+ \S+ {re.escape(identity)} <= other@client\.example .* X={logged}", priority)
    taken = len(re.findall(" <= ", site.mainlog()))
    for priority in REFUSED:
        cli = Cli(site, priority=priority)
        check(cli.close() != 0, f"{priority} comes to nothing", cli.said)
        unlike(cli.said, "Handshake was completed", f"{priority}: no handshake")
    cli = Cli(site, "--sni-hostname=wrong.example", "--verify-hostname=wrong.example")
    check(cli.close() != 0, "it stops where the name is wrong", cli.said)
    like(cli.said, "The name in the certificate does not match the expected", "and says so")
    equal(len(re.findall(" <= ", site.mainlog())), taken, "nothing more was taken")
