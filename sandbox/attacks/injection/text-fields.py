#: {"about": "standard input, encodings and files' contents that a shell would take for more",
#:  "steps": [{"request": {"codeEncoding": "utf8; id"}, "expect": {"refused": "invalid_request"}}, {"request":
#:     {"codeEncoding": "$(id)"}, "expect": {"refused": "invalid_request"}}, {"request": {"codeEncoding":
#:     "base64\n"}, "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "a", "content": "x",
#:     "encoding": "`id`"}]}, "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "a",
#:     "content": "eA==; id", "encoding": "base64"}]}, "expect": {"refused": "invalid_request"}}, {"request":
#:     {"stdin": "'; id; $(id) `id` \" | id\n\u0000\u202e\\", "files": [{"path": "a", "content":
#:     "'; id; $(id) `id` \" | id\n\u0000\u202e\\"}]}, "expect": {"lines": "blocked: "}}, {"request": {"stdin": 1},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"stdin": ["x"]}, "expect": {"refused":
#:     "invalid_request"}}, {"request": {"timeoutMs": "1000; id"}, "expect": {"refused": "invalid_request"}},
#:     {"request": {"limits": "$(id)"}, "expect": {"refused": "invalid_request"}}, {"request": {"$(id)": "x"},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"__proto__": {"code": "x"}}, "expect": {"refused":
#:     "invalid_request"}}]}
import sys

wanted = "'; id; $(id) `id` \" | id\n\x00\u202e\\"
taken = sys.stdin.buffer.read().decode(), open("a", newline="").read()
print("blocked: taken as text" if taken == (wanted, wanted) else f"THROUGH: {taken!r}")
