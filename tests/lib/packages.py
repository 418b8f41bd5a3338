# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages that a scenario wants programs from, unpacked without being installed.

unpacked("postfix") is the folder that holds its usr/, or None.  Packages are fetched once, by apt-get download, into $HEDDLE_CACHE
or /var/tmp/heddle-tests-UID (other accounts run what is there); without the network there is no package, and the scenario skips."""
import fcntl
import os
import re
import subprocess

CACHE = os.environ.get("HEDDLE_CACHE") or f"/var/tmp/heddle-tests-{os.getuid()}"


def _run(*words, cwd=None):
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
                              cwd=cwd, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _installed(name):
    done = _run("dpkg-query", "-W", "-f=${Status}", name)
    return done is not None and "install ok installed" in done.stdout


def _fetch(name, root):
    """Into root, unless it is there: True when it is."""
    mark = os.path.join(root, f".{name}")
    if os.path.exists(mark):
        return True
    folder = os.path.join(root, "deb")
    os.makedirs(folder, exist_ok=True)
    _run("apt-get", "-q", "download", name, cwd=folder)
    for file in sorted(os.listdir(folder)):
        if file.startswith(f"{name}_") and file.endswith(".deb"):
            done = _run("dpkg", "-x", os.path.join(folder, file), root)
            if done is not None and done.returncode == 0:
                with open(mark, "w", encoding="utf-8") as out:
                    out.write(file)
                return True
    return False


def _wanted_libraries(name):
    done = _run("apt-cache", "depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces",
                "--no-enhances", name)
    return re.findall(r"^ +(?:Depends|PreDepends): (lib[\w.+-]+)$", done.stdout if done else "", re.M)


def _fetch_libraries(name, root, depth=3):
    for library in _wanted_libraries(name):
        if not _installed(library) and not os.path.exists(os.path.join(root, f".{library}")):
            if _fetch(library, root) and depth:
                _fetch_libraries(library, root, depth - 1)


def unpacked(name, libraries=True):
    """The folder with the package's files (and the libraries that it needs and that are not installed)."""
    try:
        root = os.path.join(CACHE, name)
        os.makedirs(root, exist_ok=True)
        if os.stat(CACHE).st_uid != os.getuid():
            return None  # somebody else's
        with open(os.path.join(CACHE, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(os.path.join(root, f".{name}")):
                if not _fetch(name, root):
                    return None
                if libraries:
                    _fetch_libraries(name, root)
        return root
    except OSError:
        return None


def library_path(root):
    """What LD_LIBRARY_PATH must be for the package's programs."""
    found = []
    for where in ("usr/lib", "lib"):
        for folder, _, files in os.walk(os.path.join(root, where)):
            if any(".so" in file for file in files):
                found.append(folder)
    return ":".join(found)


def program(name, package):
    """A command's words and its environment: what is installed, or else from the package unpacked; (None, why) without."""
    for folder in os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/usr/local/sbin"]:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path, dict(os.environ)
    root = unpacked(package)
    for folder in ("usr/sbin", "usr/bin", "usr/lib/postfix/sbin"):
        path = os.path.join(root or "/nonexistent", folder, name)
        if os.access(path, os.X_OK):
            return path, dict(os.environ, LD_LIBRARY_PATH=library_path(root))
    return None, f"{name} is not installed, and Debian's package {package} could not be fetched"


def document(package, path):
    """The text file PATH of the package's documentation, from where it is installed or from the package unpacked."""
    for root in ("/", None):
        if root is None:
            root = unpacked(package, libraries=False)
        name = os.path.join(root or "/nonexistent", "usr/share/doc", package, path)
        if os.path.exists(name):
            return name
    return None
