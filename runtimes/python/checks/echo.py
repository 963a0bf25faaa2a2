import sys

print("Grüße, 世界! 😀")
for word in sys.argv[1:]:
    print(word)
for line in sys.stdin:
    print(">", line, end="")
sys.exit(7)
