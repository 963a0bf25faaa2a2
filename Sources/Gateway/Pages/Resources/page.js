// Small things that pages are written with. What came from a user or a program is only ever set as text.

import { clean } from './text.js'

export const byId = (id) => document.getElementById(id)

/** What the server gave this page to begin with. */
export const data = JSON.parse(byId('main').dataset.page ?? 'null')

/** An element: el('p', {class: 'hint', onclick: f}, 'text', child…). Attributes that are null or false are left out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value)
    else element.setAttribute(key, value === true ? '' : typeof value === 'string' ? clean(value) : value)
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === 'string' ? clean(child) : child)))
  return element
}

/** Tells the person something, for a while; errors stay until they are put away. */
export function tell(text, { isError = false, hint } = {}) {
  const message = el('div', { class: isError ? 'message error' : 'message' }, el('p', {}, text),
    hint ? el('p', { class: 'hint' }, hint) : null)
  const close = () => message.remove()
  message.append(el('button', { type: 'button', class: 'icon', 'aria-label': 'Put this message away', onclick: close }, '×'))
  const all = byId('messages')
  all.append(message)
  while (all.children.length > 4) all.firstChild.remove()
  if (!isError) setTimeout(close, 6000)
}

export const tellError = (error) => {
  if (error.name !== 'AbortError') tell(error.message, { isError: true, hint: error.hint })
}

/** Runs what a button is for, once at a time, and tells what went wrong. */
export async function busy(button, work) {
  if (button.getAttribute('aria-busy') === 'true') return
  button.setAttribute('aria-busy', 'true')
  try { return await work() } catch (error) { tellError(error) } finally { button.removeAttribute('aria-busy') }
}

/** Asks before what cannot be undone. Resolves to whether to go on. */
export function ask({ title, text, action, isDangerous = true }) {
  const dialog = el('dialog', { class: 'ask', 'aria-labelledby': 'ask-title' },
    el('form', { method: 'dialog' },
      el('h2', { id: 'ask-title' }, title), el('p', {}, text),
      el('div', { class: 'actions end' },
        el('button', { value: 'no', class: 'quiet', autofocus: true }, 'Keep it as it is'),
        el('button', { value: 'yes', class: isDangerous ? 'danger' : 'primary' }, action))))
  document.body.append(dialog)
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(dialog.returnValue === 'yes')
    })
  })
}

const units = ['B', 'KB', 'MB', 'GB', 'TB']
export function bytes(count) {
  if (count === null || count === undefined) return '–'
  let unit = 0
  while (count >= 1024 && unit < 4) { count /= 1024; unit += 1 }
  return `${count < 10 && unit > 0 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`
}
export const megabytes = (count) => (count === null || count === undefined ? '–' : bytes(count * 1048576))

export function duration(ms) {
  if (ms === null || ms === undefined) return '–'
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
export function ago(date) {
  const seconds = (new Date(date) - Date.now()) / 1000
  const size = Math.abs(seconds)
  if (size < 45) return seconds > 0 ? 'in a moment' : 'just now'
  if (size < 2700) return relative.format(Math.round(seconds / 60), 'minute')
  if (size < 79200) return relative.format(Math.round(seconds / 3600), 'hour')
  return relative.format(Math.round(seconds / 86400), 'day')
}

/** A <time> that says how long ago, and exactly when on a closer look. */
export const time = (date) => (date
  ? el('time', { datetime: date, title: new Date(date).toLocaleString() }, ago(date)) : el('span', {}, '–'))

setInterval(() => {
  for (const element of document.querySelectorAll('time[datetime]:not([data-exact])')) {
    const text = ago(element.dateTime)
    if (element.textContent !== text) element.textContent = text
  }
}, 20000)
