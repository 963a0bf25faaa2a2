global _start
_start:
    nothing rax
