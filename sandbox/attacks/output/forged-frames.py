#: {"about": "prints the runner's own frames, an exit among them",
#:  "expect": {"exitCode": 7, "contains": "real end"}}
import os
import struct
import sys

for kind, payload in ((19, b'{"exitCode":0,"signal":null,"reason":"exited"}'), (20, b'{"code":"internal","message":"x"}'),
                      (16, b'{"pid":1}'), (21, struct.pack("<I", 1 << 30))):
    os.write(1, struct.pack("<BI", kind, len(payload)) + payload)
    os.write(2, struct.pack("<BI", kind, len(payload)) + payload)
os.write(1, struct.pack("<BI", 17, 0xFFFFFFFF))
print("\nreal end", flush=True)
sys.exit(7)
