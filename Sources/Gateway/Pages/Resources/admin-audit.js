// Who did what.

import { emptyRow, filters, replace } from './admin-list.js'
import { call } from './api.js'
import { byId, duration, el, tellError, time } from './page.js'
import { word } from './states.js'

const LIMIT = 100
let lines = []
const link = (name, value, text) => el('a', { href: `/admin/audit?${name}=${encodeURIComponent(value)}` }, text)

function draw() {
  replace(byId('rows'), lines.length ? lines.map((line) => el('tr', { 'data-id': line.id },
    el('td', {}, el('time', { datetime: line.createdAt, 'data-exact': true }, new Date(line.createdAt).toLocaleString([], { hour12: false }))),
    el('td', {}, line.action),
    el('td', {}, line.actor.kind, el('span', { class: 'id', title: line.actor.id }, line.actor.id)),
    el('td', {}, line.environmentId ? link('vm', line.environmentId, el('span', { class: 'id', title: line.environmentId }, `VM ${line.environmentId}`)) : null,
      line.userId ? link('user', line.userId, el('span', { class: 'id', title: line.userId }, `user ${line.userId}`)) : null),
    el('td', {}, line.errorCode ? el('span', { class: 'state bad' }, line.errorCode) : line.toState ? `${word(line.fromState)} → ${word(line.toState)}` : el('span', { class: 'state good' }, 'done')),
    el('td', { class: 'wrap' }, Object.entries(line.detail).filter(([key]) => key !== 'durationMs').map(([key, value]) => `${key}: ${value}`).join(', '),
      line.requestId ? el('span', { class: 'id' }, link('request', line.requestId, line.requestId)) : null),
    el('td', { class: 'number' }, line.durationMs === null ? '' : duration(line.durationMs))))
    : [emptyRow(7, 'No line is like this.', 'Loosen a filter.')])
}

async function restart(before) {
  const asked = query()
  asked.set('limit', LIMIT)
  if (before) asked.set('before', before)
  try {
    const { audit } = await call('GET', `/v1/admin/audit?${asked}`)
    lines = before ? [...lines, ...audit] : audit
    byId('more').hidden = audit.length < LIMIT
  } catch (error) {
    if (!before) lines = []
    tellError(error)
  }
  draw()
}
byId('more').addEventListener('click', () => restart(lines.at(-1).id))
const query = filters(byId('filters'), () => restart())
restart()
