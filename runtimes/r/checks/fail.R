cat("before\n")
cat(nothing)
