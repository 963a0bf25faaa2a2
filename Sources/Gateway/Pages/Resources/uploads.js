// Files on their way to a VM. Large ones go in parts, under an id that is made of where the file goes and what it is: so
// the same file goes on where it was cut, also after the page was closed.

import { APIError, call } from './api.js'
import { ask, byId, bytes, data, el, tell } from './page.js'
import { address, encode, join, last, parent, plain, shown } from './paths.js'

const WHOLE = 256 * 1024 // up to here in one request
const SMALLEST = 256 * 1024
const LARGEST = 32 * 1024 * 1024
const PART_SECONDS = 2
const LONGEST_WAIT = 30 // seconds between two tries
const MOST = 5000 // files of one drop
const REMEMBERED = 20
const TYPE = { 'Content-Type': 'application/octet-stream' }

// MARK: What this browser remembers

const key = `files.uploads.${data.user}`
const memory = {
  get: () => { try { return JSON.parse(localStorage.getItem(key) ?? '[]') } catch { return [] } },
  set: (all) => { try { localStorage.setItem(key, JSON.stringify(all.slice(-REMEMBERED))) } catch { /* full, or not allowed */ } },
  add(entry) { this.set([...this.get().filter((each) => each.id !== entry.id), entry]) },
  remove(id) { this.set(this.get().filter((each) => each.id !== id)) },
}

/** 128 bits of a text, by FNV-1a: what tells one's own files apart, and works without HTTPS. */
function identity(text) {
  const all = new TextEncoder().encode(text)
  return [0x811c9dc5, 0x01000193, 0x9e3779b9, 0x85ebca6b].map((seed) => {
    let hash = seed
    for (const byte of all) hash = Math.imul(hash ^ byte, 0x01000193)
    return (hash >>> 0).toString(16).padStart(8, '0')
  }).join('')
}

class Replaced extends Error {}

// MARK: One file

class Upload {
  constructor({ path, environment, file = null, size = file.size, id = null }) {
    Object.assign(this, { path, environment, file, size, sent: 0, state: file ? 'waits' : 'left', replaces: false })
    this.id = id ?? identity(`${environment} ${path} ${file.size} ${file.lastModified}`)
    this.told = el('span', { class: 'told' })
    this.bar = el('progress', { max: 1, value: 0, 'aria-label': `Of ${plain(last(path))}` })
    this.acts = el('span', { class: 'acts' })
    this.item = el('li', {}, el('span', { class: 'what' }, shown(last(path))), this.told, this.acts, this.bar)
    this.draw()
  }

  get url() { return address(this.path, this.environment) }
  with(query) { return address(this.path, this.environment, query) }

  button(label, work) {
    return el('button', { type: 'button', class: 'quiet', 'aria-label': `${label} ${plain(last(this.path))}`, onclick: work }, label)
  }

  become(state, why = null) {
    const hadFocus = this.acts.contains(document.activeElement)
    Object.assign(this, { state, why })
    this.draw()
    if (hadFocus) (this.acts.querySelector('button') ?? byId('transfers-clear')).focus()
  }

  draw() {
    const share = this.size ? this.sent / this.size : this.state === 'done' ? 1 : 0
    this.bar.value = this.state === 'done' ? 1 : share
    const far = `${bytes(this.sent)} of ${bytes(this.size)}`
    const rate = this.rate ? `, ${bytes(this.rate)}/s` : ''
    this.told.className = this.state === 'failed' ? 'told bad' : 'told'
    this.told.textContent = {
      waits: `Waits, ${bytes(this.size)}`, runs: `${far}${rate}`, halts: `${far}. ${this.why} Tries again by itself.`,
      paused: `Paused at ${far}`, left: `${far} are there. Choose the same file again to go on.`,
      failed: this.why, done: `Done, ${bytes(this.size)}`,
    }[this.state]
    if (this.drawn === this.state) return // so that buttons keep the focus
    this.drawn = this.state
    const forget = this.button(this.state === 'left' || this.state === 'failed' ? 'Forget' : 'Cancel', () => this.forget())
    const buttons = {
      waits: [forget], runs: [this.button('Pause', () => this.pause()), forget],
      halts: [this.button('Try now', () => this.wake?.()), forget], paused: [this.button('Go on', () => this.goOn()), forget],
      left: [this.button('Choose the file', () => this.choose()), forget],
      failed: [this.file ? this.button('Try again', () => this.goOn()) : null, forget], done: [],
    }[this.state]
    this.acts.replaceChildren(...buttons.filter(Boolean))
  }

  pause() { this.become('paused'); this.abort?.abort() }
  goOn() { this.become('waits'); pump() }

  choose() {
    const pick = byId('pick-again')
    pick.value = ''
    pick.onchange = () => {
      const file = pick.files[0]
      if (!file) return
      if (identity(`${this.environment} ${this.path} ${file.size} ${file.lastModified}`) !== this.id) {
        return tell('That is another file, or it was changed meanwhile.', { isError: true, hint: 'Upload it from its beginning.' })
      }
      this.file = file
      this.goOn()
    }
    pick.click()
  }

  async forget() {
    const began = this.state !== 'waits' || this.sent
    this.state = 'gone'
    this.abort?.abort()
    remove(this)
    if (began) await call('DELETE', this.with(`upload=${this.id}`)).catch(() => {})
    memory.remove(this.id)
  }

  /** Sends it, over every interruption that may end. Throws what does not. */
  async send() {
    this.abort = new AbortController()
    this.isRepeated = false
    this.begun = Date.now()
    this.become('runs')
    while (true) {
      try {
        const answer = this.size <= WHOLE ? await this.sendWhole() : await this.sendParts()
        return answer.file
      } catch (error) {
        if (error instanceof APIError && error.code === 'upload_mismatch') continue // where it is, is asked again
        if (error instanceof APIError && error.code === 'file_exists') {
          if (this.isRepeated && (await this.hasArrived())) return null
          throw new Replaced()
        }
        const mayEnd = error instanceof APIError && (error.status === 0 || error.status === 429 || error.status >= 500)
        if (!mayEnd) throw error
        if (error.status === 0) await this.file.slice(0, 1).arrayBuffer() // throws if it cannot be read any more
        this.isRepeated = true
        this.wait = Math.min((this.wait ?? 0.5) * 2, LONGEST_WAIT)
        this.become('halts', error.message)
        await new Promise((resolve, reject) => {
          const timer = setTimeout(resolve, (error.retryAfter ?? this.wait) * 1000)
          this.wake = resolve
          this.abort.signal.addEventListener('abort', () => { clearTimeout(timer); reject(new DOMException('', 'AbortError')) }, { once: true })
        })
        this.become('runs')
      }
    }
  }

  options(body) {
    return { body, signal: this.abort.signal, headers: this.replaces ? TYPE : { ...TYPE, 'If-None-Match': '*' } }
  }

  async sendWhole() {
    const answer = await call('PUT', this.with('parents'), this.options(this.file))
    this.sent = this.size
    return answer
  }

  async sendParts() {
    try {
      this.sent = (await call('GET', this.with(`upload=${this.id}`), { signal: this.abort.signal })).upload.offset
    } catch (error) {
      if (error.code !== 'file_not_found') throw error
      this.sent = 0
    }
    this.part ??= SMALLEST
    this.draw()
    while (true) {
      const began = performance.now()
      const body = this.file.slice(this.sent, this.sent + this.part)
      const query = `upload=${this.id}&offset=${this.sent}&total=${this.size}&parents`
      memory.add({ id: this.id, path: this.path, environment: this.environment, size: this.size })
      const answer = await call('PUT', this.with(query), this.options(body))
      const seconds = Math.max((performance.now() - began) / 1000, 0.001)
      this.rate = body.size / seconds
      this.part = Math.round(Math.min(LARGEST, Math.max(SMALLEST, this.rate * PART_SECONDS), this.part * 4))
      this.wait = null
      if (answer.file) {
        this.sent = this.size
        memory.remove(this.id)
        return answer
      }
      this.sent = answer.upload.offset
      this.draw()
    }
  }

  /** Whether what is there came from here, with an answer that was lost. */
  async hasArrived() {
    const { file } = await call('GET', this.with('stat'))
    return file.type === 'file' && file.size === this.size && new Date(file.modifiedAt) >= this.begun - 60_000
  }
}

// MARK: All of them, one at a time

const uploads = []
let isPumping = false
let onArrival = () => {}

function add(upload) {
  const same = uploads.findIndex((each) => each.id === upload.id)
  if (same >= 0) {
    if (['waits', 'runs', 'halts'].includes(uploads[same].state)) return
    uploads[same].item.remove()
    uploads.splice(same, 1)
  }
  uploads.push(upload)
  byId('transfers').append(upload.item)
  byId('transfers-panel').hidden = false
}

function remove(upload) {
  const at = uploads.indexOf(upload)
  if (at < 0) return
  uploads.splice(at, 1)
  upload.item.remove()
  byId('transfers-panel').hidden = !uploads.length
}

async function pump() {
  if (isPumping) return
  isPumping = true
  let done = 0
  for (let upload; (upload = uploads.find((each) => each.state === 'waits'));) {
    try {
      await upload.send()
      upload.become('done')
      done += 1
      byId('transfers-told').textContent = `${plain(last(upload.path))} is there.`
      onArrival(upload)
    } catch (error) {
      if (upload.state === 'gone' || (error.name === 'AbortError' && upload.state === 'paused')) continue
      if (error instanceof Replaced) {
        if (await ask({
          title: `Replace '${plain(last(upload.path))}'?`, action: 'Replace it',
          text: 'There is one of this name. What it holds would be lost.',
        })) { upload.replaces = true; upload.become('waits') } else upload.forget()
        continue
      }
      upload.become('failed', error instanceof APIError ? `${error.message} ${error.hint ?? ''}` : 'The file cannot be read any more: it was changed or moved.')
    }
  }
  isPumping = false
}

/** Uploads files of this device: `{ file, path }`, the path within the directory. */
export function upload(files, directory, environment) {
  if (files.length > MOST) {
    return tell(`That are more than ${MOST} files.`, { isError: true, hint: 'Pack them into one archive, or use \'martlet cp -r\'.' })
  }
  for (const { file, path } of files) add(new Upload({ file, environment, path: join(directory, path.split('/').map(encode).join('/')) }))
  pump()
}

/** The files of a drop, those in directories too. */
export async function dropped(transfer) {
  const found = []
  async function walk(entry, path) {
    if (found.length > MOST) return
    if (entry.isFile) return found.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) })
    const reader = entry.createReader()
    while (true) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))
      if (!some.length) return
      for (const each of some) await walk(each, `${path}/${each.name}`)
    }
  }
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean)
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }))
  for (const entry of entries) await walk(entry, entry.name)
  return found
}

/** Shows what was left off on the way to a machine. */
export function recall(environment) {
  for (const entry of memory.get().filter((each) => each.environment === environment)) {
    call('GET', address(entry.path, environment, `upload=${entry.id}`)).then(({ upload: { offset } }) => {
      if (uploads.some((each) => each.id === entry.id)) return
      const left = new Upload(entry)
      left.sent = offset
      add(left)
      left.draw()
    }).catch((error) => { if (error.code === 'file_not_found') memory.remove(entry.id) })
  }
}

/** Tells of what arrives. */
export function begin({ arrived }) {
  onArrival = (upload) => arrived(upload.environment, parent(upload.path))
  byId('transfers-clear').addEventListener('click', () => {
    for (const each of [...uploads]) if (['done', 'failed'].includes(each.state)) remove(each)
    if (byId('transfers-panel').hidden) byId('upload').focus()
  })
  addEventListener('beforeunload', (event) => { if (uploads.some((each) => ['waits', 'runs', 'halts'].includes(each.state))) event.preventDefault() })
}
