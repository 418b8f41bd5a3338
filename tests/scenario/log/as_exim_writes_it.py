#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same configuration and the same sessions with Debian's exim4 and with Heddle: the same lines in main and reject log, under
several settings of log_selector.  Masked: ids, times, ports, the programs' names."""
import os
import re
import socket

import exim
import namespace
import tls_client
from heddle import Client, Site, check, equal, wait_for
from peers import Dns, Sink
from pki import Authority

exim.enter({"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1\n"})

ZONE = """far.example MX 10 mx1.far.example
mx1.far.example A 10.9.9.9
refuse.example MX 10 mx.refuse.example
mx.refuse.example A 10.9.9.8
fail.example FAIL
client.example A 10.9.9.20
client.example MX 10 mx1.far.example
20.9.9.10.in-addr.arpa PTR client.example
21.9.9.10.in-addr.arpa PTR liar.example
liar.example A 10.9.9.77
22.9.9.10.in-addr.arpa PTR nowhere.example
23.9.9.10.in-addr.arpa FAIL
"""
CONFIG = """primary_hostname = mx.test.example
daemon_smtp_ports = 0
domainlist local_domains = test.example
acl_smtp_connect = check_connect
acl_smtp_helo = check_helo
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
acl_smtp_etrn = accept
acl_smtp_expn = accept
acl_smtp_vrfy = accept
tls_certificate = DIR/pki/mx.test.example.pem
tls_advertise_hosts = *
tls_verify_certificates = DIR/pki/ca.pem
tls_try_verify_hosts = *
host_lookup = 10.9.9.0/24
helo_allow_chars = _
message_size_limit = 20000
smtp_accept_max_nonmail = 20
smtp_max_synprot_errors = 3
smtp_receive_timeout = 60s
prdr_enable
trusted_users = root
MORE
begin acl
check_connect:
  drop hosts = 10.9.9.30
       message = no $sender_host_address
  accept
check_helo:
  deny condition = ${if eq{$sender_helo_name}{bad.example}}
       message = bad name
  accept
check_mail:
  deny senders = refused@client.example
       message = not you
  defer senders = wait@client.example
       log_message = logged so
  drop senders = drop@client.example
  warn senders = warned@client.example
       log_message = it is warned
  warn senders = skipped@fail.example
       !verify = sender
  accept
check_rcpt:
  deny domains = dead.example
       log_message = dead for $sender_address
  deny local_parts = unverified
       !verify = recipient
  deny senders = *@nosuch.example
       !verify = sender
  discard local_parts = discarded
  warn local_parts = listed
       hosts = nosuchhost.example
  deny local_parts = listed
  accept
check_data:
  deny condition = ${if eq{$h_subject:}{bad}}
       message = bad subject
  discard condition = ${if eq{$h_subject:}{gone}}
  accept
begin routers
unsure:
  driver = redirect
  local_parts = later
  allow_defer
  data = :defer: not today
failing:
  driver = redirect
  local_parts = gone
  allow_fail
  data = :fail: gone away
alias:
  driver = redirect
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{DIR/aliases}}
  pipe_transport = command
  file_transport = file
  reply_transport = file
smart:
  driver = manualroute
  domains = sink.example
  transport = smtp
  route_data = 10.9.9.9
down:
  driver = manualroute
  domains = down.example
  transport = smtp
  route_data = 10.9.9.8
dns:
  driver = dnslookup
  domains = ! +local_domains
  transport = smtp
inbox:
  driver = accept
  local_parts = alice : bob : carol
  transport = box
begin transports
box:
  driver = appendfile
  file = DIR/boxes/$local_part_data
  user = nobody
  delivery_date_add
command:
  driver = pipe
  user = nobody
file:
  driver = appendfile
  user = nobody
smtp:
  driver = smtp
  port = 25
  hosts_try_fastopen =
begin retry
* * F,1h,10m
"""
ALIASES = """list: alice@test.example, other@test.example
other: bob@test.example, far@sink.example
hole: :blackhole:
command: "|/bin/cat >/dev/null"
broken: "|/bin/false"
file: DIR/boxes/a_file
mixed: alice@test.example, nosuch@test.example
"""


def text(subject="s", header="", body="hi\r\n"):
    return f"From: <a@client.example>\r\n{header}Subject: {subject}\r\n\r\n{body}."


def envelope(sender, *recipients, ehlo="EHLO client.example", parameters=""):
    return [ehlo, f"MAIL FROM:<{sender}>{parameters}", *[f"RCPT TO:<{one}>" for one in recipients]]


def mail(*recipients, sender="a@client.example", **words):
    return envelope(sender, *recipients) + ["DATA", text(**words), "QUIT"]


VANISH, TLS, STAY = object(), object(), object()
KNOWN, LOCAL = "10.9.9.20", "127.0.0.1"
DIALOGUES = [
    # accepted
    (KNOWN, mail("alice@test.example", header="Message-ID: <given@client.example>\r\n")),
    (KNOWN, mail("alice@test.example", "bob@test.example")),
    (LOCAL, mail("list@test.example", subject="a \"quoted\" \\ one")),
    (LOCAL, mail("hole@test.example", sender="")),
    (LOCAL, mail("command@test.example", "file@test.example")),
    (LOCAL, mail("broken@test.example")),
    (LOCAL, mail("mixed@test.example", sender="bob@test.example")),
    (LOCAL, mail("gone@test.example", "later@test.example")),
    (LOCAL, mail("far@sink.example", "far2@sink.example", subject="=?utf-8?q?caf=C3=A9?=")),
    (LOCAL, mail("refused@sink.example", "delayed@sink.example", "good@sink.example", sender="carol@test.example")),
    (LOCAL, mail("x@down.example")),
    (LOCAL, mail("x@far.example", "y@nosuch.example", "z@fail.example", sender="carol@test.example")),
    (KNOWN, envelope("a@client.example", "alice@test.example", parameters=" BODY=8BITMIME") + ["DATA", text(), "QUIT"]),
    (KNOWN, envelope("a@client.example", "alice@test.example", parameters=" BODY=7BIT") + ["DATA", text(), "QUIT"]),
    (KNOWN, ["HELO client.example"] + envelope("a@client.example", "alice@test.example")[1:] + ["DATA", text(), "QUIT"]),
    (KNOWN, [b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n", STAY, STAY, STAY, text(), "QUIT"]),
    (KNOWN, envelope("a@client.example", "alice@test.example") + [b"BDAT 15 LAST\r\nSubject: x\r\n\r\na", "QUIT"]),
    (KNOWN, ["EHLO client.example", "STARTTLS", TLS] + mail("alice@test.example")),
    (KNOWN, mail("discarded@test.example")),
    (KNOWN, mail("discarded@test.example", "alice@test.example")),
    (KNOWN, mail("alice@test.example", subject="gone")),
    # names
    ("10.9.9.21", mail("alice@test.example")),
    ("10.9.9.22", mail("alice@test.example")),
    ("10.9.9.23", mail("alice@test.example")),
    ("10.9.9.24", mail("alice@test.example", sender="warned@client.example")),
    ("10.9.9.30", []),
    ("10.9.9.24", ["EHLO [10.9.9.24]"] + mail("alice@test.example")[1:]),
    # refused
    (KNOWN, ["EHLO bad.example", "QUIT"]),
    (KNOWN, ["EHLO client.example", "MAIL FROM:<refused@client.example>", "MAIL FROM:<wait@client.example>", "MAIL FROM:<drop@client.example>"]),
    (KNOWN, ["EHLO client.example", "MAIL FROM:<skipped@fail.example>", "QUIT"]),
    (KNOWN, envelope("a@client.example", "x@dead.example", "unverified@test.example", "listed@test.example") + ["QUIT"]),
    (KNOWN, envelope("a@nosuch.example", "alice@test.example") + ["QUIT"]),
    (KNOWN, mail("alice@test.example", subject="bad")),
    (KNOWN, mail("alice@test.example", body="x" * 70 + "\r\n" + ("y" * 78 + "\r\n") * 300)),
    (KNOWN, envelope("a@client.example", parameters=" SIZE=1000000") + ["QUIT"]),
    # errors
    (KNOWN, ["FOO", "", "x" * 100, "BAR"]),
    (KNOWN, ["EHLO", "HELO a b", "EHLO ..", "EHLO x/y"]),
    (KNOWN, ["RCPT TO:<a@b.example>", "DATA", "MAIL", "BDAT 5", "QUIT"]),
    (KNOWN, envelope("a@client.example") + ["MAIL FROM:<b@client.example>", "RCPT TO:<unqualified>", "RCPT TO:<a@b", "RCPT", "NOOP"]),
    (KNOWN, ["EHLO client.example", "MAIL FROM:<unqualified>", "MAIL FROM:<a@>", "MAIL FROM:<a@b.example> FOO=BAR", "VRFY", "QUIT"]),
    (KNOWN, ["EHLO client.example", "VRFY alice@test.example", "EXPN list@test.example", "VRFY nosuch@test.example", "ETRN #zzz", "HELP", "RSET", "QUIT"]),
    (KNOWN, ["EHLO client.example"] + ["NOOP"] * 25),
    (KNOWN, ["AUTH PLAIN", "EHLO client.example", "AUTH FOO", "QUIT"]),
    # ends
    (KNOWN, []),
    (KNOWN, ["QUIT"]),
    (KNOWN, [VANISH]),
    (KNOWN, ["EHLO client.example", VANISH]),
    (KNOWN, ["EHLO client.example", "STARTTLS", TLS, "EHLO client.example", "QUIT"]),
    (KNOWN, ["EHLO client.example", "STARTTLS", TLS, "EHLO client.example"]),
    (KNOWN, envelope("a@client.example", "alice@test.example")),
    (KNOWN, envelope("a@client.example", "alice@test.example") + ["RSET", "QUIT"]),
    (KNOWN, envelope("a@client.example", "alice@test.example", "bob@test.example") + ["QUIT"]),
    (KNOWN, envelope("a@client.example", "alice@test.example") + ["EHLO client.example", "QUIT"]),
    (KNOWN, envelope("a@client.example", "alice@test.example") + ["DATA", b"Subject: x\r\n"]),
    (KNOWN, envelope("a@client.example", "alice@test.example") + ["DATA", b"Subject: x\r\n\r\nabc\r\n"]),
    (KNOWN, envelope("a@client.example", "alice@test.example") + [b"BDAT 100\r\nSubject: x\r\n\r\nabc\r\n"]),
    (KNOWN, ["EHLO client.example", "MAIL FROM:<a@client.example>", b"RCPT TO:<alice"]),
]
# where a client may say EHLO before it has heard anything, exim4 does not mind what else comes too soon
TOO_SOON = [
    (KNOWN, [b"GET / HTTP/1.0\r\n\r\n", STAY]),
    (KNOWN, ["EHLO client.example", b"RSET\r\nNOOP\r\nQUIT\r\n", STAY, STAY, STAY]),
    (KNOWN, ["EHLO client.example", b"MAIL FROM:<a@client.example>\r\nFOO\r\nNOOP\r\n", STAY, STAY]),
]


def plain(line):
    """Without what must differ."""
    line = re.sub(r"\bE?\w{6}-\w{6,11}-\w{2,4}\b", "ID", line)
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?", "TIME", line)
    line = re.sub(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", line)
    line = re.sub(r"\b(D|DT|QT|RT)=[\dms.]+", r"\1=T", line)
    line = re.sub(r"(\d\]):\d\d+", r"\1:PORT", line)
    line = re.sub(r"\b(pid=)\d+|^(TIME \[)\d+\]", r"\1\2PID", line)
    line = re.sub(r"\bU=(Debian-exim|heddle)", "U=SELF", line)
    line = re.sub(r"\bS=\d+", "S=N", line)
    line = re.sub(r"\bX=\S+", "X=CIPHER", line)
    line = re.sub(r"(TLS error on .* )\(.*", r"\1(WHY)", line)
    line = re.sub(r"Exim [\d.]+|Heddle [\d.]+", "MTA", line)
    return re.sub(r"connection count = \d+", "connection count = N", line)


# what Heddle does not read in a queue run it does not tell of: a message whose time has not come
SILENT = r"daemon started|listening for|Warning: No server cert|retry time not reached"


def lines_of(log):
    return sorted(plain(line) for line in log.splitlines() if not re.search(SILENT, line))


def talk(port, source, dialogue, refused):
    client = Client(port, host="127.0.0.1" if source == LOCAL else "10.9.9.1", source=source)
    for line in dialogue:
        if line is VANISH:
            client.vanish()
            return
        if line is TLS:
            refused.append(tls_client.wrap(client))
        elif line is STAY:
            client.reply()
        elif isinstance(line, bytes):
            client.send(line)
            if line.startswith((b"EHLO", b"BDAT 15")):
                client.reply()
        else:
            client.ask(line)
    client.close()


def run(selector, dns, more="", dialogues=DIALOGUES, then=()):
    """Both programs with the same log_selector; the lines that only one of them has."""
    config = CONFIG.replace("MORE", f"log_selector = {selector}\n{more}")
    with Site(whole="spool_directory = DIR/spool\n" + config, dns=dns, start=False) as site:
        authority = Authority(site.path("pki"))
        authority.issue("mx.test.example")
        os.chmod(site.path("pki/mx.test.example.pem"), 0o644)
        site.write("aliases", ALIASES)
        os.mkdir(site.path("boxes"))
        os.chmod(site.path("boxes"), 0o777)
        peer = exim.Exim(site, config, port=2500)
        peer.address = "127.0.0.1.2500 : 10.9.9.1.2500"
        peer.start()
        site.start("-oX", "127.0.0.1.25 : 10.9.9.1.25")
        for source, dialogue in dialogues:
            for port in (25, 2500):
                bad = []
                talk(port, source, dialogue, bad)
                equal(bad, [] if not bad else [""], "TLS")
        settled(site, peer)
        for words in then:
            peer.run(*words)
            site.cli(*words)
            settled(site, peer)
        site.stop()
        peer.stop()
        for name, ours, theirs in (("main", site.mainlog(), peer.mainlog()), ("reject", site.rejectlog(), site.read("exim/log/rejectlog"))):
            ours, theirs = lines_of(ours), lines_of(theirs)
            check(len(theirs) > 10, f"{selector}: there is something to compare in the {name} log: {len(theirs)} lines")
            equal("\n".join(only(ours, theirs)), "", f"{selector}: heddle's {name} log has nothing that exim4's has not")
            equal("\n".join(only(theirs, ours)), "", f"{selector}: exim4's {name} log has nothing that heddle's has not")


def only(lines, others):
    left, found = list(others), []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            found.append(line)
    return found


def settled(site, peer):
    def count(log):
        kept = "\n".join(line for line in log.splitlines() if not re.search(SILENT, line))
        return len(re.findall(r" (Completed|=>|->|==|\*\*|(?:Start|End) queue run:)(?= |$)", kept, re.M))
    wait_for("both have tried all", lambda: count(site.mainlog()) == count(peer.mainlog()))


def replies(line):
    return "550 no such user" if "refused" in line else "450 come back later" if "delayed" in line else "250 OK"


dns = Dns(ZONE, port=53)
sink = Sink({"RCPT": replies}, host=namespace.REMOTE, port=25)
run("+all -pid -arguments", dns)
run("+smtp_no_mail +smtp_incomplete_transaction", dns, more="pipelining_connect_advertise_hosts =\n", dialogues=TOO_SOON + DIALOGUES)
run("-all", dns)
