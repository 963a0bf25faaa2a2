# Output appears when it is printed, not when a buffer is full. Ruby has no option for this.
$stdout.sync = true
