#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 1413: the client's host is asked who it is, within the time that is set; what it answers is text, and no more."""
import socketserver
import threading
import time

from heddle import Site, check, equal, like, unlike, wait_for

questions, answers = [], []


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode().strip()
        questions.append(line)
        how = answers.pop(0) if answers else ""
        if how == "stall":
            time.sleep(3)
        elif how == "drip":
            for byte in f"{line} : USERID : UNIX : slow\r\n".encode():
                self.wfile.write(bytes([byte]))
                time.sleep(0.01)
        else:
            self.wfile.write(how.replace("PORTS", line).replace("OTHER", "1 ," + line.split(",")[1]).encode("latin-1"))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
GOOD = "PORTS : USERID : UNIX : joe\r\n"


def ident(answer):
    answers[:] = [answer]
    client = site.connect()
    hello = client.ask("HELO me.example")
    client.close()
    return hello


with Site(f"rfc1413_query_timeout = 1s\nrfc1413_hosts = 127.0.0.1\nrfc1413_port = {server.server_address[1]}\nqueue_only\n") as site:
    equal(ident(GOOD), "250 mx.test.example Hello joe at me.example [127.0.0.1]")
    like(questions[-1], rf"^\d+ , {site.port}$", "the question")
    equal(ident("drip"), "250 mx.test.example Hello slow at me.example [127.0.0.1]", "an answer in small pieces")
    for bad in ("PORTS : ERROR : NO-USER\r\n", "", "nonsense\r\n", "1 , 2 : USERID : UNIX : mallory\r\n", "OTHER : USERID : UNIX : mallory\r\n", "PORTS : USERID : UNIX :   \r\n",
                "x" * 5000, "PORTS : USERID : UNIX : joe"):
        equal(ident(bad), "250 mx.test.example Hello me.example [127.0.0.1]", f"no name: {bad[:30]!r}")
    equal(ident("PORTS : USERID : UNIX : a\x01b\x7fc" + "y" * 200 + "\r\n"),
          "250 mx.test.example Hello a?b?c" + "y" * 122 + " at me.example [127.0.0.1]", "control characters and length")
    began = time.monotonic()
    equal(ident("stall"), "250 mx.test.example Hello me.example [127.0.0.1]", "no answer")
    took = time.monotonic() - began
    check(0.8 < took < 2.9, "the time that is set", took)
    answers[:] = ["stall"]
    count = len(questions)
    client = site.connect(greeting=False)
    wait_for("the host is asked", lambda: len(questions) > count)
    client.vanish()  # before there is an answer
    answers[:] = [GOOD]
    client = site.connect(helo="me.example")
    client.ask("MAIL FROM:<a@client.example>")
    client.ask("RCPT TO:<alice@test.example>")
    client.ask("DATA")
    client.ask("Subject: x\r\n\r\nx\r\n.")
    client.close()
    like(site.mainlog(), r"<= a@client.example H=\(me.example\) \[127.0.0.1\] U=joe P=", "U= in the log")

with Site("rfc1413_query_timeout = 1s\nrfc1413_hosts = *\nrfc1413_port = 1\n") as site:
    before = time.monotonic()
    unlike(site.connect().ask("HELO me.example"), " at me.example", "nobody listens there")
    check(time.monotonic() - before < 0.9, "which is known at once")
with Site(f"rfc1413_hosts = *\nrfc1413_port = {server.server_address[1]}\n") as site:
    count = len(questions)
    site.connect().ask("HELO me.example")
    equal(len(questions), count, "by default nobody is asked")
