print "Grüße, 世界! 😀\n";
print "$_\n" for @ARGV;
print "> $_" while <STDIN>;
exit 7;
