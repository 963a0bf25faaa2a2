puts "Grüße, 世界! 😀"
ARGV.each { |word| puts word }
STDIN.each_line { |line| puts "> #{line}" }
exit 7
