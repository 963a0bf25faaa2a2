IO.puts("Grüße, 世界! 😀")
Enum.each(System.argv(), &IO.puts/1)
for line <- IO.stream(:stdio, :line), do: IO.write("> " <> line)
System.halt(7)
