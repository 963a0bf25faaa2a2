#: {"about": "limits beyond what anybody may have, below nothing, and of other kinds",
#:  "steps": [{"request": {"limits": {"memoryMb": 1099511627776}}, "expect": {"refused": ["limit_exceeded",
#:     "invalid_request", "malformed_json"]}}, {"request": {"limits": {"processes": -1}}, "expect": {"refused":
#:     ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request": {"limits": {"processes": 0}},
#:     "expect": {"refused": ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request": {"limits":
#:     {"outputBytes": 1152921504606846976}}, "expect": {"refused": ["limit_exceeded", "invalid_request",
#:     "malformed_json"]}}, {"request": {"limits": {"cpuMs": -5}}, "expect": {"refused": ["limit_exceeded",
#:     "invalid_request", "malformed_json"]}}, {"request": {"limits": {"memoryMb": 1.5}}, "expect": {"refused":
#:     ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request": {"limits": {"processes": "64"}},
#:     "expect": {"refused": ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request": {"limits":
#:     {"unknown": 1}}, "expect": {"refused": ["limit_exceeded", "invalid_request", "malformed_json"]}},
#:     {"request": {"limits": {"memoryMb": 1e+300}}, "expect": {"refused": ["limit_exceeded", "invalid_request",
#:     "malformed_json"]}}, {"request": {"timeoutMs": -1}, "expect": {"refused": ["limit_exceeded",
#:     "invalid_request", "malformed_json"]}}, {"request": {"timeoutMs": 0}, "expect": {"refused":
#:     ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request": {"timeoutMs": 4611686018427387904},
#:     "expect": {"refused": ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request": {"timeoutMs":
#:     0.5}, "expect": {"refused": ["limit_exceeded", "invalid_request", "malformed_json"]}}, {"request":
#:     {"timeoutMs": "1"}, "expect": {"refused": ["limit_exceeded", "invalid_request", "malformed_json"]}}]}
print("THROUGH: it runs")
