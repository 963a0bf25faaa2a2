// Terminals as tabs. A terminal is the server's: its bytes come over a WebSocket, and when that is cut the same shell is
// opened again, which first repeats what it printed last. What comes is only ever drawn by xterm: titles, the clipboard
// and links of programs do nothing here.
import { call } from './api.js'
import { byId, data, el, tell, tellError, ask } from './page.js'

const Terminal = window.Terminal
const tabs = []
let current = null
let holdsCtrl = false
const WINDOW = 131072 // bytes that may be on their way, here or before
const PIECE = 8192 // drawn between two looks at the clock
const waits = [250, 500, 1000, 2000, 4000, 8000]

const states = {
  opening: ['Opening', 'warn moving'], waking: ['Waking the VM', 'warn moving'], open: ['Connected', 'good'],
  lost: ['Connection lost, trying again', 'warn moving'], cut: ['Not connected', 'bad'], taken: ['Opened elsewhere', 'warn'],
  ended: ['Ended', ''], failed: ['Failed', 'bad'],
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const isDark = () => color('--term-ground') !== '#ffffff'

function theme() {
  const light = { black: '#1b1c1e', red: '#b3261e', green: '#166d3f', yellow: '#8a5a00', blue: '#1f5fc0', magenta: '#8a3ea8',
    cyan: '#0c7285', white: '#6a6f76', brightBlack: '#5f6368', brightRed: '#c0322b', brightGreen: '#1d7a3e', brightYellow: '#95600a',
    brightBlue: '#2b5fd9', brightMagenta: '#9a4cba', brightCyan: '#0c7285', brightWhite: '#3a3d42' }
  const dark = { black: '#2a2c30', red: '#f4837d', green: '#58c48b', yellow: '#e2ac55', blue: '#7fa4ff', magenta: '#cf9bea',
    cyan: '#6fcbd9', white: '#d3d5d9', brightBlack: '#8f959e', brightRed: '#ff9e98', brightGreen: '#86cf9a', brightYellow: '#f0c57e',
    brightBlue: '#a3bfff', brightMagenta: '#dfb8f3', brightCyan: '#95dde8', brightWhite: '#ffffff' }
  return { ...(isDark() ? dark : light), background: color('--term-ground'), foreground: color('--term-text'),
    cursor: color('--accent'), cursorAccent: color('--term-ground'), selection: isDark() ? 'rgba(127,164,255,.35)' : 'rgba(43,95,217,.25)' }
}

class Shell {
  constructor(id, environment, isNew) {
    Object.assign(this, { id, environment, isNew, state: 'opening', tries: 0, pending: [], isDrawing: false })
    this.screen = el('div', { class: 'screen', role: 'tabpanel', id: `screen-${id}`, hidden: true })
    byId('screens').append(this.screen)
    this.tab = el('button', { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `screen-${id}`, onclick: () => show(this) })
    byId('tabs').append(this.tab)
    this.terminal = new Terminal({
      fontFamily: '"JetBrains Mono", ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace', fontSize: 13,
      lineHeight: 1.15, scrollback: 5000, cursorBlink: false, theme: theme(), allowTransparency: false, bellStyle: 'none',
    })
    this.decoder = new TextDecoder()
    this.turn = new MessageChannel() // tasks also in a page that is not looked at, whose timers browsers hold up
    this.turn.port1.onmessage = () => this.draw()
    this.terminal.on('data', (text) => this.type(text))
    this.terminal.attachCustomKeyEventHandler((event) => keys(event))
    this.terminal.on('resize', ({ rows, cols }) => this.send(JSON.stringify({ resize: { rows, columns: cols } })))
  }

  begin() {
    this.terminal.open(this.screen)
    this.takeInsertions()
    this.fit()
    this.connect()
  }

  /** Text that comes without a key, as from a picker of symbols; xterm takes keys, compositions and pastes. */
  takeInsertions() {
    const { textarea } = this.terminal
    let isKeyed = false  // what is inserted next is that of a key, which xterm has taken
    textarea.addEventListener('keydown', () => { isKeyed = true }, true)
    textarea.addEventListener('keyup', () => { isKeyed = false }, true)
    textarea.addEventListener('input', (event) => {
      const wasKeyed = isKeyed
      isKeyed = false
      if (wasKeyed || event.inputType !== 'insertText' || event.isComposing || !event.data) return
      this.type(event.data)
      textarea.value = ''
    })
  }

  connect() {
    clearTimeout(this.timer)
    const old = this.socket
    this.socket = null
    old?.close()
    const query = new URLSearchParams({ rows: this.terminal.rows, columns: this.terminal.cols, window: WINDOW })
    if (this.environment) query.set('environment', this.environment)
    if (this.isNew) query.set('create', '1')
    const url = new URL(`/v1/terminals/${this.id}/socket?${query}`, location.href)
    url.protocol = url.protocol.replace('http', 'ws')
    const socket = this.socket = new WebSocket(url)
    socket.binaryType = 'arraybuffer'
    socket.onmessage = (event) => {
      if (socket !== this.socket) return
      if (typeof event.data === 'string') this.hear(JSON.parse(event.data))
      else this.print(event.data)
    }
    socket.onclose = (event) => { if (socket === this.socket) this.closed(event) }
  }

  hear(message) {
    if (message.status !== undefined) this.become('waking', message.status)
    if (message.attached) {
      this.isNew = false
      this.tries = 0
      this.decoder = new TextDecoder()
      this.window = message.attached.window
      this.taken = 0
      this.pending = []
      this.terminal.reset()
      this.become('open')
      this.send(JSON.stringify({ resize: { rows: this.terminal.rows, columns: this.terminal.cols } }))
    }
    if (message.exit) {
      this.become('ended', message.exit.signal ?? `exit ${message.exit.exitCode}`)
      this.print(`\r\n\x1b[0m\x1b[2m[the shell ended: ${message.exit.signal ?? `exit ${message.exit.exitCode}`}]\x1b[0m\r\n`)
    }
    if (message.error) {
      this.become(message.error.code === 'terminal_not_found' ? 'ended' : 'failed', message.error.message)
      tell(message.error.message, { isError: true, hint: message.error.hint })
    }
  }

  /** Bytes of the terminal, or text of ours behind them. */
  print(what) {
    this.pending.push(typeof what === 'string' ? what : new Uint8Array(what))
    if (!this.isDrawing) this.draw()
  }

  /**
   * Draws what has come, for some milliseconds at a time, and says so to the server, which keeps back what is more than a
   * window ahead of it: of a program that floods, no more is left to be drawn when it is interrupted.
   */
  draw() {
    this.isDrawing = false
    const until = performance.now() + 12
    while (this.pending.length) {
      if (performance.now() > until) {
        this.isDrawing = true
        this.turn.port2.postMessage(null)
        return
      }
      const [first] = this.pending
      if (typeof first === 'string') {
        this.pending.shift()
        this.write(first)
        continue
      }
      const piece = first.subarray(0, PIECE)
      if (piece.length === first.length) this.pending.shift()
      else this.pending[0] = first.subarray(PIECE)
      this.write(this.decoder.decode(piece, { stream: true }))
      this.taken += piece.length
      if (this.window && this.taken >= this.window / 4) {
        this.send(JSON.stringify({ taken: this.taken }))
        this.taken = 0
      }
    }
  }

  /** At once, not by xterm's timers: when this returns it has been taken. */
  write(text) {
    const core = this.terminal._core
    if (!text) return
    if (!core._innerWrite || core.writeBuffer?.length) return this.terminal.write(text)
    core.writeBuffer.push(text)
    core._innerWrite()
  }

  type(text) {
    if (holdsCtrl && text.length === 1) {
      text = String.fromCharCode(text.toUpperCase().charCodeAt(0) & 31)
      holdCtrl(false)
    }
    if (this.state === 'open') this.send(new TextEncoder().encode(text))
    else if (this.state === 'lost' || this.state === 'cut') this.connect()
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message)
  }

  async closed({ code }) {
    this.socket = null
    if (this.state === 'ended' || this.state === 'failed') return
    if (code === 4001) return this.become('taken')
    if (code === 1000) return this.become('ended')
    // Refused before it was open, or cut: which of them the API says.
    const { isGone, isRefused } = await this.look()
    if (this.socket || this.state === 'ended') return
    if (isGone && !this.isNew) {
      this.print('\r\n\x1b[0m\x1b[2m[this shell is gone]\x1b[0m\r\n')
      return this.become('ended')
    }
    if (isRefused) return this.become('failed')
    this.become(this.isNew ? 'opening' : 'lost')
    this.timer = setTimeout(() => { if (!this.socket) this.connect() }, waits[Math.min(this.tries++, waits.length - 1)])
  }

  async look() {
    try {
      const query = this.environment ? `?environment=${encodeURIComponent(this.environment)}` : ''
      const { terminals } = await call('GET', `/v1/terminals${query}`)
      return { isGone: !terminals.some(({ id }) => id === this.id) }
    } catch (error) {
      const isRefused = error.status >= 400 && error.status < 500 && error.status !== 429
      if (isRefused) tellError(error)
      return { isRefused }
    }
  }

  become(state, detail) {
    this.state = state
    this.detail = detail
    if (this === current) showState()
    label()
  }

  /** As many rows and columns as there is room for. */
  fit() {
    const { actualCellWidth: width, actualCellHeight: height } = this.terminal._core.renderer?.dimensions ?? {}
    if (!width || !height || this.screen.hidden) return
    const columns = Math.floor((this.screen.clientWidth - (this.terminal._core.viewport?.scrollBarWidth ?? 0)) / width)
    const rows = Math.floor(this.screen.clientHeight / height)
    if (rows < 1 || columns < 2) return
    if (rows !== this.terminal.rows || columns !== this.terminal.cols) this.terminal.resize(columns, rows)
  }

  remove() {
    clearTimeout(this.timer)
    const socket = this.socket
    this.socket = null
    socket?.close()
    this.pending = []
    this.turn.port1.close()
    this.terminal.dispose()
    this.screen.remove()
    this.tab.remove()
    tabs.splice(tabs.indexOf(this), 1)
    if (current === this) show(tabs[0] ?? null)
    label()
  }
}

function label() {
  tabs.forEach((shell, index) => {
    shell.tab.textContent = `${index + 1}${shell.environment ? ` · ${shell.environment}` : ''}`
    shell.tab.className = shell.state === 'ended' || shell.state === 'failed' ? 'gone' : ''
    shell.tab.setAttribute('aria-selected', shell === current)
    shell.tab.tabIndex = shell === current ? 0 : -1
  })
}

function showState() {
  const [text, tone] = states[current?.state] ?? ['No terminal', '']
  byId('state').textContent = current?.state === 'waking' && current.detail ? current.detail : text
  byId('state').className = `state ${tone}`
  byId('state').title = current?.detail ?? ''
  byId('again').hidden = !['taken', 'lost', 'cut'].includes(current?.state)
  byId('close').hidden = !current
  byId('close').textContent = ['ended', 'failed'].includes(current?.state) ? 'Close this tab' : 'End this shell'
}

function show(shell) {
  current = shell
  for (const other of tabs) other.screen.hidden = other !== shell
  document.querySelector('.screens .none')?.remove()
  if (shell) {
    shell.fit()
    shell.terminal.focus()
  } else {
    byId('screens').append(el('div', { class: 'none' }, el('p', {}, 'No terminal is open.'),
      el('p', {}, el('button', { type: 'button', class: 'primary', onclick: () => open() }, 'New terminal'))))
  }
  label()
  showState()
}

function open(id, environment = byId('environment').value) {
  const isNew = !id
  const random = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const shell = new Shell(id ?? random, environment, isNew)
  tabs.push(shell)
  show(shell)
  shell.begin()
  showState()
  shell.terminal.focus()
}

function holdCtrl(isHeld) {
  holdsCtrl = isHeld
  document.querySelector('[data-key="ctrl"]').setAttribute('aria-pressed', isHeld)
}

/** Returns whether the terminal is to have the key. */
function keys(event) {
  if (event.type !== 'keydown') return true
  const letter = event.key.toLowerCase()
  if (event.ctrlKey && event.shiftKey && letter === 'c') {
    const text = current?.terminal.getSelection()
    if (text) navigator.clipboard?.writeText(text).catch(() => document.execCommand('copy'))
    event.preventDefault()
    return false
  }
  if (event.ctrlKey && event.shiftKey && letter === 'v') return false  // the browser pastes
  if (event.ctrlKey && event.altKey) {
    if (letter === 't') { open(); event.preventDefault(); return false }
    if (letter === 'arrowright' || letter === 'arrowleft') {
      const index = tabs.indexOf(current) + (letter === 'arrowright' ? 1 : -1)
      show(tabs[(index + tabs.length) % tabs.length])
      event.preventDefault()
      return false
    }
  }
  return true
}

async function end() {
  const shell = current
  if (!shell) return
  if (shell.state === 'ended' || shell.state === 'failed') return shell.remove()
  if (!await ask({ title: 'End this shell?', text: 'What runs in it is ended with it.', action: 'End it' })) return shell.terminal.focus()
  const query = shell.environment ? `?environment=${encodeURIComponent(shell.environment)}` : ''
  try {
    await call('DELETE', `/v1/terminals/${shell.id}${query}`)
  } catch (error) {
    if (error.code !== 'terminal_not_found') return tellError(error)
  }
  shell.remove()
}

if (data.isThere) {
  const own = data.environments.find(({ kind }) => kind === 'user_vm')
  byId('environment').append(el('option', { value: '' }, 'My VM'),
    ...data.environments.filter((each) => each !== own && each.state !== 'destroyed')
      .map(({ slug, name }) => el('option', { value: slug }, name || slug)))
  byId('new').addEventListener('click', () => open())
  byId('close').addEventListener('click', end)
  byId('again').addEventListener('click', () => { current?.connect(); current?.terminal.focus() })
  byId('tabs').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    show(tabs[(tabs.indexOf(current) + step + tabs.length) % tabs.length])
    current.tab.focus()
  })
  const sequences = { esc: '\x1b', tab: '\t', up: '\x1b[A', down: '\x1b[B', right: '\x1b[C', left: '\x1b[D' }
  for (const button of document.querySelectorAll('[data-key]')) {
    button.addEventListener('click', () => {
      if (button.dataset.key === 'ctrl') holdCtrl(!holdsCtrl)
      else current?.type(sequences[button.dataset.key])
      current?.terminal.focus()
    })
  }
  const repaint = () => { for (const { terminal } of tabs) terminal.setOption('theme', theme()) }
  document.documentElement.addEventListener('themechange', repaint)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint)
  new ResizeObserver(() => current?.fit()).observe(byId('screens'))
  window.addEventListener('online', () => { for (const shell of tabs) if (shell.state === 'lost') shell.connect() })
  window.shells = tabs
  show(null)
  const chosen = new URLSearchParams(location.search).get('environment') ?? ''
  if ([...byId('environment').options].some(({ value }) => value === chosen)) byId('environment').value = chosen
  call('GET', `/v1/terminals${chosen ? `?environment=${encodeURIComponent(chosen)}` : ''}`).then(({ terminals }) => {
    for (const { id } of terminals.slice(0, 12)) open(id, chosen)
    if (!terminals.length) open()
  }).catch((error) => { if (error.code === 'environment_not_found') open(); else tellError(error) })
}
