#: {"about": "sends files in the places of the runner's own",
#:  "steps": [{"request": {"files": [{"path": "main.py", "content":
#:     "print('blocked: its own file was taken')"}]}, "expect": {"refused": "invalid_request"}}, {"request":
#:     {"files": [{"path": "a", "content": "x"}, {"path": "a/b", "content": "x"}]}, "expect": {"refused":
#:     ["invalid_request", "bad_request", "internal"]}}]}
print("blocked: the code was taken")
