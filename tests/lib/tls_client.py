# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS for the scenarios' clients, by Python's ssl (OpenSSL): a Client whose connection is wrapped, and what went wrong if it was not."""
import socket
import ssl

from heddle import Client

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def context(certificate=None, version=None, ca=None, alpn=None, ciphers=None):
    """certificate: a file with its key, to show when asked; version: this one alone; ca: by which the server must be right."""
    made = ssl.create_default_context(cafile=ca) if ca else ssl._create_unverified_context()
    made.check_hostname = False
    if certificate:
        made.load_cert_chain(certificate)
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    if ciphers:
        made.set_ciphers(ciphers)
    return made


def wrap(client, ctx=None, name=None, session=None):
    """The handshake on a Client's connection; "" or what the client's side says against it."""
    try:
        client.sock = (ctx or context()).wrap_socket(client.sock, server_hostname=name, session=session, suppress_ragged_eofs=False)
    except OSError as error:
        return str(error) or repr(error)
    client.file = client.sock.makefile("rb")
    return ""


def starttls(site, ctx=None, name=None, helo="client.example", session=None):
    """Up to the end of the handshake, without another EHLO.  .trouble says what is wrong; "" if nothing is."""
    client = site.connect(helo=helo)
    answer = client.ask("STARTTLS")
    client.trouble = wrap(client, ctx, name, session) if answer == "220 TLS go ahead" else answer
    return client


def at_once(port, ctx=None, name=None):
    """A port where TLS begins at once; greeted."""
    client = Client(port, greeting=False)
    client.trouble = wrap(client, ctx, name)
    client.greeting = safely(client.reply)
    return client


def safely(fn, *arguments):
    """What it gives; "" where the connection is gone (TLS 1.3 tells a client afterwards that its certificate was not liked)."""
    try:
        return fn(*arguments)
    except (OSError, ValueError):
        return ""


def vanish(client):
    """Close the socket as it is: no close_notify."""
    sock = socket.socket(fileno=client.sock.detach())
    sock.close()


def message(client, sender="a@client.example", to="alice@test.example", text="Subject: x\r\n\r\nbody\r\n"):
    """One message; what was said at its end."""
    for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", "DATA"):
        answer = client.ask(line)
        if answer[:1] not in "23":
            return answer
    return client.ask(text + ".")
