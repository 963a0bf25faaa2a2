import * as readline from 'readline';

const lines = readline.createInterface({ input: process.stdin });

console.log('Grüße, 世界! 😀');
for (const word of process.argv.slice(2)) console.log(word);
lines.on('line', (line: string) => console.log('> ' + line));
lines.on('close', () => process.exit(7));
