puts before
puts [expr {1 / [llength $argv]}]
