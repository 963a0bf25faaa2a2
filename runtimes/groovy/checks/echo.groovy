println 'Grüße, 世界! 😀'
args.each { println it }
System.in.eachLine { println "> $it" }
System.exit 7
