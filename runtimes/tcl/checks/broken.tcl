puts [
