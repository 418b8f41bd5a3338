#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""${readsocket} against servers on loopback: what is sent and read, the end of the request, time limits, the text for failures."""
import os
import socket
import threading
import time

from heddle import Site, check, equal, like


class Server(threading.Thread):
    """Answers each connection with what it read in brackets, at the end of the request or after one line."""

    def __init__(self, listener, until_end=True, silent=False):
        super().__init__(daemon=True)
        self.listener, self.until_end, self.silent = listener, until_end, silent
        listener.listen(5)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            got = b""
            while self.until_end or b"\n" not in got:
                piece = peer.recv(4096)
                if not piece:
                    break
                got += piece
            if self.silent:
                time.sleep(3)
            else:
                peer.sendall(b"[" + got + b"]\nsecond\n")
            peer.close()


with Site(start=False) as site:
    def unix(name, **how):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(site.path(name))
        os.chmod(site.path(name), 0o777)
        Server(listener, **how)
        return site.path(name)

    def expand(text):
        return site.cli("-be", text).stdout.rstrip("\n")

    plain, line, silent = unix("plain"), unix("line", until_end=False), unix("silent", silent=True)
    tcp = socket.create_server(("127.0.0.1", 0))
    Server(tcp)
    port = tcp.getsockname()[1]

    equal(expand("${readsocket{%s}{hello}}" % plain), "[hello]\nsecond", "a unix socket; the request ends")
    equal(expand("${readsocket{%s}{}}" % plain), "[]\nsecond", "an empty request")
    equal(expand("${readsocket{%s}{hello}{3s}{,}}" % plain), "[hello],second,", "newlines become what is wanted")
    equal(expand("${readsocket{%s}{a\\n}{3s:shutdown=no}{ / }}" % line), "[a / ] / second / ", "without an end of the request")
    equal(expand("${readsocket{inet:127.0.0.1:%d}{x}{}{}}" % port), "[x]second", "TCP")
    equal(expand("${readsocket{inet:[127.0.0.1]:%d}{x}{5s}{}{no}}" % port), "[x]second", "TCP, an address in brackets")
    equal(expand("${strlen:${readsocket{%s}{${expand:${length_70000:${map{<,a,b}{x}}}}}}}" % plain), "13", "it is an expansion like others")
    equal(expand("${readsocket{DIR/none}{x}{1s}{}{sorry $primary_hostname}}".replace("DIR", site.dir))[:5], "sorry",
          "the text for failures is expanded")
    like(expand("${readsocket{DIR/none}{x}}".replace("DIR", site.dir)), r"Failed: failed to connect to socket .*none: No such file")
    began = time.monotonic()
    like(expand("${readsocket{%s}{x}{400ms}}".replace("400ms", "0.4s") % silent), r"Failed: socket read timed out", "a server that is silent")
    check(time.monotonic() - began < 2.5, "the time limit counts")
    equal(expand("${readsocket{%s}{x}{0.3s}{}{late}}" % silent), "late", "the text for a server that is silent")
    like(expand("${readsocket{%s}{x}{3s:tls=yes}}" % plain), r"not supported yet: readsocket with tls=yes")
