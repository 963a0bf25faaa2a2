BEGIN {
    print "before"
    print 1 / (ARGC - 1)
}
