"""Somebody who listens wherever the attacks of class `network` knock, in a network namespace of his own.

    stand-ins.py serve FILE    gives the loopback device the addresses, listens, and writes a line into FILE when he does,
                               and one for whoever comes
    stand-ins.py probe         says who of them does not answer, from within the same namespace
"""

import select
import socket
import subprocess
import sys
import time

ADDRESSES = [
    # what clouds tell their machines
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "64:ff9b::a9fe:a9fe",
    # private ranges, and addresses that documents use for others
    "10.0.0.1", "172.17.0.1", "192.168.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "192.0.2.1", "198.51.100.1",
    "2001:db8::1",
]
# SSH, DNS, HTTP, engine, gateway, runner, PostgreSQL, Redis, a VM's published port
TCP = [22, 53, 80, 443, 2222, 2375, 2376, 4610, 4611, 5432, 6379]
UDP = [53, 67, 5353]
KNOWN = b"control"


def listen():
    sockets = {}
    for kind, ports in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
        for port in ports:
            one = socket.socket(socket.AF_INET6, kind)
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("::", port))
            if kind == socket.SOCK_STREAM:
                one.listen(64)
            sockets[one] = f"{'tcp' if kind == socket.SOCK_STREAM else 'udp'} {port}"
    return sockets


def serve(path):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        family = ["-6"] if ":" in address else []
        length = "128" if ":" in address else "32"
        subprocess.run(["ip", *family, "address", "add", f"{address}/{length}", "dev", "lo"], check=True)
    sockets, guests, words = listen(), {}, open(path, "a", buffering=1)
    words.write("ready\n")
    while True:
        for one in select.select([*sockets, *guests], [], [], 0.2)[0]:
            if one in guests:
                continue
            if one.type == socket.SOCK_STREAM:
                guest, peer = one.accept()
                guests[guest] = (time.monotonic(), f"{sockets[one]} at {guest.getsockname()[0]} from {peer[0]}")
            else:
                said, peer = one.recvfrom(64)
                if said == KNOWN:
                    one.sendto(b"here", peer)
                else:
                    words.write(f"{sockets[one]} from {peer[0]}\n")
        for guest, (came, who) in list(guests.items()):
            try:
                said = guest.recv(64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.monotonic() - came < 1:
                    continue
                said = b""
            except OSError:
                said = b""
            if said == KNOWN:
                guest.sendall(b"here")
            else:
                words.write(f"{who}\n")
            guest.close()
            del guests[guest]


def probe():
    for address in [*ADDRESSES, "127.0.0.1", "::1"]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for kind, ports in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
            for port in ports:
                with socket.socket(family, kind) as one:
                    one.settimeout(5)
                    try:
                        one.connect((address, port))
                        one.sendall(KNOWN)
                        if one.recv(8) != b"here":
                            print(f"{address} {port}: somebody else")
                    except OSError as error:
                        print(f"{address} {port}: {error}")


if __name__ == "__main__":
    serve(sys.argv[2]) if sys.argv[1] == "serve" else probe()
