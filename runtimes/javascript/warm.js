'use strict';
// Keeps a Node.js waiting that is up but has not looked for its program yet: what `-r` names is loaded just before that.
// See runtimes/README.md, "Warm". In workers, which load it too, the variable is gone.
if (process.env.MARTLET_WARM) {
    const fs = require('fs');
    const channel = 900;

    const exactly = (length) => {
        const bytes = Buffer.allocUnsafe(length);
        for (let have = 0; have < length;) {
            const got = fs.readSync(channel, bytes, have, length - have, null);
            if (got === 0) process.reallyExit(70);
            have += got;
        }
        return bytes.toString();
    };

    // What nearly every program needs and Node.js loads when it is first used: the streams, which are the run's own
    // already, and what prints values.
    const { Writable } = require('stream');
    const nowhere = new Writable({ write: (chunk, encoding, done) => done() });
    new (require('console').Console)(process.stdout && process.stderr && nowhere).log('%s', 'text', 1, { a: [true] });

    fs.writeSync(channel, 'R');
    const texts = exactly(Number(exactly(16))).split('\0');
    fs.closeSync(channel);
    const words = Number(texts[2]);
    process.argv.push(...texts.slice(3 + 2, 3 + words)); // behind node and its program
    for (const name of Object.keys(process.env)) delete process.env[name];
    for (const text of texts.slice(4 + words, -1)) {
        const at = text.indexOf('=');
        process.env[text.slice(0, at)] = text.slice(at + 1);
    }
    process.execArgv = [];

    // Once all listeners have been told of an exit with 0 there is nothing left to see. Taking Node.js apart, and giving
    // its memory back, takes longer than many a program: so it says its end by a name and stops (sandbox/stage.c), or
    // leaves if it is told to go on. Of an exception nobody caught Node.js speaks later: its status is another.
    const { emit, reallyExit } = process;
    const end = (status) => {
        if (status !== 0 || (process.exitCode ?? 0) !== 0) return;
        for (const stream of [0, 1, 2]) try { fs.closeSync(stream); } catch {}
        process.title = 'martlet-end 0';
        process.kill(process.pid, 'SIGSTOP');
        Reflect.apply(reallyExit, process, [0]);
    };
    // Nobody is to find a line of this file in a stack, or one listener more: so it is the last that is told, and comes
    // when Node.js reaches for what tells them. A single one is told by another line of Node.js, so it stays alone.
    const get = () => {
        const events = process._events, told = events?.exit;
        if (process._exiting && told === undefined) events.exit = end;
        if (process._exiting && Array.isArray(told) && !told.includes(end)) {
            events.exit = [() => { events.exit = told; }, ...told, end];
        }
        return emit;
    };
    const set = (value) => Object.defineProperty(process, 'emit', { value, writable: true, enumerable: true });
    Object.defineProperty(process, 'emit', { get, set, configurable: true });
    delete require.cache[__filename];
}
