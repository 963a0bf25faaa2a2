// Paths of files as the API writes them: escaped byte by byte, for names are any bytes. Kept so everywhere; what people
// see is made of them here, and is only ever set as text.

import { APIError } from './api.js'
import { el } from './page.js'

/** A name as it was typed, or as a file of this device is called, for a path. */
export const encode = (name) => encodeURIComponent(name.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD'))
  .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)

export const join = (directory, name) => (directory ? `${directory}/${name}` : name)
export const parent = (path) => path.split('/').slice(0, -1).join('/')
export const last = (path) => path.split('/').at(-1)

/** Whether it is a path as the API writes them. Browsers would take '..' out of an address, and so end elsewhere. */
export const isPath = (path) => path === '' || path.split('/').every((part) => /^[\w.~%-]+$/.test(part) && !/^(\.|%2e){1,2}$/i.test(part))

/** Where the API has a path, or with a query does something about it. Throws APIError. */
export function address(path, environment, query = '') {
  if (!isPath(path)) throw new APIError({ code: 'path_outside_home', message: 'That is no path in the home.', hint: 'Its parts are not empty, and none is ‘.’ or ‘..’.' }, 422)
  const all = [environment ? `environment=${encodeURIComponent(environment)}` : '', query].filter(Boolean).join('&')
  return `/v1/files/${path}${all ? `?${all}` : ''}`
}

/** The text of one part of a path; bytes that are no text stay as they are escaped, in arrays. */
function pieces(part) {
  const all = []
  for (const run of part.match(/(?:%[0-9A-Fa-f]{2})+|[^%]+|%/g) ?? []) {
    let rest = run.startsWith('%') ? run.match(/%../g) ?? [run] : null
    if (!rest) all.push(run)
    while (rest?.length) {
      let text
      let taken = Math.min(rest.length, 4)
      for (; taken > 0 && text === undefined; taken -= 1) {
        try { text = decodeURIComponent(rest.slice(0, taken).join('')) } catch { /* fewer bytes, or none, are text */ }
        if (text !== undefined) break
      }
      all.push(text ?? [rest[0]])
      rest = rest.slice(text === undefined ? 1 : taken)
    }
  }
  return all
}

/** What of a name can be typed, for a field. */
export const typed = (part) => pieces(part).filter((piece) => typeof piece === 'string').join('').replace(/[\p{C}\u2028\u2029]/gu, '')

/** A name in a sentence: what cannot be seen is written out, so that no name looks like another or turns text around. */
export const plain = (part) => pieces(part).map((piece) => (typeof piece === 'string' ? piece.replace(/[\p{C}\u2028\u2029]/gu, written) : `\\x${piece[0].slice(1)}`)).join('')

const NAMES = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
const written = (sign) => NAMES[sign] ?? (sign < '\x7F' && sign !== '\x7F' ? `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}` : `\\u{${sign.codePointAt(0).toString(16).toUpperCase()}}`)

/** A name as an element: what cannot be seen is marked, and no sign in it turns what is around it. */
export function shown(part) {
  const name = el('bdi', { dir: 'ltr' })
  const odd = (text) => name.append(el('span', { class: 'odd' }, text))
  for (const piece of pieces(part)) {
    if (typeof piece !== 'string') odd(`\\x${piece[0].slice(1)}`)
    else for (const text of piece.split(/([\p{C}\u2028\u2029])/u)) if (text) /^[\p{C}\u2028\u2029]$/u.test(text) ? odd(written(text)) : name.append(text)
  }
  return name
}
