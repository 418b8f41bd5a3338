#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""sslscan finds nothing weak, neither after STARTTLS nor where TLS begins at once: only TLS 1.2 and 1.3, only AEAD with forward
secrecy, no weak group or signature, no renegotiation, compression or Heartbleed.

For TLS 1.2 it offers more suites in a ClientHello than wolfSSL has room for (150), and holds no answer to mean that the version
is not spoken.  So it is also asked through a relay that offers such a list in parts, each over a connection of its own, until
one is answered: every suite is still offered."""
import socket
import struct
import subprocess
import threading
import time
import xml.etree.ElementTree

import heddle
import packages
import pki
from heddle import Site, check, equal, skip, unlike

PROGRAM, ENVIRONMENT = packages.program("sslscan", "sslscan")
if PROGRAM is None:
    skip(ENVIRONMENT)
with socket.create_server(("127.0.0.1", 0)) as probe:
    PORT = probe.getsockname()[1]
heddle.MAIN = heddle.MAIN.replace("daemon_smtp_ports = 0", f"daemon_smtp_ports = 0 : {PORT}")
MAIN = f"""tls_on_connect_ports = {PORT}
tls_certificate = {{certificates}}
tls_resumption_hosts = *
smtp_accept_max = 1000
queue_only
"""
ROOM = 100  # suites in a part
GROUPS = {"x25519", "secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)"}
STRONG = {"TLSv1.3": {"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"},
          "TLSv1.2": {f"ECDHE-{key}-{cipher}" for key in ("RSA", "ECDSA")
                      for cipher in ("CHACHA20-POLY1305", "AES128-GCM-SHA256", "AES256-GCM-SHA384")}}


def parts(record):
    """A ClientHello, with its suites a part at a time; itself when they are few."""
    head, at = record[:5], 5 + 4 + 2 + 32
    if len(record) < at or head[0] != 22 or record[5] != 1:
        return [record]
    at += 1 + record[at]
    size, = struct.unpack_from(">H", record, at)
    suites, before, after = record[at + 2:at + 2 + size], record[9:at], record[at + 2 + size:]
    if size <= 2 * ROOM:
        return [record]
    made = []
    for start in range(0, size, 2 * ROOM):
        some = suites[start:start + 2 * ROOM]
        body = before + struct.pack(">H", len(some)) + some + after
        made.append(head[:3] + struct.pack(">HB", len(body) + 4, 1) + struct.pack(">I", len(body))[1:] + body)
    return made


def first_answer(records):
    """The server's answer to the first of them that it does not refuse, and that connection."""
    for record in records:
        upstream = socket.create_connection(("127.0.0.1", PORT))
        upstream.sendall(record)
        try:
            answer = upstream.recv(65536)
        except OSError:
            answer = b""
        if answer[:1] == b"\x16" or record is records[-1]:
            return answer, upstream
        upstream.close()
    return b"", None


def pump(source, target):
    try:
        while True:
            piece = source.recv(65536)
            if not piece:
                break
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def relay(client):
    try:
        record = client.recv(65536)
        while record[:1] == b"\x16" and len(record) < 5 + struct.unpack(">H", record[3:5])[0]:
            record += client.recv(65536)
        answer, upstream = first_answer(parts(record))
        client.sendall(answer)
        threading.Thread(target=pump, args=(upstream, client), daemon=True).start()
        pump(client, upstream)
    except (OSError, struct.error):
        client.close()


def relays():
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def accept():
        while True:
            threading.Thread(target=relay, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def scan(*words):
    """The <ssltest> of its report.  Its X25519 key in the first ClientHello is rubbish, seeded by the second; wolfSSL refuses those
    with the highest bit set, which no real key has, and sslscan then sees no TLS 1.3: once more with another."""
    for _ in range(10):
        report = scan_once(*words)
        if any(p.get("version") == "1.3" and p.get("enabled") == "1" for p in report.iter("protocol")):
            break
        time.sleep(1 - time.time() % 1)
    return report


def scan_once(*words):
    done = subprocess.run([PROGRAM, "--no-colour", "--show-sigs", "--xml=-", *words], env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", timeout=60, check=False)
    found = done.stdout.find("<?xml")
    unlike(done.stdout if found < 0 else "", ".", "there is a report")
    return xml.etree.ElementTree.fromstring(done.stdout[found:].encode()).find("ssltest")


def judge(report, what, versions, strong):
    """versions: those that it can see."""
    spoken = {f"{p.get('type')}{p.get('version')}" for p in report.iter("protocol") if p.get("enabled") == "1"}
    equal(spoken, versions, f"{what}: the versions")
    seen = {}
    for cipher in report.iter("cipher"):
        seen.setdefault(cipher.get("sslversion"), set()).add(cipher.get("cipher"))
        check(cipher.get("strength") in ("strong", "acceptable") and int(cipher.get("bits")) >= 128,
              f"{what}: {cipher.get('cipher')} is strong", cipher.attrib)
    equal(seen, strong, f"{what}: the ciphers")
    groups = [(group.get("sslversion"), group.get("name"), int(group.get("bits"))) for group in report.iter("group")]
    check(groups, f"{what}: there is a group")
    equal([group for group in groups if group[2] < 112], [], f"{what}: no group is weak")
    equal({name for version, name, _ in groups if version == "TLSv1.3"} - GROUPS, set(), f"{what}: no group that is not served")
    equal([r.attrib for r in report.iter("renegotiation") if r.get("supported") == "1" and r.get("secure") != "1"], [],
          f"{what}: no insecure renegotiation")
    equal([h.attrib for h in report.iter("heartbleed") if h.get("vulnerable") != "0"], [], f"{what}: no Heartbleed")
    equal([c.attrib for c in report.iter("compression") if c.get("supported") != "0"], [], f"{what}: no compression")
    equal([f.attrib for f in report.iter("fallback") if f.get("supported") != "1"], [], f"{what}: a fallback is noticed")
    signatures = {s.get("name") for s in report.iter("connection-signature-algorithm")}
    equal({name for name in signatures if "sha1" in name.lower() or "md5" in name.lower() or "dsa_" in name.lower() and "ecdsa" not in name.lower()},
          set(), f"{what}: no signature is weak")


def only(kind):
    return {"TLSv1.3": STRONG["TLSv1.3"], "TLSv1.2": {name for name in STRONG["TLSv1.2"] if f"-{kind}-" in name}}


with Site(MAIN, start=False) as site:
    ca = pki.Authority(site.path("pki"))
    rsa, ecdsa = (site.own(ca.issue(kind, ["localhost"], rsa=kind == "rsa")) for kind in ("rsa", "ecdsa"))
    port = relays()
    for certificates, strong in ((f"{rsa} : {ecdsa}", STRONG), (rsa, only("RSA"))):
        site.write("heddle.conf", site.text(MAIN.format(certificates=certificates)))
        site.start()
        what = "both kinds of key" if strong is STRONG else "RSA alone"
        judge(scan("--starttls-smtp", f"127.0.0.1:{site.port}"), f"{what}, STARTTLS", {"tls1.3"}, {"TLSv1.3": strong["TLSv1.3"]})
        judge(scan(f"127.0.0.1:{PORT}"), f"{what}, at once", {"tls1.3"}, {"TLSv1.3": strong["TLSv1.3"]})
        judge(scan(f"127.0.0.1:{port}"), f"{what}, in parts", {"tls1.2", "tls1.3"}, strong)
        client = site.connect(helo="client.example")
        equal(client.code("MAIL FROM:<a@client.example>"), "250", f"{what}: it goes on")
        client.close()
        equal(site.stop(), 0, "the daemon ends well")
