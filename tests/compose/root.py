"""Writes to standard output a tar of a small Debian, made of packages that are installed on this machine.

    root.py PACKAGE...

In it is every file of the packages and of what they depend on, and the system's users and certificates. So the base of the
stand-in images needs neither a registry nor a download, and takes seconds (`debootstrap` with the same packages: three
minutes on two cores). Documentation is left out, and what only a whole system needs (LEFT_OUT).
"""

import os
import re
import subprocess
import sys

# What packages name as a dependency and programs in a container do without.
LEFT_OUT = {
    "adduser", "debconf", "dpkg", "init-system-helpers", "logrotate", "lsb-base", "perl", "postgresql-common",
    "postgresql-client-common", "python3", "ssl-cert", "sysvinit-utils", "systemd", "ucf",
}
# What is in the packages and nobody reads there.
UNREAD = re.compile(r"^/usr/share/(doc|man|info|locale|lintian|bash-completion|i18n|bug)(/|$)")
# Made at installation, so no package has it: users, certificates, where libraries are, what an alternative stands for.
MADE = ["/etc/passwd", "/etc/group", "/etc/ssl/certs", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/alternatives"]
# Debian's merged /usr: these are links.
LINKS = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"]


def installed():
    """Every installed package with what it depends on, by name, and the packages that a virtual name stands for."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Status}\t${Depends}, ${Pre-Depends}\t${Provides}\n"],
        check=True, capture_output=True, text=True).stdout
    depends, provides = {}, {}
    for line in shown.splitlines():
        package, status, needs, gives = line.split("\t")
        if status != "installed":
            continue
        depends[package] = [[name_of(one) for one in either.split("|")] for either in needs.split(",") if either.strip()]
        for name in gives.split(","):
            provides.setdefault(name_of(name), package)
    return depends, provides


def name_of(dependency):
    return re.sub(r"[(:\s].*", "", dependency.strip())


def closure(wanted, depends, provides):
    found, left = set(), list(wanted)
    while left:
        package = left.pop()
        if package in found or package in LEFT_OUT:
            continue
        if package not in depends:
            sys.exit(f"root.py: the package {package} is not installed: run tests/compose/install.sh")
        found.add(package)
        for either in depends[package]:
            there = [provides.get(one, one) if one not in depends else one for one in either]
            left += [one for one in there if one in depends][:1]
    return found


def files_of(packages):
    listed = subprocess.run(["dpkg-query", "-L", *sorted(packages)], check=True, capture_output=True, text=True).stdout
    named = {line for line in listed.splitlines() if line.startswith("/") and line != "/."}
    for made in MADE:
        named.add(made)
        named |= {os.path.join(folder, name) for folder, below, files in os.walk(made) for name in below + files}
    # By where they really are: a package may name a path through one of the links.
    there = {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in named}
    return sorted(path.lstrip("/") for path in there if os.path.lexists(path) and not UNREAD.match(path))


def main(wanted):
    files = files_of(closure(wanted, *installed()))
    links = [link for link in LINKS if os.path.islink(f"/{link}")]
    files = [file for file in files if file not in links] + links
    # Folders are named one by one, each as the machine has it.
    subprocess.run(
        ["tar", "--create", "--directory=/", "--no-recursion", "--null", "--files-from=-", "--sort=none"],
        input="\0".join(files).encode(), check=True)


main(sys.argv[1:])
