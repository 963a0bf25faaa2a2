import os

echo "Grüße, 世界! 😀"
for word in commandLineParams():
  echo word
for line in stdin.lines:
  echo "> ", line
quit(7)
