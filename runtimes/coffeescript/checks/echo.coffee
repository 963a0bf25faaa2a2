lines = require('readline').createInterface input: process.stdin

console.log 'Grüße, 世界! 😀'
console.log word for word in process.argv[2..]
lines.on 'line', (line) -> console.log "> #{line}"
lines.on 'close', -> process.exit 7
