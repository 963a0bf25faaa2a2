// What a program prints, shown as text. Of what it sends to terminals only colours and the carriage return have an
// effect; titles, clipboards, links and everything else are dropped. At most LIMIT characters are kept, the newest.

import { CONTROLS, ESCAPES } from './text.js'

export const LIMIT = 2 << 20
const PIECE = 16 << 10
const TAIL = 4 << 10

/** The colours that are set, of one stream. */
class Style {
  constructor() { this.reset() }
  reset() { this.flags = new Set(); this.colour = null }

  /** Parameters of CSI … m (ECMA-48, 8.3.117). */
  apply(parameters) {
    const codes = parameters.split(/[;:]/).map(Number)
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at]
      if (code === 0) this.reset()
      else if (code === 1) this.flags.add('b')
      else if (code === 2) this.flags.add('f')
      else if (code === 3) this.flags.add('i')
      else if (code === 4) this.flags.add('u')
      else if (code === 22) { this.flags.delete('b'); this.flags.delete('f') }
      else if (code === 23) this.flags.delete('i')
      else if (code === 24) this.flags.delete('u')
      else if (code >= 30 && code <= 37) this.colour = code - 30
      else if (code >= 90 && code <= 97) this.colour = code - 90
      else if (code === 39) this.colour = null
      else if (code === 38 || code === 48) {
        if (codes[at + 1] === 5 && code === 38 && codes[at + 2] < 16) this.colour = codes[at + 2] % 8
        at += codes[at + 1] === 5 ? 2 : codes[at + 1] === 2 ? 4 : 0
      }
    }
  }

  get names() { return [...this.flags, ...(this.colour === null ? [] : [`c${this.colour}`])] }
}

export class OutputView {
  /** `onDrop` is called when the oldest output is left out for the first time. */
  constructor(element, { onDrop = () => {} } = {}) {
    this.element = element
    this.onDrop = onDrop
    this.reset()
  }

  /** Empties it, also of what the page said before anything was printed. */
  clear() {
    this.element.replaceChildren()
    this.reset()
  }

  reset() {
    this.queue = []
    this.queued = 0
    this.size = 0
    this.hasDropped = false
    this.streams = { stdout: { style: new Style(), rest: '' }, stderr: { style: new Style(), rest: '' } }
    this.line = null // where the line under way begins: {node, offset}
    this.returned = false // a carriage return came: what follows is written over the line
  }

  /** Takes output of `stdout` or `stderr`; it is shown with the next frame. */
  write(stream, text) {
    if (text.length > LIMIT) text = text.slice(-LIMIT)
    this.queue.push([stream, text])
    this.queued += text.length
    while (this.queued > 2 * LIMIT) this.queued -= this.queue.shift()[1].length
    if (this.frame) return
    const show = () => { this.frame = null; this.flush() }
    this.frame = document.hidden ? setTimeout(show, 100) : requestAnimationFrame(show)
  }

  /** Shows all that came so far. */
  flush() {
    const { element } = this
    const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 24
    let [last, parts] = [null, []]
    const put = () => { if (last) this.interpret(last, parts.join('')) }
    for (const [stream, text] of this.queue) {
      if (stream !== last) { put(); [last, parts] = [stream, []] }
      parts.push(text)
    }
    put()
    this.queue = []
    this.queued = 0
    this.trim()
    if (isAtEnd) element.scrollTop = element.scrollHeight
  }

  interpret(stream, text) {
    const state = this.streams[stream]
    text = state.rest + text
    state.rest = ''
    let from = 0
    for (const match of text.matchAll(ESCAPES)) {
      this.lines(stream, text.slice(from, match.index))
      from = match.index + match[0].length
      const escape = match[0]
      if (escape.startsWith('\x1b[') && escape.endsWith('m')) state.style.apply(escape.slice(2, -1))
      else if (from === text.length && escape.length < TAIL && !/[@-~\x07]$/.test(escape.slice(2))) state.rest = escape
    }
    this.lines(stream, text.slice(from))
  }

  lines(stream, text) {
    text = text.replaceAll('\r\n', '\n').replace(CONTROLS, '')
    for (const [index, part] of text.split('\r').entries()) {
      if (index > 0) this.returned = true
      if (!part) continue
      if (this.returned && part[0] !== '\n') this.eraseLine()
      this.returned = false
      this.append(stream, part)
    }
  }

  append(stream, text) {
    const names = [...(stream === 'stderr' ? ['err'] : []), ...this.streams[stream].style.names].join(' ')
    for (let from = 0; from < text.length; from += PIECE) {
      const piece = text.slice(from, from + PIECE)
      let node = this.element.lastChild
      if (!node || node.className !== names || node.firstChild.length + piece.length > PIECE) {
        node = document.createElement('span')
        if (names) node.className = names
        node.append('')
        this.element.append(node)
      }
      const offset = node.firstChild.length
      node.firstChild.appendData(piece)
      this.size += piece.length
      const end = piece.lastIndexOf('\n')
      if (end >= 0) this.line = { node, offset: offset + end + 1 }
      else this.line ??= { node, offset }
    }
  }

  eraseLine() {
    if (!this.line?.node.isConnected) return
    const { node, offset } = this.line
    while (node.nextSibling) {
      this.size -= node.nextSibling.textContent.length
      node.nextSibling.remove()
    }
    this.size -= node.firstChild.length - offset
    node.firstChild.deleteData(offset, node.firstChild.length - offset)
  }

  trim() {
    if (this.size <= LIMIT) return
    while (this.size > LIMIT * 0.875 && this.element.firstChild !== this.element.lastChild) {
      this.size -= this.element.firstChild.textContent.length
      this.element.firstChild.remove()
    }
    if (!this.hasDropped) this.onDrop()
    this.hasDropped = true
  }

  /** A word of ours among the output. */
  note(text) {
    this.flush()
    const note = document.createElement('span')
    note.className = 'note'
    note.append(`${this.element.textContent && !this.element.textContent.endsWith('\n') ? '\n' : ''}${text}\n`)
    this.element.append(note)
    this.line = null
    this.element.scrollTop = this.element.scrollHeight
  }
}

/** Text of an event or of the history: as it is, or base64 of bytes that are not UTF-8. */
export function textOf(value, encoding) {
  if (value === null || value === undefined) return ''
  if (typeof value === 'object') return textOf(value.data, value.encoding)
  if (encoding !== 'base64') return value
  return new TextDecoder().decode(Uint8Array.from(atob(value), (character) => character.charCodeAt(0)))
}
