#: {"about": "names files of the request so that they land elsewhere",
#:  "steps": [{"request": {"files": [{"path": "../outside", "content": "x"}]}, "expect": {"refused":
#:     "invalid_request"}}, {"request": {"files": [{"path": "/etc/planted", "content": "x"}]}, "expect":
#:     {"refused": "invalid_request"}}, {"request": {"files": [{"path": "a/../../outside", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "a//b", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "./a", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "a/.", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "a/..", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path": "x\u0000y", "content": "x"}]},
#:     "expect": {"refused": "invalid_request"}}, {"request": {"files": [{"path":
#:     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
#:     "content": "x"}]}, "expect": {"refused": "invalid_request"}}]}
print("THROUGH: it runs")
