IO.puts("before")
IO.puts(1 / length(System.argv()))
