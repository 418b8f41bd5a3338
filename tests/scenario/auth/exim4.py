#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's exim4 authenticates to us and we to it, by each mechanism that both have; EXTERNAL with a certificate on both sides."""
import re

import exim
import pki
from heddle import Site, equal, like, wait_for
from peers import Dns

exim.enter()

BY = "  client_condition = ${if and{{def:tls_out_cipher}{eq{$sender_address_local_part}{NAME}}}}\n  client_set_id = NAME\n"
TLS_ONLY = "  server_advertise_condition = ${if def:tls_in_cipher}\n"
# both sides, for both programs
AUTHENTICATORS = (f"""plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^plain^s3cret
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{plain}}}}{{eq{{$auth3}}{{s3cret}}}}}}}}
  server_set_id = $auth2
{TLS_ONLY}{BY.replace('NAME', 'plain')}login:
  driver = plaintext
  public_name = LOGIN
  client_send = : login : s3cret
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{login}}}}{{eq{{$auth2}}{{s3cret}}}}}}}}
  server_set_id = $auth1
{TLS_ONLY}{BY.replace('NAME', 'login')}cram:
  driver = cram_md5
  public_name = CRAM-MD5
  client_name = cram
  client_secret = s3cret
  server_secret = ${{if eq{{$auth1}}{{cram}}{{s3cret}}fail}}
  server_set_id = $auth1
{BY.replace('NAME', 'cram')}ext_ccert_san_mail:
  driver = external
  public_name = EXTERNAL
  client_send = $sender_address
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${{certextract {{subj_altname,mail,>:}} {{$tls_in_peercert}}}}
  server_condition = ${{if forany {{$auth2}} {{eq {{$item}}{{$auth1}}}}}}
  server_set_id = $auth1
{BY.replace('NAME', 'alice')}""")
SERVER = """tls_advertise_hosts = *
tls_certificate = DIR/pki/server.pem
tls_privatekey = DIR/pki/server.pem
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = *
log_selector = +tls_certificate_verified +smtp_mailauth
"""
TRANSPORT = """smtp:
  driver = smtp
  port = PORT
  allow_localhost
  hosts_require_auth = *
  hosts_require_tls = *
  tls_certificate = DIR/pki/alice.pem
  tls_privatekey = DIR/pki/alice.pem
  tls_verify_certificates = DIR/pki/ca.pem
  authenticated_sender = $sender_address
"""
EXIM = f"""primary_hostname = exim.example
acl_smtp_rcpt = check_rcpt
{SERVER}begin acl
check_rcpt:
  accept authenticated = *
  deny message = who are you
begin routers
back:
  driver = manualroute
  domains = test.example
  route_list = * 127.0.0.1
  self = send
  transport = smtp
all:
  driver = accept
  transport = files
begin transports
{TRANSPORT.replace('PORT', '2525')}files:
  driver = appendfile
  directory = DIR/exim/in
  create_directory
  user = Debian-exim
begin authenticators
{AUTHENTICATORS}"""
ROUTERS = """out:
  driver = manualroute
  domains = !+local_domains
  route_list = * mx.example
  self = send
  transport = smtp
inbox:
  driver = accept
  domains = +local_domains
  local_parts = bob
  transport = maildir
"""
TRANSPORTS = TRANSPORT.replace("PORT", "2526") + "maildir:\n  driver = appendfile\n  maildir_format\n  directory = DIR/mail/$local_part_data\n"
ACL = "check_rcpt:\n  accept domains = there.example\n  accept authenticated = *\n  deny message = who are you\n"
WHO = {"plain": "plain:plain", "login": "login:login", "cram": "cram:cram", "alice": "ext_ccert_san_mail:alice@test.example"}

with Site(SERVER, acl=ACL, routers=ROUTERS, transports=TRANSPORTS, authenticators=AUTHENTICATORS, arguments=["-oX", "127.0.0.1.2525"],
          dns=Dns("mx.example A 127.0.0.1\n"), start=False) as site:
    ca = pki.Authority(site.path("pki"))
    ca.issue("server", ["mx.example", "127.0.0.1", "IP:127.0.0.1"])
    ca.issue("alice", ["email:alice@test.example"], usage="clientAuth")
    site.start()
    peer = exim.Exim(site, EXIM, port=2526)
    peer.start()
    with site.smtplib() as smtp:
        for name in WHO:
            smtp.sendmail(f"{name}@test.example", ["x@there.example"], f"Subject: {name}\r\n\r\nx\r\n")
    wait_for("all are at exim4", lambda: len(re.findall(" => x ", peer.mainlog())) >= len(WHO))
    for name, who in WHO.items():
        like(peer.mainlog(), rf"<= {name}@test\.example .* P=esmtpsa X=TLS1\.3:\S+ CV=yes A={who}:{name}@test\.example .*S=", f"{name}: exim4 knows us")
        client = who.partition(":")[0]
        like(site.mainlog(), rf"=> x@there\.example .* X=TLS1\.3:\S+ CV=yes A={client}:{name}:{name}@test\.example ", f"{name}: A= of our own")
    # the other way
    for name in WHO:
        done = peer.run("-odf", "-oi", "-f", f"{name}@test.example", "bob@test.example", stdin=f"Subject: {name}\n\nx\n")
        equal((done.returncode, done.stderr), (0, ""), f"exim4 sends as {name}")
    texts = site.maildir("bob", len(WHO))
    for name, who in WHO.items():
        like(site.mainlog(), rf"<= {name}@test\.example .* P=esmtpsa X=TLS1\.3:\S+ CV=yes A={who}:{name}@test\.example .*S=", f"{name}: we know exim4")
        client = who.partition(":")[0]
        like(peer.mainlog(), rf"=> bob@test\.example .* A={client}:{name}:{name}@test\.example ", f"{name}: A= of exim4")
    equal(len([text for text in texts if re.search(r"with esmtpsa  tls TLS_(AES|CHACHA20)\w+$", text, re.M)]), len(WHO), "Received: says so")
    peer.stop()
    equal(peer.site.read("exim/log/paniclog"), "", "exim4 has not panicked")
