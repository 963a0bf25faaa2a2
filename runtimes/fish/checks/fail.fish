echo before
nothing
exit
