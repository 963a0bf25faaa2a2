// A past run: its code, what it printed, and what it took.

import { colour, tokenizer } from './editor.js'
import { OutputView, textOf } from './output.js'
import { byId, bytes, data, duration, el, tell, time } from './page.js'

const { run } = data
const code = textOf(run.code)
byId('run-code').textContent = code
if (data.isHighlighted) tokenizer(run.language).then((type) => byId('run-code').replaceChildren(colour(code, type)))

const output = new OutputView(byId('run-output'))
output.write('stdout', textOf(run.stdout))
output.write('stderr', textOf(run.stderr))
output.flush()
const isCut = run.stdoutBytes > 65536 || run.stderrBytes > 65536
if (isCut) output.note('The rest was not kept: of each stream the first 64 KB are.')
else if (!run.stdoutBytes && !run.stderrBytes) output.note(run.state === 'running' ? 'It is still running.' : 'It printed nothing.')
byId('run-output').scrollTop = 0

const facts = [
  ['Started', time(run.startedAt)], ['Took', duration(run.durationMs)], ['CPU', duration(run.cpuMs)],
  ['Memory, at most', bytes(run.maxRssBytes)], ['Printed', `${bytes(run.stdoutBytes)}, and ${bytes(run.stderrBytes)} of errors`],
  ['Failed with', run.errorMessage], ['Id', el('code', {}, run.id)], ['Request', run.requestId ? el('code', {}, run.requestId) : null],
]
byId('run-facts').append(...facts.filter(([, value]) => value).flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]))

byId('copy-link').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(location.href)
    tell('The link is in the clipboard.')
  } catch { tell('The browser does not let this page use the clipboard.', { isError: true }) }
})
