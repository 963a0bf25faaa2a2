// Compiles one file beside itself, with the types of Node.js where Debian's package has brought them.
const fs = require('fs');
const path = require('path');
const ts = require('/usr/share/nodejs/typescript');

const types = '/usr/share/nodejs/@types';
const hasNode = fs.existsSync(types + '/node');
const files = [process.argv[2], ...(hasNode ? [] : [path.join(__dirname, 'node.d.ts')])];
const program = ts.createProgram(files, {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.CommonJS,
  moduleResolution: ts.ModuleResolutionKind.NodeJs,
  lib: ['lib.es2022.d.ts'],
  types: hasNode ? ['node'] : [],
  typeRoots: [types],
  esModuleInterop: true,
  skipLibCheck: true,
  noEmitOnError: true,
});
const found = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics];
process.stderr.write(
  ts.formatDiagnostics(ts.sortAndDeduplicateDiagnostics(found), {
    getCurrentDirectory: () => process.cwd(),
    getCanonicalFileName: (name) => name,
    getNewLine: () => '\n',
  })
);
process.exitCode = found.length ? 1 : 0;
