import sys

print("before")
print(1 / (len(sys.argv) - 1))
