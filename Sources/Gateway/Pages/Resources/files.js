// What is in the programs' home: one directory at a time, and what can be done to its names.

import { replace } from './admin-list.js'
import { APIError, call, request } from './api.js'
import { ask, busy, byId, bytes, data, el, tell, tellError, time } from './page.js'
import { address, encode, isPath, join, last, parent, plain, shown, typed } from './paths.js'
import { begin, dropped, recall, upload } from './uploads.js'

const PAGE = 1000
const EDITABLE = 512 * 1024
const UPLOADS = '.martlet-uploads' // what is not whole yet

// MARK: Where we are

let environment = '' // a slug; empty: one's own VM
let path = ''
let files = []
let isMore = false
let lastName = '' // of the pages that are there
let turn = 0 // of what is asked for: an answer that comes late is not shown

const own = data.environments.find((each) => each.kind === 'user_vm')
const others = data.environments.filter((each) => each.kind !== 'user_vm' && each.state !== 'destroyed')
const machine = () => (environment ? others.find((each) => each.slug === environment) : own)

function whereabouts(to = path, of = environment) {
  const query = new URLSearchParams()
  if (of) query.set('environment', of)
  if (to) query.set('path', to)
  return `/files${query.size ? `?${query}` : ''}`
}

function read() {
  const query = new URLSearchParams(location.search)
  environment = query.get('environment') ?? ''
  path = query.get('path') ?? ''
  if (isPath(path)) return
  path = ''
  tell('This address names no path in the home.', { isError: true })
}

function go(to, { focus = false } = {}) {
  if (to !== path) history.pushState(null, '', whereabouts(to))
  path = to
  return load({ focus })
}

// MARK: The list

const status = byId('status')

async function load({ focus = false, more = false, at = null } = {}) {
  const mine = ++turn
  const waking = setTimeout(() => {
    status.textContent = machine()?.state === 'running' ? 'Loading…' : 'Waking the VM…'
  }, 400)
  if (!more) drawPath()
  try {
    const after = more && lastName ? `&after=${lastName}` : ''
    const answer = await call('GET', address(path, environment, `list&limit=${PAGE}${after}`))
    if (mine !== turn) return
    const there = answer.files.filter((file) => path || file.path !== UPLOADS)
    if (answer.files.length) lastName = last(answer.files.at(-1).path)
    files = sorted(more ? [...files, ...there] : there)
    isMore = answer.more
    if (machine()) machine().state = 'running'
    status.textContent = `${files.length}${isMore ? ' and more' : ''} ${files.length === 1 ? 'name' : 'names'}`
    draw()
    const name = at && byId('rows').querySelector(`tr[data-id="${CSS.escape(at)}"]`)?.querySelector('.label > a, .label > button')
    if (name) name.focus()
    else if (focus) (byId('rows').querySelector('.label > a, .label > button') ?? byId('reload')).focus()
  } catch (error) {
    if (mine !== turn) return
    status.textContent = ''
    if (!more) {
      files = []
      isMore = false
      draw(error)
    } else tellError(error)
  } finally {
    clearTimeout(waking)
  }
}

const sorted = (all) => all.toSorted((one, other) => (other.type === 'directory') - (one.type === 'directory') || (one.path < other.path ? -1 : 1))

function drawPath() {
  const parts = path ? path.split('/') : []
  const crumbs = [['Home', ''], ...parts.map((part, index) => [part, parts.slice(0, index + 1).join('/')])]
  byId('path').replaceChildren(...crumbs.flatMap(([name, to], index) => {
    const text = index ? shown(name) : name
    const crumb = index === crumbs.length - 1 ? el('span', { 'aria-current': 'page' }, text)
      : el('a', { href: whereabouts(to), onclick: (event) => follow(event, to) }, text)
    return index ? [el('span', { class: 'slash', 'aria-hidden': 'true' }, '/'), crumb] : [crumb]
  }))
  document.title = `${path ? plain(last(path)) : 'Files'} · Martlet`
  byId('archive').href = address(path, environment, 'archive=tar')
}

/** A link that this page follows by itself, unless it is to be opened elsewhere. */
function follow(event, to) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return
  event.preventDefault()
  go(to, { focus: byId('rows').contains(document.activeElement) })
}

function row(file) {
  const name = last(file.path)
  const label = file.type === 'directory'
    ? el('a', { href: whereabouts(file.path), onclick: (event) => follow(event, file.path) }, shown(name))
    : el('button', { type: 'button', onclick: (event) => busy(event.currentTarget, () => open(file)) }, shown(name))
  const act = (text, work) => el('button', { type: 'button', class: 'quiet', 'aria-label': `${text} ${plain(name)}`, onclick: (event) => busy(event.currentTarget, work) }, text)
  const archive = file.type === 'directory' ? 'archive=tar' : ''
  const download = file.type === 'file' || file.type === 'directory'
    ? el('a', { class: 'button quiet', download: true, href: address(file.path, environment, archive), 'aria-label': `Download ${plain(name)}` }, 'Download') : null
  return el('tr', { 'data-id': file.path },
    el('td', { class: 'name' }, el('div', { class: 'entry' },
      el('span', { class: 'label' }, el('span', { class: `kind ${file.type}`, role: 'img', 'aria-label': file.type }), label,
        file.target === null ? null : el('span', { class: 'target' }, '→ ', shown(encode(file.target).replaceAll('%2F', '/')))),
      el('span', { class: 'acts' }, download, act('Rename', () => rename(file)), act('Delete', () => remove(file))))),
    el('td', { class: 'number' }, file.type === 'file' ? bytes(file.size) : ''),
    el('td', { class: 'modified' }, time(file.modifiedAt)), el('td', { class: 'mode' }, file.mode))
}

const TROUBLES = { file_not_found: 'There is no such directory.', not_a_directory: 'This is a file.' }
function draw(error) {
  byId('more-row').hidden = !isMore
  if (files.length) return replace(byId('rows'), files.map(row))
  const line = (...children) => el('tr', {}, el('td', { colspan: 4, class: 'empty' }, ...children))
  if (!error) return replace(byId('rows'), [line(el('p', {}, 'Nothing is here yet.'), el('p', { class: 'hint' }, 'Upload something, or let a program write it.'))])
  const isWithout = error.code === 'environment_not_found'
  replace(byId('rows'), [line(el('p', {}, isWithout ? 'You have no VM yet, and so no files.' : TROUBLES[error.code] ?? error.message),
    isWithout ? el('p', {}, el('a', { href: '/my-vm' }, 'Make your VM')) : el('p', { class: 'hint' }, error.hint ?? ''))])
}

// MARK: The keyboard

const names = () => [...byId('rows').querySelectorAll('.label > a, .label > button')]
byId('directory').addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const tr = document.activeElement.closest('#rows tr[data-id]')
  const file = tr && files.find((each) => each.path === tr.dataset.id)
  const all = names()
  const at = tr ? all.findIndex((each) => tr.contains(each)) : -1
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? all.length - 1 : at - 1, Home: 0, End: all.length - 1 }[event.key]
  if (to !== undefined && all.length) {
    event.preventDefault()
    all[Math.max(0, Math.min(all.length - 1, to))].focus()
  } else if (event.key === 'Backspace' && path) {
    event.preventDefault()
    const from = path
    go(parent(path)).then(() => names().find((each) => each.closest('tr').dataset.id === from)?.focus())
  } else if (file && event.key === 'F2') {
    event.preventDefault()
    rename(file).catch(tellError)
  } else if (file && event.key === 'Delete') {
    event.preventDefault()
    remove(file).catch(tellError)
  }
})

// MARK: Names

const dialog = byId('name-dialog')
/** Asks for a name, again and again until `work` takes it. Resolves when it was, or nobody wants to any more. */
function askName({ title, action, hint = '', value = '' }, work) {
  byId('name-title').textContent = title
  byId('name-ok').textContent = action
  byId('name-hint').textContent = hint
  byId('name-problem').hidden = true
  const field = byId('name')
  field.value = value
  dialog.showModal()
  field.focus()
  field.setSelectionRange(0, value.lastIndexOf('.') > 0 ? value.lastIndexOf('.') : value.length)
  return new Promise((resolve) => {
    const submit = (event) => {
      event.preventDefault()
      busy(byId('name-ok'), async () => {
        try {
          const name = field.value
          if (!name || name === '.' || name === '..') throw new APIError({ code: 'invalid', message: 'A name is missing.', hint: '' })
          const done = await work(name)
          dialog.close()
          resolve(done)
        } catch (error) {
          if (!(error instanceof APIError)) throw error
          byId('name-problem').hidden = false
          byId('name-problem').textContent = `${error.message} ${error.hint ?? ''}`
          field.focus()
        }
      })
    }
    byId('name-form').addEventListener('submit', submit)
    dialog.addEventListener('close', () => { byId('name-form').removeEventListener('submit', submit); resolve(null) }, { once: true })
  })
}
byId('name-cancel').addEventListener('click', () => dialog.close())

/** A name typed; with slashes, from the home. */
const place = (name) => (name.includes('/') ? name.replace(/^\/+/, '').split('/').map(encode).join('/') : join(path, encode(name)))

async function rename(file) {
  const name = last(file.path)
  const value = typed(name)
  const to = await askName({
    title: `Rename ${plain(name)}`, action: 'Rename', value,
    hint: `With slashes it is a path from the home, and moves there.${value === plain(name) ? '' : ' What cannot be typed of the old name is left out.'}`,
  }, async (text) => {
    const target = place(text)
    if (target !== file.path) await call('PATCH', address(file.path, environment), { body: { moveTo: target } })
    return target
  })
  if (to) await load({ at: to })
}

async function remove(file) {
  const name = plain(last(file.path))
  const text = file.type === 'directory' ? 'It is removed with everything in it. This cannot be undone.'
    : file.type === 'link' ? 'The link is removed; what it leads to stays.' : 'This cannot be undone.'
  if (!(await ask({ title: `Delete ${name}?`, action: 'Delete it', text }))) return
  const index = files.indexOf(file)
  await call('DELETE', address(file.path, environment, file.type === 'directory' ? 'recursive' : ''))
  tell(`${name} was deleted.`)
  const next = files[index + 1] ?? files[index - 1]
  await load({ at: next?.path, focus: true })
}

byId('new-directory').addEventListener('click', (event) => busy(event.currentTarget, async () => {
  const made = await askName({ title: 'New directory', action: 'Make it' }, async (name) => {
    await call('PATCH', address(place(name), environment), { body: { directory: true } })
    return place(name)
  })
  if (made) await load({ at: made })
}))

byId('new-file').addEventListener('click', (event) => busy(event.currentTarget, async () => {
  const made = await askName({ title: 'New file', action: 'Make it', value: '' }, async (name) =>
    (await call('PUT', address(place(name), environment), { body: new Blob([]), headers: { 'Content-Type': 'text/plain', 'If-None-Match': '*' } })).file)
  if (!made) return
  await load({ at: made.path })
  await open(made)
}))

// MARK: Reading and editing

const editor = byId('edit-dialog')
const text = byId('text')
let opened = null // { path, environment, tag, ends, was }

async function open(file) {
  if (file.type === 'other') return tell('This is no plain file.', { hint: 'Pipes and devices have no content.' })
  if (file.type === 'link') {
    try {
      await call('GET', address(file.path, environment, 'list&limit=1'))
      return go(file.path, { focus: true })
    } catch (error) {
      if (error.code !== 'not_a_directory') throw error
    }
  }
  const content = await fetchText(file.path)
  if (content.text === null) {
    tell(`${plain(last(file.path))} is ${content.why}.`, { hint: 'It was not opened here: download it.' })
    return
  }
  opened = { path: file.path, environment, ...content }
  byId('edit-title').replaceChildren(shown(last(file.path)))
  byId('conflict').hidden = byId('edit-problem').hidden = true
  text.readOnly = content.ends === null
  byId('edit-save').hidden = text.readOnly
  text.value = content.text
  opened.was = text.value
  drawState()
  editor.showModal()
  text.focus()
  text.setSelectionRange(0, 0)
  text.scrollTop = 0
}

/** The text of a file as a field can hold it, with its line ends beside it; `null` if it is no text, or too long. */
async function fetchText(of) {
  const response = await request('GET', address(of, environment))
  const length = Number(response.headers.get('Content-Length') ?? Infinity)
  if (length > EDITABLE) {
    response.body?.cancel()
    return { text: null, why: `longer than ${bytes(EDITABLE)}` }
  }
  let whole
  try {
    whole = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await response.arrayBuffer())
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return { text: null, why: 'no text' }
  }
  if (whole.includes('\0')) return { text: null, why: 'no text' }
  const isBare = /(^|[^\r])\n|\r(?!\n)/.test(whole)
  const ends = !whole.includes('\r') ? '\n' : isBare ? null : '\r\n'
  return { text: whole.replaceAll('\r\n', '\n'), tag: response.headers.get('ETag'), ends }
}

const isChanged = () => opened && !text.readOnly && text.value !== opened.was
function drawState() {
  byId('edit-state').textContent = text.readOnly ? 'For reading only: its line ends are mixed, and would not stay so'
    : isChanged() ? 'Changed' : 'Saved'
}
text.addEventListener('input', drawState)

async function save(tag) {
  if (!opened || text.readOnly) return
  const written = text.value
  byId('edit-problem').hidden = true
  try {
    const { file } = await call('PUT', address(opened.path, opened.environment), {
      body: new Blob([written.replaceAll('\n', opened.ends)]),
      headers: { 'Content-Type': 'application/octet-stream', ...(tag ? { 'If-Match': tag } : {}) },
    })
    Object.assign(opened, { tag: file.tag, was: written })
    byId('conflict').hidden = true
    drawState()
    load()
  } catch (error) {
    if (error.code === 'precondition_failed') {
      byId('conflict-text').textContent = 'It was changed or removed elsewhere since you opened it, and was not saved.'
      byId('conflict').hidden = false
    } else if (error instanceof APIError) {
      byId('edit-problem').textContent = `${error.message} ${error.hint ?? ''}`
      byId('edit-problem').hidden = false
    } else throw error
  }
}

byId('edit-form').addEventListener('submit', (event) => {
  event.preventDefault()
  busy(byId('edit-save'), () => save(opened.tag))
})
editor.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 's') {
    event.preventDefault()
    busy(byId('edit-save'), () => save(opened.tag))
  }
})
byId('conflict-mine').addEventListener('click', (event) => busy(event.currentTarget, async () => { await save(null); text.focus() }))
byId('conflict-theirs').addEventListener('click', (event) => busy(event.currentTarget, async () => {
  try {
    const content = await fetchText(opened.path)
    if (content.text === null || content.ends === null) return tell('What is there now is no text that can be shown here.', { isError: true })
    Object.assign(opened, content)
    text.value = content.text
    opened.was = text.value
    byId('conflict').hidden = true
    drawState()
    text.focus()
  } catch (error) {
    if (error.code !== 'file_not_found') throw error
    tell('It was removed.', { hint: 'Saving your text makes it again: choose to replace it with yours.' })
  }
}))

async function close() {
  if (isChanged() && !(await ask({ title: 'Leave without saving?', action: 'Leave it', text: 'What you have changed would be lost.' }))) return
  editor.close()
}
byId('edit-close').addEventListener('click', close)
editor.addEventListener('cancel', (event) => { if (event.target === editor) { event.preventDefault(); close() } })
editor.addEventListener('close', () => {
  if (!opened) return
  const from = opened.path
  opened = null
  text.value = ''
  names().find((each) => each.closest('tr').dataset.id === from)?.focus()
})
addEventListener('beforeunload', (event) => { if (isChanged()) event.preventDefault() })

// MARK: Uploads

begin({ arrived: (of, into) => { if (of === environment && (into === path || into.startsWith(path ? `${path}/` : ''))) load() } })
byId('upload').addEventListener('click', () => byId('pick').click())
byId('pick').addEventListener('change', () => {
  upload([...byId('pick').files].map((file) => ({ file, path: file.name })), path, environment)
  byId('pick').value = ''
})
const isFiles = (event) => event.dataTransfer?.types.includes('Files') && !document.querySelector('dialog[open]')
let depth = 0
addEventListener('dragenter', (event) => { if (isFiles(event)) { depth += 1; byId('drop').hidden = false } })
addEventListener('dragleave', (event) => { if (isFiles(event)) { depth -= 1; byId('drop').hidden = depth <= 0 } })
addEventListener('dragover', (event) => { if (isFiles(event)) event.preventDefault() })
addEventListener('drop', async (event) => {
  if (!isFiles(event)) return
  event.preventDefault()
  depth = 0
  byId('drop').hidden = true
  const [into, of] = [path, environment]
  try { upload(await dropped(event.dataTransfer), into, of) } catch { tell('What was dropped cannot be read.', { isError: true }) }
})

// MARK: Begin

byId('reload').addEventListener('click', (event) => busy(event.currentTarget, () => load()))
byId('more').addEventListener('click', (event) => busy(event.currentTarget, () => load({ more: true })))
addEventListener('popstate', () => { read(); byId('environment').value = environment; recall(environment); load() })
read()
if (others.length) {
  byId('where').hidden = false
  byId('environment').append(el('option', { value: '' }, 'My VM'), ...others.map((each) => el('option', { value: each.slug }, each.name)))
  byId('environment').value = environment
  byId('environment').addEventListener('change', () => {
    environment = byId('environment').value
    path = ''
    history.pushState(null, '', whereabouts())
    recall(environment)
    load()
  })
}
recall(environment)
load()
