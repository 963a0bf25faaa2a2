puts "Grüße, 世界! 😀"
foreach word $argv {
    puts $word
}
while {[gets stdin line] >= 0} {
    puts "> $line"
}
exit 7
