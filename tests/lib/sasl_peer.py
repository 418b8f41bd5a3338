# SPDX-License-Identifier: GPL-3.0-or-later
"""An SMTP server that offers SASL mechanisms and goes by a script: what it answers to AUTH and to the lines of an exchange."""
import base64
import socket
import threading

CLOSE = None  # instead of an answer


def b64(text):
    return base64.b64encode(text.encode("latin-1") if isinstance(text, str) else text).decode()


class SaslPeer:
    """answers: used up one by one, by AUTH and by what is no SMTP command; commands: what was said, but for the body."""

    def __init__(self, answers=(), offers=("AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL",)):
        self.answers, self.offers, self.commands = list(answers), offers, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_quietly, args=(client,), daemon=True).start()

    def _serve_quietly(self, client):
        try:
            self._serve(client)
        except OSError:
            pass  # it went without QUIT

    def _answer(self, word):
        if word in ("EHLO", "LHLO"):
            lines = ["peer.example", *self.offers, "HELP"]
            return "\n".join(f"250{' ' if i + 1 == len(lines) else '-'}{line}" for i, line in enumerate(lines))
        if word in ("MAIL", "RCPT", "RSET"):
            return "250 ok"
        if word in ("DATA", "QUIT"):
            return "354 go on" if word == "DATA" else "221 bye"
        return self.answers.pop(0) if self.answers else "500 what"

    def _serve(self, client):
        with client, client.makefile("rb") as lines:
            client.sendall(b"220 peer.example ESMTP\r\n")
            in_data = False
            for line in lines:
                text = line.decode("latin-1").rstrip("\r\n")
                if in_data:
                    in_data = text != "."
                    if not in_data:
                        client.sendall(b"250 taken\r\n")
                    continue
                self.commands.append(text)
                word = text[:4]
                answer = self._answer(word)
                if answer is CLOSE:
                    return
                client.sendall((answer.replace("\n", "\r\n") + "\r\n").encode("latin-1"))
                in_data = word == "DATA"

    def said(self):
        """AUTH, the lines of the exchanges, and MAIL."""
        return [line for line in self.commands if line[:4] not in ("EHLO", "LHLO", "RCPT", "DATA", "QUIT", "RSET")]
