#: {"about": "a program that exhausts its stack and the parser's",
#:  "steps": [{"request": {"code": {"repeat": "(", "times": 50000}}, "expect": {"reason": ["exited",
#:     "signaled"]}}, {"request": {"code":
#:     "import sys\nsys.setrecursionlimit(10**9)\nf = lambda n: f(n + 1)\nf(0)"}, "expect": {"reason": ["exited",
#:     "signaled", "memory"]}}]}
print("replaced")
