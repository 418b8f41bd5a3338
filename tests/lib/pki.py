# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for the scenarios, made by openssl(1) in a directory of their own: an authority, what it has signed, and others."""
import os
import ssl
import subprocess

import cert_resign
from heddle import PATIENCE


class Authority:
    """A CA in folder; its certificate is folder/NAME.pem.  curve: EC keys, which are quick to make."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name, self.serial = folder, name, 1
        os.makedirs(folder, exist_ok=True)
        self.pem, self.key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        self._run("req", "-x509", *self._new_key(), "-nodes", "-keyout", self.key, "-out", self.pem, "-days", "30",
                  "-subj", f"/O=Test/CN={name}", "-addext", "basicConstraints=critical,CA:true",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        os.chmod(self.pem, 0o644)

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _new_key():
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

    @staticmethod
    def _run(*words):
        subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=PATIENCE, check=True)

    def issue(self, name, names=None, usage="serverAuth", expired=False, rsa=False):
        """A certificate with its key in one file, whose path is given; names: its subjectAltNames ("DNS:x", "email:y", or a bare
        host name)."""
        base, self.serial = self.path(f"{name}"), self.serial + 1
        alternative = ",".join(n if ":" in n else f"DNS:{n}" for n in (names or [name]))
        with open(f"{base}.ext", "w", encoding="ascii") as out:
            out.write(f"subjectAltName={alternative}\nextendedKeyUsage={usage}\nbasicConstraints=CA:false\n")
        key = ["-newkey", "rsa:2048"] if rsa else self._new_key()
        self._run("req", "-new", *key, "-nodes", "-keyout", f"{base}.key", "-out", f"{base}.csr", "-subj", f"/O=Test/CN={name}")
        self._run("x509", "-req", "-in", f"{base}.csr", "-CA", self.pem, "-CAkey", self.key, "-set_serial", str(self.serial),
                  "-days", "-1" if expired else "30", "-extfile", f"{base}.ext", "-out", f"{base}.crt")
        with open(f"{base}.pem", "w", encoding="ascii") as out:
            for part in ("crt", "key"):
                with open(f"{base}.{part}", encoding="ascii") as file:
                    out.write(file.read())
        os.chmod(f"{base}.pem", 0o644)
        return f"{base}.pem"

    def alter(self, name, old, new):
        """The certificate of this name once more, with other bytes (of the same file): for what openssl(1) would not write."""
        base = self.path(name)
        with open(f"{base}.pem", encoding="ascii") as file:
            head, end, key = file.read().partition("-----END CERTIFICATE-----\n")
        der = cert_resign.resign(ssl.PEM_cert_to_DER_cert(head + end), old, new, self.key)
        with open(f"{base}.pem", "w", encoding="ascii") as out:
            out.write(ssl.DER_cert_to_PEM_cert(der) + key)
        return f"{base}.pem"

    def _index(self, lines):
        """The list that openssl(1) keeps of an authority's certificates: (state, name, serial)."""
        with open(self.path("index"), "w", encoding="ascii") as out:
            for state, name, serial in lines:
                out.write(f"{state}\t350101000000Z\t{'250101000000Z' if state == 'R' else ''}\t{serial:02X}\tunknown\t/O=Test/CN={name}\n")
        with open(self.path("ca.conf"), "w", encoding="ascii") as out:
            out.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.path('index')}\ndefault_md=sha256\ndefault_crl_days=30\n")

    def crl(self, *serials):
        """A list of revoked certificates."""
        self._index([("R", "revoked", serial) for serial in serials])
        self._run("ca", "-config", self.path("ca.conf"), "-gencrl", "-keyfile", self.key, "-cert", self.pem, "-out", self.path("crl.pem"))
        os.chmod(self.path("crl.pem"), 0o644)
        return self.path("crl.pem")

    def ocsp(self, name, serial, revoked=False):
        """A response that says how it stands with a certificate that was issued."""
        self._index([("R" if revoked else "V", name, serial)])
        made = self.path(f"{name}.ocsp")
        self._run("ocsp", "-index", self.path("index"), "-rsigner", self.pem, "-rkey", self.key, "-CA", self.pem, "-issuer", self.pem,
                  "-cert", self.path(f"{name}.crt"), "-respout", made + ".new")
        os.chmod(made + ".new", 0o644)
        os.replace(made + ".new", made)
        return made
