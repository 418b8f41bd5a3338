# SPDX-License-Identifier: GPL-3.0-or-later
"""An SMTP or LMTP server for the scenarios that speaks the extensions and TLS, and can be told to go wrong anywhere.

peer = Peer({"RCPT": "450 later"}, extensions=("PIPELINING", "CHUNKING"), certificate="server.pem")
replies by command word, CONNECT, END (of the data), TLS (the handshake), PRDR and LMTP (an answer for a recipient) too: a text,
DROP, STALL, a list that is used up one by one, or a function of the line.  What came: peer.messages, peer.sessions."""
import os
import re
import socket
import ssl
import threading
import time

from peers import DROP, STALL

EVERYTHING = ("SIZE 100000000", "8BITMIME", "PIPELINING", "CHUNKING", "PRDR", "DSN", "SMTPUTF8", "LIMITS MAILMAX=100 RCPTMAX=50")


class Session:
    def __init__(self):
        self.commands = []        # (line, was it in TLS)
        self.tls = None           # the version
        self.sni = self.client = self.user = None
        self.resumed = False
        self.early = False        # the client spoke before the greeting

    def words(self):
        return [line.split(" ")[0].upper() for line, _ in self.commands]


class Message:
    def __init__(self):
        self.mail, self.rcpt, self.body, self.tls, self.bdat, self.user = "", [], b"", False, 0, None

    def __repr__(self):
        return f"<{self.mail} {self.rcpt} {len(self.body)} bytes tls={self.tls}>"


class Gone(Exception):
    pass


class Peer:
    def __init__(self, replies=None, extensions=("PIPELINING", "8BITMIME", "SIZE 100000000"), certificate=None, on_connect=False,
                 ca=None, lmtp=False, auth=None, path=None, after_starttls=b"", greeting_delay=0, versions=None, host="127.0.0.1"):
        self.replies, self.extensions, self.lmtp, self.auth = dict(replies or {}), tuple(extensions), lmtp, auth
        self.on_connect, self.after_starttls, self.greeting_delay = on_connect, after_starttls, greeting_delay
        self.sessions, self.messages, self.lock = [], [], threading.Lock()
        self.context = self._context(certificate, ca, versions) if certificate else None
        if path:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(path)
            os.chmod(path, 0o777)
            self.port = None
        else:
            self.listener = socket.create_server((host, 0))
            self.port = self.listener.getsockname()[1]
        self.listener.listen(200)
        threading.Thread(target=self._accept, daemon=True).start()

    def _context(self, certificate, ca, versions):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if ca:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        if versions:
            context.minimum_version = context.maximum_version = versions
        def name(sock, sni, _):
            self._naming[sock] = sni
        self._naming = {}
        context.sni_callback = name
        return context

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def close(self):
        self.listener.close()

    def wait(self, wanted, patience=30):
        until = time.monotonic() + patience
        while len(self.messages) < wanted and time.monotonic() < until:
            time.sleep(0.02)
        return list(self.messages)

    def _told(self, word, line, usual):
        with self.lock:
            told = self.replies.get(word)
            if isinstance(told, list):
                told = told.pop(0) if len(told) > 1 else told[0]
        told = told(line) if callable(told) else usual if told is None else told
        return told

    def _serve(self, sock):
        session = Session()
        with self.lock:
            self.sessions.append(session)
        try:
            Conversation(self, sock, session).run()
        except (Gone, OSError, ValueError):
            pass
        finally:
            try:
                sock.close()
            except OSError:
                pass


class Conversation:
    def __init__(self, peer, sock, session):
        self.peer, self.sock, self.session, self.data = peer, sock, session, b""
        self.message = None

    # bytes

    def more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise Gone
        self.data += piece

    def line(self):
        while b"\n" not in self.data:
            self.more()
        line, _, self.data = self.data.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def exactly(self, count):
        while len(self.data) < count:
            self.more()
        piece, self.data = self.data[:count], self.data[count:]
        return piece

    def say(self, word, line, usual):
        told = self.peer._told(word, line, usual)
        if told is STALL:
            while True:
                self.more()
                self.data = b""
        if told is DROP:
            raise Gone
        self.sock.sendall((told.replace("\n", "\r\n") + "\r\n").encode("latin-1"))
        return told

    def start_tls(self):
        told = self.peer._told("TLS", "", None)
        if told is DROP:
            raise Gone
        if told is STALL:
            while True:
                self.more()
                self.data = b""
        if isinstance(told, str):  # rubbish in place of a handshake
            self.sock.sendall(told.encode("latin-1"))
            time.sleep(0.3)
            raise Gone
        inner = self.sock
        self.sock = self.peer.context.wrap_socket(inner, server_side=True)
        self.session.tls = self.sock.version()
        self.session.resumed = self.sock.session_reused
        self.session.client = self.sock.getpeercert() if self.peer.context.verify_mode else None
        with self.peer.lock:
            self.session.sni = self.peer._naming.pop(self.sock, None)
        self.data = b""

    # the protocol

    def run(self):
        peer = self.peer
        if peer.on_connect:
            self.start_tls()
        if peer.greeting_delay:
            time.sleep(peer.greeting_delay)
            self.sock.setblocking(False)
            try:
                self.data += self.sock.recv(65536)
                self.session.early = bool(self.data)
            except OSError:
                pass
            self.sock.setblocking(True)
        told = self.say("CONNECT", "", "220 peer.example ESMTP")
        while told:
            line = self.line()
            self.session.commands.append((line, self.session.tls is not None))
            word = line.split(" ")[0].upper()
            handler = getattr(self, f"do_{word.lower()}", None)
            if handler:
                handler(line)
            else:
                self.say(word, line, "500 what")
            if word == "QUIT":
                return

    def hello(self, word, line):
        extensions = list(self.peer.extensions)
        if self.peer.context and not self.session.tls:
            extensions.append("STARTTLS")
        if self.peer.auth and (self.session.tls or not self.peer.context):
            extensions.append(f"AUTH {self.peer.auth}")
        lines = ["peer.example"] + extensions
        self.message = None
        self.say(word, line, "\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{text}" for i, text in enumerate(lines)))

    def do_ehlo(self, line):
        if self.peer.lmtp:
            return self.say("EHLO", line, "500 this is LMTP")
        return self.hello("EHLO", line)

    def do_lhlo(self, line):
        self.hello("LHLO", line)

    def do_helo(self, line):
        self.say("HELO", line, "250 peer.example")

    def do_starttls(self, line):
        told = self.peer._told("STARTTLS", line, "220 go ahead")
        if told is DROP:
            raise Gone
        if told is STALL:
            while True:
                self.more()
        self.sock.sendall(told.encode("latin-1") + b"\r\n" + self.peer.after_starttls)
        if told.startswith("220"):
            self.start_tls()

    def do_auth(self, line):
        told = self.say("AUTH", line, "235 in")
        if told.startswith("334"):
            self.session.commands.append((self.line(), self.session.tls is not None))
            told = self.say("AUTH2", line, "235 in")
        if told.startswith("235"):
            self.session.user = line

    def do_mail(self, line):
        if self.say("MAIL", line, "250 OK").startswith("2"):
            self.message = Message()
            self.message.mail, self.message.tls, self.message.user = line, self.session.tls is not None, self.session.user

    def do_rcpt(self, line):
        if self.message is None:
            return self.say("RCPT", line, "503 MAIL first")
        told = self.say("RCPT", line, "250 OK")
        if told.startswith("2"):
            self.message.rcpt.append(line)
        return told

    def do_rset(self, line):
        self.message = None
        self.say("RSET", line, "250 OK")

    def do_noop(self, line):
        self.say("NOOP", line, "250 OK")

    def do_quit(self, line):
        self.say("QUIT", line, "221 bye")

    def do_data(self, line):
        good = self.message is not None and self.message.rcpt
        told = self.say("DATA", line, "354 go on" if good else "503 nobody")
        if not told.startswith("354"):
            return
        lines = []
        while True:
            text = self.line()
            if text == ".":
                break
            lines.append(text[1:] if text.startswith(".") else text)
        if good:
            self.message.body = "".join(f"{text}\r\n" for text in lines).encode("latin-1")
        self.finish(line)

    def do_bdat(self, line):
        words = line.split()
        body = self.exactly(int(words[1]))
        if self.message is None or not self.message.rcpt:
            return self.say("BDAT", line, "503 nobody")
        self.message.body += body
        self.message.bdat += 1
        if len(words) > 2 and words[2].upper() == "LAST":
            return self.finish(line)
        if not self.say("BDAT", line, f"250 {len(body)} octets").startswith("2"):
            self.message = None

    def finish(self, line):
        message, self.message = self.message, None
        taken = []
        if self.peer.lmtp:
            for recipient in message.rcpt:
                if self.say("LMTP", recipient, "250 2.1.5 kept").startswith("2"):
                    taken.append(recipient)
            message.rcpt = taken
        else:
            if " PRDR" in message.mail:
                if not self.say("353", line, "353 each for itself").startswith("353"):
                    return
                for recipient in message.rcpt:
                    if self.say("PRDR", recipient, "250 for this one").startswith("2"):
                        taken.append(recipient)
                message.rcpt = taken
            if not self.say("END", line, "250 OK taken").startswith("2"):
                return
        if message.rcpt:
            with self.peer.lock:
                self.peer.messages.append(message)


def addresses(lines):
    """The addresses of MAIL or RCPT lines."""
    return [re.search("<(.*?)>", line).group(1) for line in lines]
