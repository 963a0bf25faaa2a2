print "Grüße, 世界! 😀"
while peek("argument")
  print peek$("argument")
wend
while not eof(0)
  line input "" text$
  print "> " + text$
wend
exit 7
