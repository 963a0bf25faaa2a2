// The playground: code in, what it prints out, while it prints it.

import { APIError, call, lines, request } from './api.js'
import { Editor } from './editor.js'
import { OutputView, textOf } from './output.js'
import { ago, busy, byId, bytes, data, duration, el, tell, tellError } from './page.js'

const languages = new Map(data.runtimes.map((runtime) => [runtime.name, runtime]))
const language = byId('language')
const editor = new Editor({
  area: byId('code'), paint: byId('paint'), gutter: byId('gutter'), isHighlighted: data.isHighlighted,
})
const output = new OutputView(byId('output'), { onDrop: () => tell('Only the last 2 MB of the output are kept here.') })

// MARK: What is remembered in this browser

const memory = {
  get: (key) => { try { return localStorage.getItem(`playground.${key}`) } catch { return null } },
  set: (key, value) => { try { localStorage.setItem(`playground.${key}`, value) } catch { /* full, or not allowed */ } },
}
const remember = () => { if (editor.text.length < 200_000) memory.set(`code.${language.value}`, editor.text) }

function choose(name, code) {
  if (!languages.has(name)) name = languages.has('python') ? 'python' : language.options[0]?.value
  language.value = name
  memory.set('language', name)
  editor.text = code ?? memory.get(`code.${name}`) ?? languages.get(name)?.example ?? ''
  editor.setLanguage(name)
}

language.addEventListener('change', () => choose(language.value))
editor.area.addEventListener('input', remember)
byId('example').addEventListener('click', () => {
  editor.area.select()
  editor.insert(languages.get(language.value)?.example ?? '')
  remember()
})
if (data.run) choose(data.run.language, textOf(data.run.code))
else choose(memory.get('language') ?? 'python')

// MARK: Tabs

const tabs = [...document.querySelectorAll('[role=tab]')]
function select(tab) {
  for (const each of tabs) {
    const isChosen = each === tab
    each.setAttribute('aria-selected', isChosen)
    each.tabIndex = isChosen ? 0 : -1
    byId(each.getAttribute('aria-controls')).hidden = !isChosen
  }
}
for (const [index, tab] of tabs.entries()) {
  tab.addEventListener('click', () => select(tab))
  tab.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    const next = tabs[(index + step + tabs.length) % tabs.length]
    select(next)
    next.focus()
  })
}

// MARK: Files

const files = new Set()
function addFile(path = '', content = '', encoding = 'utf8', size = 0) {
  const name = el('input', { 'aria-label': 'Path of the file', placeholder: 'data.txt', spellcheck: 'false' })
  name.value = path
  const text = encoding === 'utf8' ? el('textarea', { 'aria-label': 'Content of the file', spellcheck: 'false' }) : null
  if (text) text.value = content
  const entry = { get: () => ({ path: name.value, content: text ? text.value : content, encoding }) }
  const item = el('li', {}, name, text ?? el('span', { class: 'hint size' }, `${bytes(size)}, not text`),
    el('button', { type: 'button', class: 'icon', 'aria-label': 'Remove the file', onclick: () => { files.delete(entry); item.remove() } }, '×'))
  files.add(entry)
  byId('files').append(item)
  return name
}
byId('file-new').addEventListener('click', () => addFile().focus())
byId('file-pick').addEventListener('change', async (event) => {
  for (const file of event.target.files) {
    if (file.size > 1_400_000) { tell(`${file.name} is too large: a program and its files have 2 MB.`, { isError: true, hint: 'Put it into the VM by Files.' }); continue }
    const content = new Uint8Array(await file.arrayBuffer())
    try {
      addFile(file.name, new TextDecoder('utf-8', { fatal: true }).decode(content))
    } catch {
      const parts = []
      for (let at = 0; at < content.length; at += 8192) parts.push(String.fromCharCode(...content.subarray(at, at + 8192)))
      addFile(file.name, btoa(parts.join('')), 'base64', file.size)
    }
  }
  event.target.value = ''
})

// MARK: Environments

for (const environment of data.environments) {
  if (environment.kind !== 'user_vm') byId('environment').append(el('option', { value: environment.slug }, environment.name))
}
const wanted = new URLSearchParams(location.search).get('environment')
if (wanted && data.environments.some((each) => each.slug === wanted)) {
  byId('environment').value = wanted
  select(byId('tab-more'))
}

// MARK: A run

const button = byId('run')
const status = byId('status')
const line = byId('line')
const endInput = byId('end-input')
let running = null // {controller, id, isCancelled}

function body() {
  const value = (id) => byId(id).value
  const request = { language: language.value, code: editor.text }
  const args = value('args').split('\n').filter((argument) => argument !== '')
  if (args.length) request.args = args
  if (value('stdin')) request.stdin = value('stdin')
  const list = [...files].map((file) => file.get()).filter((file) => file.path)
  if (list.length) request.files = list
  const variables = value('variables').split('\n').filter((text) => text.includes('='))
  if (variables.length) {
    request.env = Object.fromEntries(variables.map((text) => [text.slice(0, text.indexOf('=')).trim(), text.slice(text.indexOf('=') + 1)]))
  }
  if (value('timeout')) request.timeoutMs = Math.round(Number(value('timeout')) * 1000)
  if (value('memory')) request.limits = { memoryMb: Number(value('memory')) }
  if (value('environment')) request.environment = value('environment')
  return request
}

function setRunning(run) {
  running = run
  button.querySelector('.label').textContent = run ? 'Cancel' : 'Run'
  button.className = run ? 'danger run' : 'primary run'
  line.disabled = endInput.disabled = true
  if (!run) { clearInterval(clock.timer); line.value = '' }
}

const clock = {
  start() {
    const begin = performance.now()
    const tick = () => { byId('clock').textContent = `${((performance.now() - begin) / 1000).toFixed(1)} s` }
    tick()
    clearInterval(this.timer)
    this.timer = setInterval(tick, 100)
  },
}

const WORDS = { queued: 'Waiting for its turn', starting: 'Waking your VM', connecting: 'Connecting to your VM' }
const REASONS = {
  exited: '', signaled: 'ended by a signal', timeout: 'out of time', memory: 'out of memory', processes: 'too many processes',
  output_limit: 'too much output', cancelled: 'cancelled',
}

async function run() {
  if (running) return cancel()
  const request_ = body()
  const isTyped = request_.stdin === undefined
  const current = { controller: new AbortController(), id: null, isCancelled: false }
  setRunning(current)
  output.clear()
  if (innerWidth < 900) output.element.parentElement.scrollIntoView({ block: 'nearest' })
  byId('exit').replaceChildren()
  status.textContent = 'Sending'
  clock.start()
  try {
    const response = await request('POST', '/v1/execute', {
      body: request_, signal: current.controller.signal, headers: { Accept: 'application/x-ndjson' },
    })
    current.id = response.headers.get('Martlet-Execution-Id')
    if (current.isCancelled) kill(current)
    for await (const event of lines(response)) {
      switch (event.event) {
        case 'status': status.textContent = WORDS[event.state] ?? event.message; break
        case 'started':
          current.id = event.executionId
          status.textContent = 'Running'
          if (isTyped) line.disabled = endInput.disabled = false
          break
        case 'stdout': case 'stderr': output.write(event.event, textOf(event.data, event.encoding)); break
        case 'exit': finish(current, event); return
        case 'error': throw new APIError(event, 200)
      }
    }
    throw new APIError({ code: 'cut', message: 'The connection was lost before the program ended.', hint: 'It was stopped; run it again.' }, 0)
  } catch (error) {
    output.flush()
    status.textContent = 'Failed'
    if (error.name === 'AbortError') status.textContent = 'Cancelled'
    else output.note(`${error.message}${error.hint ? ` ${error.hint}` : ''}`)
  } finally {
    if (running === current) setRunning(null)
    showHistory()
  }
}

function finish(current, exit) {
  output.flush()
  if (!output.element.textContent) output.note('The program printed nothing.')
  status.textContent = exit.reason === 'cancelled' ? 'Cancelled' : 'Done'
  const isGood = exit.exitCode === 0
  const how = exit.signal ? `signal ${exit.signal}` : `exit ${exit.exitCode ?? '–'}`
  byId('exit').replaceChildren(
    el('span', { class: `state ${isGood ? 'good' : exit.reason === 'cancelled' ? 'warn' : 'bad'}` },
      exit.stage === 'compile' && !isGood ? `${how} (compiling)` : how),
    ...[REASONS[exit.reason] ?? exit.reason, duration(exit.durationMs), `CPU ${duration(exit.cpuMs)}`, bytes(exit.maxRssBytes),
      exit.truncated ? 'output cut' : '', output.hasDropped ? 'the last 2 MB are shown' : ''].filter((text) => text).map((text) => el('span', {}, text)),
    current.id ? el('a', { href: `/runs/${current.id}` }, 'Link') : '')
}

function cancel() {
  const current = running
  if (!current) return
  // A second time, or before the server has said what it is called: leaving the answer kills it as well.
  if (current.isCancelled) return current.controller.abort()
  current.isCancelled = true
  status.textContent = 'Cancelling'
  if (current.id) kill(current)
}

async function kill(current) {
  try {
    await call('DELETE', `/v1/executions/${current.id}`)
  } catch (error) {
    if (running === current) current.controller.abort()
  }
}

button.addEventListener('click', run)
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !running) { event.preventDefault(); run() }
})

// MARK: Typing to the program

let sending = Promise.resolve() // one after another, in order
function type(text, isEnd = false) {
  const { id } = running ?? {}
  if (!id) return
  sending = sending.then(() => request('POST', `/v1/executions/${id}/stdin${isEnd ? '?end=1' : ''}`,
    { body: new Blob([text]), headers: { 'Content-Type': 'application/octet-stream' } })).catch((error) => {
    if (running?.id === id) tellError(error)
  })
}
byId('typing').addEventListener('submit', (event) => {
  event.preventDefault()
  type(`${line.value}\n`)
  line.value = ''
})
const end = () => { type('', true); line.disabled = endInput.disabled = true }
line.addEventListener('keydown', (event) => { if (event.ctrlKey && event.key === 'd') { event.preventDefault(); end() } })
endInput.addEventListener('click', end)

byId('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(output.element.textContent)
    tell('The output is in the clipboard.')
  } catch { tell('The browser does not let this page use the clipboard.', { isError: true }) }
})

// MARK: History

function item(run) {
  const isGood = run.exitCode === 0
  const tone = run.state === 'running' ? 'warn' : isGood ? 'good' : 'bad'
  const how = run.state === 'running' ? 'running' : run.errorCode ?? (run.signal ? run.signal : run.exitCode === null ? run.state : `exit ${run.exitCode}`)
  return el('li', {}, el('a', { href: `/runs/${run.id}` },
    el('span', { class: `dot ${tone}`, 'aria-hidden': 'true' }),
    el('span', {}, languages.get(run.language)?.title ?? run.language, el('span', { class: 'how' }, how)),
    el('span', { class: 'took' }, duration(run.durationMs)),
    el('time', { datetime: run.startedAt, title: new Date(run.startedAt).toLocaleString() }, ago(run.startedAt))))
}

const LIMIT = 30
let shown = []
function draw(executions) {
  shown = executions
  byId('older').hidden = executions.length === 0 || executions.length % LIMIT !== 0
  byId('history').replaceChildren(...(executions.length ? executions.map(item)
    : [el('li', { class: 'empty' }, el('p', {}, 'Your runs will be listed here.'), el('p', { class: 'hint' }, 'Each keeps its code and the first 64 KB of its output.'))]))
}

async function showHistory() {
  try { draw((await call('GET', `/v1/executions?limit=${LIMIT}`)).executions) } catch (error) { tellError(error) }
}
byId('older').addEventListener('click', (event) => busy(event.currentTarget, async () => {
  const { executions } = await call('GET', `/v1/executions?limit=${LIMIT}&before=${shown.at(-1).id}`)
  draw([...shown, ...executions])
  if (executions.length < LIMIT) byId('older').hidden = true
}))
draw(data.executions)
