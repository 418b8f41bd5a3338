#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same authenticators in heddle and in Debian's exim4: the same dialogues get the same replies, and the main logs have the same
lines, but that ours have no secret in them."""
import re

import exim
from heddle import Client, Site, check, equal, unlike
from sasl_peer import b64

exim.enter()
CONFIG = """primary_hostname = mx.test.example
host_lookup =
tls_advertise_hosts =
smtp_enforce_sync = false
smtp_max_synprot_errors = 3
smtp_accept_max_nonmail = 7
acl_smtp_rcpt = accept
acl_smtp_auth = ${if match{$smtp_command_argument}{^DENIED}{denied}{${if match{$smtp_command_argument}{^LATER}{later}{all}}}}
acl_smtp_mailauth = ${if eq{$sender_helo_name}{mailauth.example}{mailauth}}
acl_smtp_data = data
queue_only
log_selector = +smtp_mailauth +smtp_syntax_error +smtp_protocol_error
begin acl
all:
  accept
denied:
  deny message = not you
later:
  defer message = not now
mailauth:
  accept condition = ${if eq{$authenticated_sender}{good@test.example}}
  defer condition = ${if eq{$authenticated_sender}{later@test.example}}
  deny
data:
  warn logwrite = id=$authenticated_id sender=$authenticated_sender failed=$authentication_failed by=$sender_host_authenticated p=$received_protocol
  accept
begin routers
all:
  driver = accept
  transport = t
begin transports
t:
  driver = appendfile
  file = /dev/null
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{u}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
  server_mail_auth_condition = ${if !eq{$authenticated_sender}{bad@test.example}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{u}}{eq{$auth2}{s3cret}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{u}{s3cret}fail}
  server_set_id = $auth1
ext:
  driver = external
  public_name = EXTERNAL
  server_param2 = a:b:u
  server_param3 = $auth2-$auth1
  server_condition = ${if and{{forany{$auth2}{eq{$item}{$auth1}}}{eq{$auth3}{a:b:u-$auth1}}}}
  server_set_id = $auth1
words:
  driver = plaintext
  public_name = WORDS
  server_prompts = :
  server_condition = $sender_helo_name
  server_set_id = someone
forced:
  driver = plaintext
  public_name = FORCED
  server_prompts = :
  server_condition = ${if eq{a}{b}{yes}fail}
unasked:
  driver = plaintext
  public_name = UNASKED
  server_condition = yes
nothing:
  driver = external
  public_name = NOTHING
  server_param2 = x
no:
  driver = plaintext
  public_name = NO
  server_condition = yes
  server_advertise_condition = ${if eq{$sender_helo_name}{nobody}}
denied:
  driver = plaintext
  public_name = DENIED
  server_condition = yes
later:
  driver = plaintext
  public_name = LATER
  server_condition = yes
client:
  driver = plaintext
  public_name = PLAIN
  client_send = ^x^y
"""
HELLO = "EHLO c.example"
GOOD, WRONG = b64("\0u\0s3cret"), b64("\0u\0s3cre")
DATA = ["RCPT TO:<x@test.example>", "DATA", "\r\nx\r\n.", "QUIT"]
MAIL = ["MAIL FROM:<a@c.example>", *DATA]
IN = [HELLO, f"AUTH PLAIN {GOOD}"]
DIALOGUES = [
    [f"AUTH PLAIN {GOOD}", HELLO, "QUIT"], [HELLO, "AUTH", "AUTH  ", "AUTH X", "QUIT"], ["HELO c.example", f"AUTH PLAIN {GOOD}", *MAIL],
    [*IN, *MAIL], [*IN, f"AUTH PLAIN {GOOD}", *MAIL], [HELLO, f"AUTH PLAIN {WRONG}", *MAIL], [HELLO, "AUTH PLAIN", GOOD, *MAIL],
    [HELLO, "auth plain", f"  {GOOD}  ", "QUIT"], [HELLO, f"AUTH PLAIN\t{GOOD}", "QUIT"], [HELLO, f"AUTH\tPLAIN {GOOD}", "QUIT"],
    [HELLO, "AUTH PLAIN", "=", "AUTH PLAIN =", "AUTH PLAIN", "", "QUIT"], [HELLO, "AUTH PLAIN !", "AUTH PLAIN A", "AUTH PLAIN AHU=A", "QUIT"],
    [HELLO, "AUTH PLAIN AHUA czNjcmV0", *MAIL], [HELLO, "AUTH PLAIN *", "AUTH PLAIN", "*", *MAIL],
    [HELLO, "AUTH LOGIN", b64("u"), b64("s3cret"), *MAIL], [HELLO, f"AUTH LOGIN {b64('u')}", b64("s3cret"), "QUIT"],
    [HELLO, "AUTH LOGIN", b64("u"), b64("x"), "QUIT"], [HELLO, "AUTH LOGIN", b64("u"), "*", "QUIT"], [HELLO, "AUTH LOGIN", "", "", "QUIT"],
    [HELLO, "AUTH LOGIN", b64("u\0s3cret"), "QUIT"], [HELLO, f"AUTH LOGIN {b64(chr(0))}", b64("x"), "QUIT"],
    [HELLO, f"AUTH CRAM-MD5 {b64('u')}", "AUTH CRAM-MD5", "", "AUTH CRAM-MD5", b64("u"), "AUTH CRAM-MD5", b64(f"u {'0' * 32}"), "QUIT"],
    [HELLO, "AUTH CRAM-MD5", b64(f"x {'0' * 32}"), "AUTH CRAM-MD5", b64("u 123"), "AUTH CRAM-MD5", "*", "AUTH CRAM-MD5", "##", "QUIT"],
    [HELLO, f"AUTH EXTERNAL {b64('u')}", *MAIL], [HELLO, "AUTH EXTERNAL", b64("b"), *MAIL], [HELLO, f"AUTH EXTERNAL {b64('x')}", *MAIL],
    [HELLO, "AUTH EXTERNAL =", "AUTH EXTERNAL", "", "AUTH EXTERNAL", "*", "AUTH EXTERNAL ?", "QUIT"],
    *[[f"EHLO {word}", f"AUTH WORDS {b64('x')}", "QUIT"] for word in ("0", "1", "2", "no", "NO", "yes", "Yes", "true", "false", "FALSE", "come.back")],
    [HELLO, f"AUTH FORCED {b64('x')}", "QUIT"], [HELLO, "AUTH UNASKED", *MAIL], [HELLO, "AUTH NOTHING", "QUIT"], [HELLO, "AUTH NO", "QUIT"],
    ["EHLO nobody", "AUTH NO", "QUIT"], [HELLO, "AUTH DENIED", "AUTH LATER", *MAIL],
    [HELLO, "MAIL FROM:<a@c.example>", f"AUTH PLAIN {GOOD}", "RSET", f"AUTH PLAIN {GOOD}", HELLO, f"AUTH PLAIN {GOOD}", *MAIL],
    [*IN, "HELO x", f"AUTH PLAIN {GOOD}", *MAIL], [HELLO, *[f"AUTH PLAIN {WRONG}"] * 10], [HELLO, *["AUTH PLAIN ?"] * 10], [HELLO, *["AUTH FOO"] * 5],
    [*IN, *[f"AUTH PLAIN {GOOD}"] * 5], [HELLO, "AUTH PLAIN \0\0", "QUIT"], [HELLO, "AUTH PLAIN", "A\0B", "QUIT"], [HELLO, "AUTH PLAIN \xff\xfe", "QUIT"],
    [HELLO, "AUTH PLAIN", "A" * 16000, "QUIT"], [HELLO, f"AUTH PLAIN {'A' * 12000}", "QUIT"],
    *[[*hello, f"MAIL FROM:<a@c.example> AUTH={text}", *DATA] for hello in ([HELLO], IN) for text in
      ("<>", "x@y.example", "e+3Dmc2@example.com", "bad@test.example", "<x>")],
    *[[HELLO, f"MAIL FROM:<a@c.example> AUTH={text}", "QUIT"] for text in ("x+zz", "x+4", "+", "x+3")],
    *[[*hello, f"MAIL FROM:<a@c.example> AUTH={text}@test.example", *DATA]
      for hello in (["EHLO mailauth.example"], ["EHLO mailauth.example", f"AUTH PLAIN {GOOD}"]) for text in ("good", "other", "bad")],
    ["EHLO mailauth.example", "MAIL FROM:<a@c.example> AUTH=later@test.example", "QUIT"],
    ["HELO c.example", "MAIL FROM:<a@c.example> AUTH=<>", "QUIT"],
    ["EHLO c.example", "MAIL FROM:<a@c.example> SIZE=10 AUTH=<> BODY=8BITMIME", "QUIT"],
]


def plain(text):
    """Without what must differ."""
    text = re.sub(r"\b\w{6}-\w{6,11}-\w{2,4}\b", "ID", text or "")
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", text)
    text = re.sub(r"(Exim|Heddle) [\d.]+", "MTA", text)
    text = re.sub(r"\bS=\d+", "S=N", text)
    text = re.sub(r"^334 P\S{30,}", "334 CHALLENGE", text)
    text = re.sub(r'"AUTH\s([\w-]+).*?"', r'"AUTH \1"', text)
    return re.sub(r"^250-(PIPECONNECT|CHUNKING|STARTTLS|PRDR|SMTPUTF8|8BITMIME|PIPELINING|LIMITS.*)\n", "", text, flags=re.M)


def ask(port, lines):
    client = Client(port)
    replies = [plain(client.ask(line)) for line in lines]
    client.close()
    return replies


def lines_of(log):
    kept = [plain(line)[5:] for line in log.splitlines() if re.match(r"\d{4}-", line)]
    kept = [re.sub(r'"(AUTH )?\w*=*"', '"..."', line) for line in kept]  # what followed a failed AUTH is not shown
    return [line.replace('"********"', '"..."') for line in kept if not re.match(r"Warning|(MTA|exim [\d.]+) daemon started|unexpected disc", line)]


with Site(whole="spool_directory = DIR/spool\nlocal_interfaces = 127.0.0.1\n" + CONFIG, start=False, panics="") as site:
    peer = exim.Exim(site, CONFIG, port=2500)
    peer.start()
    site.start("-oX", "127.0.0.1.25")
    for lines in DIALOGUES:
        what = " / ".join(line[:30] for line in lines)
        equal(ask(25, lines), ask(2500, lines), f"the same replies: {what!r}"[:150])
    ours, theirs = lines_of(site.mainlog()), lines_of(peer.mainlog())
    check(len(theirs) > 80, f"there is something to compare: {len(theirs)} lines")
    equal([line for line in ours if line not in theirs], [], "heddle logs nothing that exim4 does not")
    equal([line for line in theirs if line not in ours], [], "exim4 logs nothing that heddle does not")
    everything = site.mainlog() + site.rejectlog() + site.paniclog() + site.read("stderr")
    for secret in ("s3cret", GOOD, WRONG, b64("s3cret")):
        unlike(everything, re.escape(secret), f"no log has {secret}")
    peer.stop()
