#: {"about": "variables that cannot be",
#:  "steps": [{"request": {"env": {"": "x"}}, "expect": {"refused": "invalid_request"}}, {"request": {"env":
#:     {"A=B": "x"}}, "expect": {"refused": "invalid_request"}}, {"request": {"env": {"A\u0000B": "x"}},
#:     "expect": {"refused": "invalid_request"}}]}
print("THROUGH: it runs")
