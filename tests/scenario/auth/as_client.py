#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""AUTH as a client, against servers that go by a script: what is sent, what a refusal leads to, what the log says.  Forms and
decisions are those that Debian's exim4 showed."""
import re

from heddle import Site, equal, like, unlike, wait_for
from peers import Dns
from sasl_peer import CLOSE, SaslPeer, b64

PLAIN = "  driver = plaintext\n  client_send = ^u^s3cret\n"
LOGIN = "  driver = plaintext\n  client_send = : u$auth1 : s3cret$auth2\n"
CRAM = "  driver = cram_md5\n  client_name = tim\n  client_secret = tanstaaftanstaaf\n"
EXTERNAL = "  driver = external\n  client_send = me@example.net\n"
FAILS = "${if eq{a}{b}{x}fail}"
BROKEN = "${lookup{a}lsearch{DIR/nosuchfile}}"
CHALLENGE = "<1896.697170952@postoffice.reston.mci.net>"
RESPONSE = b64("tim b913a602c7eda7a495b4e6e7334d3890")
OK, NO, LATER = "235 ok", "535 no", "435 later"
MAIL, SENT = "MAIL FROM:<a@client.example>", b64("\0u\0s3cret")
TRY, MUST = "hosts_try_auth = *", "hosts_require_auth = *"

# name: authenticators (their public names begin with the case's), transport options, answers, what is said, log
CASES = {
    "plain": ([PLAIN + "  client_set_id = $host-$host_address\n"], TRY, [OK], [f"AUTH PLAIN-0 {SENT}", MAIL],
              r"=> x@plain\.example .* A=plain0:mx\.example-127\.0\.0\.1 C="),
    "refused": ([PLAIN], TRY, [NO], [f"AUTH REFUSED-0 {SENT}", MAIL], r"=> x@refused\.example (?!.*A=)"),
    "next": ([PLAIN, CRAM], TRY, [NO, f"334 {b64(CHALLENGE)}", OK], [f"AUTH NEXT-0 {SENT}", "AUTH NEXT-1", RESPONSE, MAIL],
             r"=> x@next\.example .* A=next1 C="),
    "later": ([PLAIN, CRAM], TRY, ["435-not\n435 now"], [f"AUTH LATER-0 {SENT}"],
              r"== x@later\.example .*SMTP error from remote mail server after AUTH LATER-0 \*{8}: 435-not\\n435 now"),
    "must": ([PLAIN, CRAM], MUST, [NO, NO], [f"AUTH MUST-0 {SENT}", "AUTH MUST-1"],
             r"== x@must\.example .*authentication required but authentication attempt\(s\) failed"),
    "mustgood": ([PLAIN], MUST, [OK], [f"AUTH MUSTGOOD-0 {SENT}", MAIL], r"=> x@mustgood\.example .* A=mustgood0 "),
    "login": ([LOGIN], TRY, [f"334 {b64('U:')}", f"334 {b64('P:')}", OK], ["AUTH LOGIN-0", b64("uU:"), b64("s3cretP:"), MAIL],
              r"=> x@login\.example .* A=login0 "),
    "toomuch": ([LOGIN, PLAIN], TRY, [f"334 {b64('U:')}", f"334 {b64('P:')}", f"334 {b64('M:')}", "501 ok", OK],
                ["AUTH TOOMUCH-0", b64("uU:"), b64("s3cretP:"), "*", f"AUTH TOOMUCH-1 {SENT}", MAIL],
                r"toomuch0 authenticator cancelled authentication H=mx\.example \[127\.0\.0\.1\] "),
    "early": ([LOGIN], TRY, [f"334 {b64('U:')}", OK], ["AUTH EARLY-0", b64("uU:"), MAIL], r"=> x@early\.example .* A=early0 "),
    "garbled": ([LOGIN], TRY, ["334 !!!", "501 ok"], ["AUTH GARBLED-0", "*", MAIL],
                r"garbled0 authenticator cancelled authentication H=mx\.example \[127\.0\.0\.1\] Invalid base64 string in server response"),
    "lenient": ([LOGIN + "  client_ignore_invalid_base64\n"], TRY, ["334 !!!", "334 ###", OK],
                ["AUTH LENIENT-0", b64("u"), b64("s3cret"), MAIL], r"=> x@lenient\.example .* A=lenient0 "),
    "midway": ([LOGIN], TRY, [f"334 {b64('U:')}", LATER], ["AUTH MIDWAY-0", b64("uU:")],
               r"== x@midway\.example .*after \*{8}: 435 later"),
    "cram": ([CRAM + "  client_set_id = tim\n"], TRY, [f"334 {b64(CHALLENGE)}", OK], ["AUTH CRAM-0", RESPONSE, MAIL],
             r"=> x@cram\.example .* A=cram0:tim "),
    "external": ([EXTERNAL], TRY, [OK], [f"AUTH EXTERNAL-0 {b64('me@example.net')}", MAIL], r"=> x@external\.example .* A=external0 "),
    "derived": (["  driver = external\n  client_send =\n"], TRY, [OK], ["AUTH DERIVED-0 =", MAIL], r"=> x@derived\.example .* A=derived0 "),
    "stranger": ([EXTERNAL], TRY, ["334 ", "501 ok"], [f"AUTH STRANGER-0 {b64('me@example.net')}", "*", MAIL],
                 r"stranger0 authenticator cancelled authentication"),
    "forced": ([PLAIN.replace("^u^s3cret", FAILS), CRAM.replace("tanstaaftanstaaf", FAILS), PLAIN], TRY, [OK],
               [f"AUTH FORCED-2 {SENT}", MAIL], r"=> x@forced\.example .* A=forced2 "),
    "forcedlate": ([LOGIN.replace("s3cret$auth2", FAILS), PLAIN], TRY, [f"334 {b64('U:')}", f"334 {b64('P:')}", "501 ok", OK],
                    ["AUTH FORCEDLATE-0", b64("uU:"), "*", f"AUTH FORCEDLATE-1 {SENT}", MAIL], r"=> x@forcedlate\.example .* A=forcedlate1 "),
    "broken": ([PLAIN.replace("^u^s3cret", f"^u^s3cret{BROKEN}"), PLAIN], TRY, [OK], [], r"== x@broken\.example .*broken0 authenticator: "),
    "condition": ([PLAIN + f"  client_condition = {answer}\n" for answer in ("no", "0", "false", FAILS, "${if eq{a}{b}}")] +
                  [PLAIN + "  client_condition = $host_address\n"], TRY, [OK], [f"AUTH CONDITION-5 {SENT}", MAIL],
                  r"=> x@condition\.example .* A=condition5 "),
    "serveronly": (["  driver = plaintext\n  server_condition = yes\n  server_prompts = :\n",
                     "  driver = cram_md5\n  server_secret = x\n", PLAIN], TRY, [OK], [f"AUTH SERVERONLY-2 {SENT}", MAIL],
                    r"=> x@serveronly\.example .* A=serveronly2 "),
    "closed": ([PLAIN], TRY, [CLOSE], [f"AUTH CLOSED-0 {SENT}"],
               r"== x@closed\.example .*Remote host closed connection in response to AUTH CLOSED-0 \*{8}$"),
    "starry": ([LOGIN, PLAIN], TRY, ["334 !!!", OK], ["AUTH STARRY-0", "*"], r"== x@starry\.example .*after \*: 235 ok"),
    "sender": ([PLAIN], f"{TRY}\n  authenticated_sender = v w+x=y@$host", [OK],
               [f"AUTH SENDER-0 {SENT}", f"{MAIL} AUTH=v+20w+2Bx+3Dy@mx.example"], r"=> x@sender\.example .* A=sender0:v w\+x=y@mx\.example C="),
    "unsaid": ([PLAIN], "authenticated_sender = v", [], [MAIL], r"=> x@unsaid\.example "),
    "force": ([PLAIN], "authenticated_sender = v\n  authenticated_sender_force", [], [f"{MAIL} AUTH=v"], r"=> x@force\.example "),
    "empty": ([PLAIN], f"{TRY}\n  authenticated_sender = ${{if eq{{a}}{{b}}{{x}}}}", [OK], [f"AUTH EMPTY-0 {SENT}", MAIL],
              r"=> x@empty\.example .* A=empty0 C="),
}
# Debian's form of a list, with another separator
CASES["debian"] = (['  driver = plaintext\n  client_send = "<; ${if and{{eq{$tls_out_cipher}{}}{!eq{$host}{}}}{}fail} ; '
                    '${extract{1}{::}{u:s3cret}} ; ${sg{u:s3cret}{\\\\N([^:]+:)(.*)\\\\N}{\\\\$2}}"\n'], TRY, [f"334 {b64('U:')}", f"334 {b64('P:')}", OK],
                   ["AUTH DEBIAN-0", b64("u"), b64("s3cret"), MAIL], r"=> x@debian\.example .* A=debian0 ")
# a bounce: what comes from lost@bounce.example cannot be delivered
CASES["bounce"] = ([PLAIN], TRY, [OK], [f"AUTH BOUNCE-0 {SENT}", "MAIL FROM:<> AUTH=daemon@test.example"],
                   r"=> lost@bounce\.example .* A=bounce0:daemon@test\.example C=")
OFFERS = {"mustnone": ("AUTH NOSUCH",), "mustplain": ()}
CASES["mustnone"] = ([PLAIN], MUST, [], [], r"== x@mustnone\.example .*authentication required but no common mechanisms were found")
CASES["mustplain"] = ([PLAIN], MUST, [], [], r"== x@mustplain\.example .*authentication required but server did not advertise AUTH support")

ROUTERS = """out:
  driver = manualroute
  domains = ! +local_domains
  route_list = * mx.example
  self = send
  transport = ${lookup{$domain}lsearch{DIR/transports}}
"""


def offers(name):
    if name in OFFERS:
        return OFFERS[name]
    return ("SIZE", "AUTH " + " ".join(f"{name.upper()}-{i}" for i in range(len(CASES[name][0]))))


peers = {name: SaslPeer(case[2], offers(name)) for name, case in CASES.items()}
transports = "".join(f"t_{name}:\n  driver = smtp\n  port = {peer.port}\n  allow_localhost\n  size_addition = -1\n  hosts_try_chunking =\n"
                     f"  {CASES[name][1]}\n" for name, peer in peers.items())
authenticators = "".join(f"{name}{i}:\n  public_name = {name.upper()}-{i}\n{text}" for name, case in CASES.items()
                         for i, text in enumerate(case[0]))

with Site("log_selector = +smtp_mailauth\nqueue_only\nbounce_sender_authentication = daemon@test.example\n", routers=ROUTERS, transports=transports, authenticators=authenticators,
          dns=Dns("mx.example A 127.0.0.1\n"), start=False) as site:
    site.write("transports", "".join(f"{name}.example: t_{name}\n" for name in CASES))
    site.start()
    with site.smtplib() as smtp:
        smtp.sendmail("lost@bounce.example", ["nobody@test.example"], "Subject: x\r\n\r\nx\r\n")
        for name in CASES:
            if name != "bounce":
                smtp.sendmail("a@client.example", [f"x@{name}.example"], "Subject: x\r\n\r\nx\r\n")
    site.cli("-q")
    for name in CASES:
        wait_for(f"{name} was tried", lambda: re.search(rf"(=>|==|\*\*) (x|lost)@{name}\.example", site.mainlog()))
    log = site.mainlog()
    for name, (_, _, _, said, regex) in CASES.items():
        equal(peers[name].said(), said, f"{name}: what is sent")
        like(log, regex, f"{name}: {regex}"[:150])
    like(log, r"refused0 authenticator failed H=mx\.example \[127\.0\.0\.1\] 535 no$")
    everything = log + site.paniclog() + site.rejectlog() + site.read("stderr")
    for secret in ("s3cret", SENT, b64("s3cretP:"), b64("s3cret"), "tanstaaf", RESPONSE):
        unlike(everything, re.escape(secret), f"no log has {secret}")
