#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else the options of TLS decide, as OpenSSL's client sees it: tls_ocsp_file, tls_dhparam, tls_eccurve, tls_alpn, which certificate
a list of ciphers leaves; a client that asks for renegotiation; one that sends a byte at a time; certificates with 10,000 names, or with a
NUL in one."""
import re
import socket
import subprocess
import threading
import time

import pki
from heddle import Site, check, equal, like, unlike, wait_for
from tls_client import V12, V13, context, safely, starttls

MAIN = """tls_certificate = {chain} : {rsa}
tls_ocsp_file = {proof}
tls_dhparam = ${{if eq{{$sender_helo_name}}{{dh.example}}{{ffdhe2048}}{{${{if eq{{$sender_helo_name}}{{dhfile.example}}{{{dh}}}{{none}}}}}}}}
tls_eccurve = ${{if eq{{$sender_helo_name}}{{p256.example}}{{P-256}}{{auto}}}}
tls_require_ciphers = ${{if eq{{$sender_helo_name}}{{rsa.example}}{{aRSA:!TLSv1.3}}}}
tls_alpn = smtp
tls_verify_certificates = {ca}
tls_try_verify_hosts = ${{if eq{{$sender_helo_name}}{{ask.example}}{{*}}}}
smtp_receive_timeout = 3s
log_selector = +tls_peerdn
acl_smtp_mail = mail
queue_only
"""
ACL = """mail:
  accept logwrite = ocsp=$tls_in_ocsp out=$tls_out_ocsp
         condition = ${if eq{$sender_helo_name}{ask.example}}
         !verify = certificate
         message = not verified
  accept logwrite = mails=${certextract{subj_altname,mail}{$tls_in_peercert}}.
check_rcpt:
  accept
"""
EVIL = b"good@test.example\0.evil.example"


def s_client(site, helo, *args, text="QUIT\n"):
    """What openssl s_client says of a session."""
    done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-name", helo, "-connect", f"127.0.0.1:{site.port}", "-crlf",
                           *args], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
    return done.stdout.decode(errors="replace")


def facts_logged(site, options=None, helo="client.example", alpn=None, certificate=None):
    client = starttls(site, context(certificate, options, alpn=alpn), helo=helo)
    answer = client.trouble or (safely(client.ask, f"EHLO {helo}") and safely(client.ask, "MAIL FROM:<a@client.example>"))
    return client, answer


def byte_by_byte(port, lasted):
    """A ClientHello that never ends; how long the server listens to it."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(10)
    sock.recv(1000)
    sock.sendall(b"EHLO slow.example\r\n")
    sock.recv(4096)
    sock.sendall(b"STARTTLS\r\n")
    sock.recv(1000)
    began = time.monotonic()
    sock.settimeout(0.5)
    for byte in b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + b"x" * 20:
        try:
            sock.sendall(bytes([byte]))
            if sock.recv(100) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    lasted.append(time.monotonic() - began)


with Site(start=False, acl=ACL) as site:
    ca = pki.Authority(site.path("pki"))
    server, rsa = ca.issue("server", ["mx.test.example"]), site.own(ca.issue("rsa", ["mx.test.example"], rsa=True))  # serials 2 and 3
    with open(server, "a", encoding="ascii") as out, open(ca.pem, encoding="ascii") as file:
        out.write(file.read())
    dh = site.path("pki/dh.pem")
    subprocess.run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", dh], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)
    proof = ca.ocsp("server", 2)
    many = ca.issue("many", [f"email:u{i}@test.example" for i in range(10000)], usage="clientAuth")
    nul = ca.issue("nul", ["DER:" + ":".join(f"{b:02X}" for b in bytes([0x30, len(EVIL) + 2, 0x81, len(EVIL)]) + EVIL)], usage="clientAuth")
    good = ca.issue("good", ["email:user@test.example"], usage="clientAuth")
    for path in (server, dh, proof):
        site.own(path)
    site.write("heddle.conf", site.text(MAIN.format(chain=server, rsa=rsa, proof=proof, dh=dh, ca=ca.pem), acl=ACL))
    site.start()
    lasted = []
    slow = threading.Thread(target=byte_by_byte, args=(site.port, lasted))
    slow.start()

    # the proof
    for version in ("-tls1_2", "-tls1_3"):
        like(s_client(site, "x.example", "-status", version), {"-tls1_2": "Cert Status: good", "-tls1_3": "OCSP response: no response sent"}[version], f"{version}: stapled below 1.3 only")
    like(s_client(site, "x.example"), "Verif", "without being asked")
    ca.ocsp("server", 2, revoked=True)
    site.own(proof)
    wait_for("a renewed proof is taken", lambda: "Cert Status: revoked" in s_client(site, "x.example", "-status", "-tls1_2"))
    client, _ = facts_logged(site)
    site.wait_for_log("ocsp=0 out=0$")
    client.close()

    # groups
    def group(helo, *args):
        found = re.search(r"Server Temp Key: (?:ECDH, |DH, )?([^,\n]*)", s_client(site, helo, *args))
        return found.group(1) if found else "none"

    for version in ("-tls1_2", "-tls1_3"):
        equal(group("x.example", version), "X25519", f"{version}: X25519 comes first")
    equal(group("p256.example", "-tls1_3"), "prime256v1", "tls_eccurve = P-256")  # in 1.2 wolfSSL takes any curve
    equal(group("p256.example", "-tls1_3", "-groups", "X25519"), "none", "and nothing else")
    equal(group("x.example", "-groups", "P-384"), "secp384r1")

    # Diffie-Hellman, only where it is asked for
    dhe = ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"]
    for helo in ("dh.example", "dhfile.example"):
        equal(group(helo, *dhe), "2048 bits", f"tls_dhparam: {helo}")
    equal(group("x.example", *dhe), "none", "without tls_dhparam")

    # a list that leaves RSA's suites alone, beside a certificate for ECDSA
    like(s_client(site, "rsa.example"), r"Cipher\s+(is|:) ECDHE-RSA-", "the certificate is chosen by what both permit")

    # ALPN
    for version, what in ((V12, "1.2"), (V13, "1.3")):
        client, answer = facts_logged(site, version, alpn=["smtp"])
        equal((answer, client.sock.selected_alpn_protocol()), ("250 OK", "smtp"), f"{what}: the right protocol")
        client.close()
        for wrong in (["http/1.1"], ["http/1.1", "smtp"]):
            client, answer = facts_logged(site, version, alpn=wrong)
            unlike(answer, "^250", f"{what}: {wrong} is refused")
            client.close()
        client, answer = facts_logged(site, version)
        equal(answer, "250 OK", f"{what}: none is no fault")
        client.close()
    site.wait_for_log(r"\(SSL_accept\): the peer offers none of the protocols of tls_alpn alone")

    # renegotiation
    said = s_client(site, "again.example", "-tls1_2", text="R\nNOOP\n")
    like(said, "RENEGOTIATING")
    unlike(said, "^250 OK", "after it nothing is served")
    site.wait_for_log(r"TLS error on connection from \[127\.0\.0\.1\] \(SSL_read\): Duplicate HandShake message Error")

    # certificates that are absurd
    client, answer = facts_logged(site, V13, "ask.example", certificate=good)
    equal(answer, "250 OK", "a right one is verified")
    client.close()
    site.wait_for_log(r"mails=user@test\.example\.$")
    for version in (V12, V13):
        began = time.monotonic()
        client, answer = facts_logged(site, version, "ask.example", certificate=many)
        unlike(answer, "^250", "10,000 names: no session")
        client.close()
        check(time.monotonic() - began < 3, "and that soon")
    client, answer = facts_logged(site, V13, "ask.example", certificate=nul)
    site.wait_for_log(r"mails=\.$", "a name with a NUL is no name")
    unlike(site.mainlog(), "good@test", "nor is its beginning one")
    client.close()

    slow.join()
    check(2 < lasted[0] < 8, "a handshake of a byte now and then ends at the deadline", lasted)
    like(site.connect().ask("EHLO client.example"), "^250-", "and the server goes on")
