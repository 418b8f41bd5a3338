# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers for the scenarios: an SMTP server that answers what it is told to, and an authoritative name server."""
import re
import socket
import socketserver
import struct
import threading
import time

DROP = object()   # as a reply: close the connection
STALL = object()  # say nothing until the client goes away


class Sink:
    """An SMTP server on a free loopback port.  replies = {"MAIL": "450 later"} by command word (CONNECT, DATA, END for the
    end of data too): a text, DROP, STALL, a list that is used up one by one (its last stays), or a function of the line."""

    def __init__(self, replies=None, extensions=("SIZE 100000000", "8BITMIME", "PIPELINING"), host="127.0.0.1", port=0):
        self.replies, self.extensions = dict(replies or {}), extensions
        self.messages, self.commands, self.connections = [], [], 0
        self.lock = threading.Lock()
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                sink.serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
            request_queue_size = 200

        self.server = Server((host, port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, word, line, usual):
        with self.lock:
            told = self.replies.get(word)
            if isinstance(told, list):
                told = told.pop(0) if len(told) > 1 else told[0]
        return told(line) if callable(told) else usual if told is None else told

    def say(self, handler, word, line, usual):
        """False: the connection is to end."""
        told = self.answer(word, line, usual)
        if told is STALL:
            try:
                while handler.request.recv(4096):
                    pass
            except OSError:
                pass
            return False, ""
        if told is DROP:
            return False, ""
        handler.wfile.write((told.replace("\n", "\r\n") + "\r\n").encode("latin-1"))
        return True, told

    def data(self, handler):
        lines = []
        while True:
            line = handler.rfile.readline()
            if not line:
                return None
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)

    def serve(self, handler):
        with self.lock:
            self.connections += 1
        sender, recipients = None, []
        goes_on, _ = self.say(handler, "CONNECT", "", "220 sink.example ESMTP")
        while goes_on:
            try:
                line = handler.rfile.readline()
            except OSError:
                return
            if not line:
                return
            text = line.decode("latin-1").rstrip("\r\n")
            word = text[:4].upper()
            with self.lock:
                self.commands.append(text)
            try:
                if word == "EHLO":
                    usual = "\n".join(["250-sink.example"] + [f"250-{e}" for e in self.extensions])
                    head, _, last = usual.rpartition("\n")
                    goes_on, _ = self.say(handler, word, text, f"{head}\n{last.replace('250-', '250 ', 1)}".lstrip("\n"))
                elif word == "DATA":
                    goes_on, told = self.say(handler, word, text, "354 go on" if recipients else "503 no recipients")
                    if goes_on and told.startswith("354"):
                        body = self.data(handler)
                        if body is None:
                            return
                        goes_on, told = self.say(handler, "END", text, "250 OK taken")
                        if goes_on and told.startswith("2"):
                            with self.lock:
                                self.messages.append((sender, list(recipients), body.decode("latin-1")))
                        sender, recipients = None, []
                else:
                    usual = "221 bye" if word == "QUIT" else "503 MAIL first" if word == "RCPT" and sender is None else "250 OK"
                    goes_on, told = self.say(handler, word, text, usual)
                    address = re.search(r"<(.*?)>", text)
                    if goes_on and told.startswith("2") and word == "MAIL":
                        sender, recipients = address.group(1), []
                    elif goes_on and told.startswith("2") and word == "RCPT":
                        recipients.append(address.group(1))
                    elif word == "RSET":
                        sender, recipients = None, []
                    elif word == "QUIT":
                        return
            except OSError:
                return

    def wait(self, wanted, patience=30):
        until = time.monotonic() + patience
        while len(self.messages) < wanted and time.monotonic() < until:
            time.sleep(0.02)
        return list(self.messages)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".") if label) + b"\0"


def _rdata(kind, data):
    if kind == "A":
        return socket.inet_aton(data)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, data)
    if kind == "MX":
        preference, name = data.split()
        return struct.pack(">H", int(preference)) + _name("" if name == "." else name)
    if kind == "TXT":
        return bytes([len(data)]) + data.encode()
    if kind == "SRV":
        *numbers, name = data.split()
        return struct.pack(">3H", *map(int, numbers)) + _name(name)
    return _name(data)


class Dns:
    """An authoritative server on a free loopback port, UDP and TCP.  The zone: lines "NAME TYPE DATA"; types FAIL (SERVFAIL for
    that name) and SILENT (no answer at all) too.  What is not there is NXDOMAIN, or no data when the name has other types."""

    def __init__(self, zone, port=0):
        self.records, self.questions = {}, []
        for line in zone.strip().splitlines():
            name, kind, data = (line.split(None, 2) + [""])[:3]
            self.records.setdefault(name.lower().rstrip("."), []).append((kind, data))
        for _ in range(50):
            self.tcp = socket.create_server(("127.0.0.1", port))
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.tcp.close()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            answer = self.answer(query)
            if answer:
                self.udp.sendto(answer, peer)

    def _serve_tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(sock,), daemon=True).start()

    def _serve_one(self, sock):
        with sock, sock.makefile("rb") as file:
            while True:
                head = file.read(2)
                if len(head) < 2:
                    return
                answer = self.answer(file.read(struct.unpack(">H", head)[0]))
                if answer:
                    sock.sendall(struct.pack(">H", len(answer)) + answer)

    def answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        name, (kind,) = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])
        question = query[12:at + 5]
        self.questions.append((name, kind))
        known = self.records.get(name, [])
        kinds = [k for k, _ in known]
        if "SILENT" in kinds:
            return None
        answers, owner = [], name
        for _ in range(8):
            here = self.records.get(owner, [])
            answers += [(owner, k, d) for k, d in here if TYPES.get(k) == kind or k == "CNAME"]
            alias = [d for k, d in here if k == "CNAME"]
            if not alias or kind == 5:
                break
            owner = alias[0].lower().rstrip(".")
        below = any(n.endswith("." + name) for n in self.records)
        code = 2 if "FAIL" in kinds else 0 if known or below else 3
        out = query[:2] + struct.pack(">5H", 0x8480 | code, 1, len(answers), 0 if answers else 1, 0) + question
        for owner, k, data in answers:
            raw = _rdata(k, data)
            out += _name(owner) + struct.pack(">2HIH", TYPES[k], 1, 60, len(raw)) + raw
        if not answers:  # what negative answers are cached by
            soa = _name("ns.invalid") + _name("root.invalid") + struct.pack(">5I", 1, 60, 60, 60, 5)
            out += _name(name.split(".", 1)[-1] if "." in name else name) + struct.pack(">2HIH", 6, 1, 5, len(soa)) + soa
        return out

    def close(self):
        self.udp.close()
        self.tcp.close()
