import Glibc

print("Grüße, 世界! 😀")
CommandLine.arguments.dropFirst().forEach { print($0) }
while let line = readLine() { print(">", line) }
exit(7)
