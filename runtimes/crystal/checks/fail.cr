puts "before"
puts ARGV[0]
