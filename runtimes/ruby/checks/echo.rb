puts 'Grüße, 世界! 😀'
puts ARGV
$stdin.each_line { |line| print '> ', line }
exit 7
