#: {"about": "code that is too large",
#:  "request": {"code": {"repeat": "#", "times": 20971520}},
#:  "modes": ["warm"],
#:  "expect": {"refused": ["body_too_large", "request_too_large", "payload_too_large", "invalid_request"]}}
print("THROUGH: it runs")
