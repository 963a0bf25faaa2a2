print "before\n";
print 1 / (() = @ARGV);
