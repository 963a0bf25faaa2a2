BEGIN {
    print "Grüße, 世界! 😀"
    for (i = 1; i < ARGC; i++) {
        print ARGV[i]
        delete ARGV[i]
    }
}
{ print "> " $0 }
END { exit 7 }
