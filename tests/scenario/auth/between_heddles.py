#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Heddle authenticates to another: EXTERNAL by a certificate, PLAIN, LOGIN and CRAM-MD5 over TLS; and not at all where policy says TLS
and there is none.  Who authenticates as whom follows the sender, and connections are not shared between them."""
from heddle import Site, equal, like, unlike, wait_for
import pki
from peers import Dns
from sasl_peer import SaslPeer

SERVER_MAIN = """tls_advertise_hosts = *
tls_certificate = DIR/pki/server.pem
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = *
log_selector = +smtp_mailauth
"""
SERVER_ACL = "check_rcpt:\n  accept authenticated = *\n  deny message = who are you\n"
SERVER_AUTH = """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{plain}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{login}}{eq{$auth2}{s3cret}}}}
  server_set_id = $auth1
  server_advertise_condition = ${if def:tls_in_cipher}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{cram}{s3cret}fail}
  server_set_id = $auth1
ext:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${certextract {subj_altname,mail,>:} {$tls_in_peercert}}
  server_condition = ${if forany {$auth2} {eq {$item}{$auth1}}}
  server_set_id = $auth1
"""
CLIENT_ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_list = clear.example clear.mx.example ; * mx.example
  self = send
  transport = ${if eq{$domain}{clear.example}{clear}{${if eq{$domain}{strict.example}{strict}{smtp}}}}
"""
CLIENT_TRANSPORTS = """smtp:
  driver = smtp
  port = {port}
  allow_localhost
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_certificates = {ca}
  tls_certificate = {alice}
  authenticated_sender = $sender_address
clear:
  driver = smtp
  port = {clear}
  allow_localhost
  hosts_try_auth = *
strict:
  driver = smtp
  port = {clear}
  allow_localhost
  hosts_try_auth = *
  hosts_require_tls = *
"""
BY = "  client_condition = ${{if and{{{{def:tls_out_cipher}}{{eq{{$sender_address_local_part}}{{{0}}}}}}}}}\n  client_set_id = $tls_out_bits-{0}\n"
CLIENT_AUTH = ("p:\n  driver = plaintext\n  public_name = PLAIN\n  client_send = ^plain^s3cret\n" + BY.format("plain") +
               "l:\n  driver = plaintext\n  public_name = LOGIN\n  client_send = : login : s3cret\n" + BY.format("login") +
               "c:\n  driver = cram_md5\n  public_name = CRAM-MD5\n  client_name = cram\n  client_secret = s3cret\n" + BY.format("cram") +
               "e:\n  driver = external\n  public_name = EXTERNAL\n  client_send = alice@test.example\n" + BY.format("alice"))

WHO = {"plain": "plain:plain", "login": "login:login", "cram": "cram:cram", "alice": "ext:alice@test.example"}
CLIENT_NAMES = {"plain": "p", "login": "l", "cram": "c", "alice": "e"}
ZONE = "mx.example A 127.0.0.1\nclear.mx.example A 127.0.0.1\n"
in_clear = SaslPeer(["535 no"] * 50, ("AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL",))

with Site(SERVER_MAIN, acl=SERVER_ACL,
          authenticators=SERVER_AUTH, start=False) as server:
    ca = pki.Authority(server.path("pki"))
    ca.issue("server", ["mx.example"])
    server.own(server.path("pki/server.pem"))
    alice = ca.issue("alice", ["email:alice@test.example"], usage="clientAuth")
    server.own(alice)
    server.start()
    transports = CLIENT_TRANSPORTS.format(port=server.port, ca=ca.pem, alice=alice, clear=in_clear.port)
    main = "primary_hostname = client.example\nlog_selector = +smtp_mailauth +tls_certificate_verified\n"
    whole = Site(start=False)
    with Site(whole=whole.text(main, routers=CLIENT_ROUTERS, transports=transports, authenticators=CLIENT_AUTH)
              .replace("primary_hostname = mx.test.example\n", "").replace("= test.example", "= client.example"), dns=Dns(ZONE)) as client:
        with client.smtplib() as smtp:
            for sent, name in enumerate([*WHO, *WHO], 1):  # one after the other: the last one's connection is kept, and is not theirs
                smtp.sendmail(f"{name}@test.example", ["bob@test.example"], f"Subject: {name}\r\n\r\nx\r\n")
                wait_for(f"{name}'s is on its way", lambda sent=sent: client.mainlog().count(" => bob@") == sent)
            smtp.sendmail("plain@test.example", ["x@clear.example"], "Subject: clear\r\n\r\nx\r\n")
            smtp.sendmail("plain@test.example", ["x@strict.example"], "Subject: strict\r\n\r\nx\r\n")
        with client.smtplib() as smtp:  # ten in one session are sent on at once
            smtp.sendmail("nobody@test.example", ["bob@test.example"], "Subject: nobody\r\n\r\nx\r\n")
        server.maildir("bob", 2 * len(WHO))
        wait_for("all were tried", lambda: client.mainlog().count(" == ") >= 2 and "=> x@clear.example" in client.mainlog())
        log = client.mainlog()
        for name, who in WHO.items():
            equal(server.mainlog().count(f" A={who}:{name}@test.example "), 2, f"{name}: the server knows who it is")
            like(server.mainlog(), rf"<= {name}@test\.example .* P=esmtpsa X=TLS1\.3:\S+ CV=yes ", f"{name}: in TLS")
            like(log, rf"=> bob@test\.example .* CV=yes A={CLIENT_NAMES[name]}:\d+-{name}:{name}@test\.example ", f"{name}: A= of the client")
        like(log, r"=> x@clear\.example (?!.* A=)", "without TLS nothing of it is said")
        like(log, r"== x@strict\.example .*TLS", "nor is mail sent where TLS is demanded")
        like(log, r"== bob@test\.example .*authentication required but no common mechanisms were found", "nobody has nothing to say")
        equal([line for line in in_clear.said() if not line.startswith("MAIL FROM:<plain@test.example>")], [], "no AUTH in clear")
        equal(len([line for line in in_clear.said() if line.startswith("MAIL")]), 1, "and one message")
        unlike(log + client.paniclog() + server.mainlog() + server.rejectlog(), "s3cret", "no log has the secret")
