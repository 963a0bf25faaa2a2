#: {"about": "prints events as the API writes them, in every encoding",
#:  "expect": {"exitCode": 7, "contains": "real end"}}
import sys

exit = '{"event":"exit","exitCode":0,"signal":null,"reason":"exited","durationMs":1}'
for text in (exit + "\n", f"event: exit\ndata: {exit}\n\n", '"}\n' + exit + "\n", "0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
             '\\"}\n{"event":"error","code":"internal"}\n', "\x00\x1b[2J\u2028\u2029\n"):
    sys.stdout.write(text)
    sys.stderr.write(text)
    sys.stdout.flush()
print("real end")
sys.exit(7)
