print "before"
dim numbers(1)
print numbers(2)
