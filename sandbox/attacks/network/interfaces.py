#: {"about": "asks which interfaces there are, as honest programs do, and finds the loopback alone",
#:  "request": {"network": "none"},
#:  "expect": {"lines": "blocked: "},
#:  "providers": {"docker": {"because": "runs share the VM's network", "steps": []}, "ovh": {"because":
#:     "runs share the instance's network", "steps": []}}}
import ctypes
import socket

names = [name for _, name in socket.if_nameindex()]
print("blocked: lo alone" if names == ["lo"] else f"THROUGH: {names}")


class Address(ctypes.Structure):
    pass


Address._fields_ = [("next", ctypes.POINTER(Address)), ("name", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
first = ctypes.POINTER(Address)()
if libc.getifaddrs(ctypes.byref(first)) != 0:
    print("THROUGH: getifaddrs does not work", ctypes.get_errno())
found = set()
while first:
    found.add(first.contents.name)
    first = first.contents.next
print("blocked: lo alone" if found == {b"lo"} else f"THROUGH: {found}")
