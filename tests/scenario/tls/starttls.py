#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""STARTTLS as a server: both versions with both kinds of certificate, what is forgotten at the switch, and what log, Received: and
ACLs say of it."""
import re
import shutil
import subprocess

import pki
import tls_client
from heddle import Site, check, equal, like, unlike
from tls_client import V12, V13, context, message, starttls

MAIN = """tls_certificate = {rsa} : {ecdsa}
tls_require_ciphers = ${{if eq{{$sender_helo_name}}{{gcm.example}}{{ECDHE-ECDSA-AES128-GCM-SHA256}}}}
log_selector = +tls_sni +tls_peerdn +smtp_no_mail +smtp_protocol_error +smtp_incomplete_transaction
acl_smtp_starttls = starttls
acl_smtp_mail = mail
"""
ACL = """starttls:
  deny condition = ${if eq{$sender_helo_name}{denied.example}}
       message = you may not
       log_message = no TLS for that one
  accept
mail:
  accept senders = bits@client.example
         logwrite = facts=$tls_in_ver,$tls_in_bits,$tls_in_cipher_std,$tls_in_sni,$received_protocol
  accept senders = only@client.example
         encrypted = *
  deny senders = only@client.example
       message = in clear, no
  accept
check_rcpt:
  accept
"""


def received(site, identity):
    """The Received: field of the message as it was delivered."""
    site.wait_for_log(f"{identity} Completed")
    text = "".join(mail for mail in site.maildir("alice") if f"id {identity}\n" in mail)
    found = re.search(r"Received: (?:.*\n\t)*.*", text)
    return found.group(0) if found else text


with Site(start=False, acl=ACL) as site:
    ca = pki.Authority(site.path("pki"))
    rsa, ecdsa = ca.issue("rsa", ["mx.test.example"], rsa=True), ca.issue("ecdsa", ["mx.test.example"])
    for path in (rsa, ecdsa):
        site.own(path)
    site.write("heddle.conf", site.text(MAIN.format(rsa=rsa, ecdsa=ecdsa), acl=ACL))
    site.start()

    client = site.connect()
    like(client.ask("EHLO client.example"), "^250-STARTTLS$", "STARTTLS is offered")
    equal(client.ask("MAIL FROM:<only@client.example>"), "550 in clear, no", "encrypted = * does not hold in clear")
    equal(client.ask("STARTTLS now"), "501 unexpected argument data")
    client.ask("MAIL FROM:<a@client.example>")
    equal(client.ask("STARTTLS"), "220 TLS go ahead")
    site.wait_for_log(r"H=\(client\.example\) \[127\.0\.0\.1\] incomplete transaction \(STARTTLS\) from <a@client\.example>")
    equal(tls_client.wrap(client, name="sni.example"), "", "the handshake")
    equal(client.ask("RCPT TO:<alice@test.example>")[:3], "503", "the transaction is forgotten")
    equal(client.ask("MAIL FROM:<a@client.example>"), "503 HELO or EHLO required", "and EHLO is")
    answer = client.ask("EHLO client.example")
    like(answer, "^250-PIPELINING$")
    unlike(answer, "STARTTLS", "it is not offered again")
    equal(client.ask("STARTTLS"), "503 STARTTLS command used when not advertised", "and not taken")
    equal(client.ask("MAIL FROM:<only@client.example>"), "250 OK", "encrypted = * holds")
    client.ask("RSET")
    equal(client.ask("MAIL FROM:<bits@client.example>"), "250 OK")
    site.wait_for_log(r"facts=TLS1\.3,(128|256),TLS_\w+,sni\.example,esmtps$")
    like(client.ask("QUIT"), "^221 ")
    equal(client.sock.unwrap() is not None, True, "close_notify is sent")

    # both versions, both kinds of certificate
    for version, ciphers, what in ((V13, None, "TLS1.3"), (V12, "ECDHE-RSA-AES128-GCM-SHA256", "TLS1.2:ECDHE-RSA"),
                                   (V12, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS1.2:ECDHE-ECDSA")):
        client = starttls(site, context(version=version, ca=ca.pem, ciphers=ciphers), name="mx.test.example")
        equal(client.trouble, "", f"{what}: the certificate is the authority's")
        client.ask("EHLO client.example")
        answer = message(client)
        like(answer, "^250 OK id=", f"{what}: a message")
        name = client.sock.cipher()[0].replace("TLS_", "").replace("_", "-")
        identity = answer.split("=")[1]
        site.wait_for_log(rf"{identity} <= a@client\.example H=\(client\.example\) \[127\.0\.0\.1\] P=esmtps "
                          rf"X={re.escape(what)}\S*:(128|256) CV=no SNI=mx\.test\.example S=\d+")
        std = r"TLS_\w+_SHA\d+" if version is V13 else "TLS_ECDHE_(RSA|ECDSA)_WITH_AES_128_GCM_SHA256"
        like(received(site, identity), rf"\AReceived: from \[127\.0\.0\.1\] \(helo=client\.example\)\n\tby mx\.test\.example with esmtps  tls {std}\n"
             r"\t\(Heddle \S+\)\n\t\(envelope-from <a@client\.example>\)\n\tid \S+\n\tfor alice@test\.example;\n\t",
             f"{what}: Received: is as it should be")
        client.ask("QUIT")

    client = starttls(site)
    client.ask("HELO client.example")
    message(client)
    site.wait_for_log(r" P=smtps X=TLS1\.3:", "HELO within TLS is smtps")
    client.close()
    site.wait_for_log(r"<= .* P=smtps")

    # refused by the ACL, and the session goes on
    client = site.connect(helo="denied.example")
    equal(client.ask("STARTTLS"), "550 you may not")
    site.wait_for_log(r"H=\(denied\.example\) \[127\.0\.0\.1\] rejected STARTTLS : no TLS for that one$")
    like(client.ask("EHLO client.example"), "^250-STARTTLS$")
    answer = message(client)
    like(answer, "^250 OK", "in clear")
    like(received(site, answer.split("=")[1]), r"by mx\.test\.example with esmtp \(Heddle", "no suite is named where there was none")
    client = site.connect()
    client.ask("HELO client.example")
    equal(client.ask("STARTTLS"), "503 STARTTLS command used when not advertised", "without EHLO nothing was offered")
    client.close()

    # a list that is expanded for each session
    client = starttls(site, context(version=V12), helo="gcm.example")
    equal(client.trouble or client.sock.cipher()[0], "ECDHE-ECDSA-AES128-GCM-SHA256", "tls_require_ciphers")
    client.close()
    site.wait_for_log(r"no MAIL in SMTP connection from \[127\.0\.0\.1\] D=0s X=TLS1\.2:ECDHE-ECDSA-AES128-GCM-SHA256:128 CV=no C=EHLO,STARTTLS$")

    # what people use
    base = ["--server", f"127.0.0.1:{site.port}", "--helo", "client.example", "--from", "swaks@client.example", "--to", "alice@test.example"]
    if shutil.which("swaks"):
        done = subprocess.run(["swaks", *base, "-tls"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
        equal(done.returncode, 0, "swaks -tls is content")
        site.wait_for_log(r"<= swaks@client\.example .* P=esmtps X=TLS")
    done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{site.port}", "-CAfile", ca.pem, "-quiet",
                           "-verify_return_error", "-crlf"], input=b"QUIT\n", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30, check=False)
    like(done.stdout.decode(), "^221 mx", "openssl s_client is content")

# without any setting there is a certificate too, and EHLO may be remembered
with Site("tls_remember_esmtp\nqueue_only\n") as site:
    site.wait_for_log("Warning: No server certificate defined; will use a selfsigned one\\.")
    client = starttls(site)
    equal(client.trouble, "", "with a certificate of the server's own making")
    like(message(client), "^250 OK", "tls_remember_esmtp: no EHLO is needed")
    site.wait_for_log(r"<= a@client\.example H=\[127\.0\.0\.1\] P=esmtps ", "the name that it gave is forgotten all the same")
with Site("tls_advertise_hosts =\n") as site:
    unlike(site.connect().ask("EHLO client.example"), "STARTTLS", "an empty tls_advertise_hosts offers nothing")
    unlike(site.mainlog(), "selfsigned")
