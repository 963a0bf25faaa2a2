print("before")
print(CommandLine.arguments[1])
