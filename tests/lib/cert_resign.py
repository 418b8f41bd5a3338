# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate from stdin, some bytes of it changed, and signed anew by an EC key: for what openssl(1) does not write.
usage: cert_resign.py FROM TO CAKEY <DER >DER   (FROM and TO in hex; lengths round them are put right)"""
import subprocess
import sys


def element(data, at=0):
    """(head's end, end) of the element that begins there."""
    n, head = data[at + 1], at + 2
    if n & 0x80:
        head += n & 0x7f
        n = int.from_bytes(data[at + 2:head], "big")
    return head, head + n


def encode(tag, body):
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body


def replaced(data, old, new):
    """The elements of data, with the one place changed, and the lengths of what it is in."""
    made, at = b"", 0
    while at < len(data):
        head, end = element(data, at)
        whole = data[at:end]
        if old in whole and data[at] & 0x20 and old != whole:
            whole = encode(data[at], replaced(data[head:end], old, new))
        elif old in whole:
            whole = whole.replace(old, new)
        made, at = made + whole, end
    return made


def resign(data, old, new, key):
    """The certificate with new in the place of old, by the authority whose EC key is in this file."""
    parts, at = [], element(data)[0]
    while at < len(data):
        end = element(data, at)[1]
        parts.append(data[at:end])
        at = end
    tbs = replaced(parts[0], old, new)
    if tbs == parts[0]:
        raise SystemExit("the certificate does not have these bytes")
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=tbs, stdout=subprocess.PIPE, check=True).stdout
    return encode(0x30, tbs + parts[1] + encode(3, b"\0" + signature))


if __name__ == "__main__":
    sys.stdout.buffer.write(resign(sys.stdin.buffer.read(), bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3]))
