println 'before'
println 1.intdiv(args.size())
