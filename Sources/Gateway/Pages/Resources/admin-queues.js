// The queues and their jobs; those that failed are kept until somebody looks.

import { Choice, emptyRow, facts, replace, show } from './admin-list.js'
import { call, follow } from './api.js'
import { ask, busy, byId, el, tell, tellError, time } from './page.js'

const path = (queue, rest = '') => `/v1/admin/queues/${queue}${rest}`
const job = (queue, id, rest = '') => path(queue, `/jobs/${encodeURIComponent(id)}${rest}`)
const LIMIT = 50
const COUNTS = ['waiting', 'active', 'delayed', 'failed', 'completed']
const given = new URLSearchParams(location.search)
let queues = []
let jobs = []
let known = ''

function drawQueues() {
  byId('queues').replaceChildren(...queues.map((queue) => el('section', { class: 'card half' },
    el('div', { class: 'row' }, el('h2', { class: 'grow' }, queue.name),
      el('span', { class: queue.isPaused ? 'state warn' : 'state good' }, queue.isPaused ? 'paused' : 'at work')),
    el('div', { class: 'counts' }, COUNTS.map((state) => el('a', { href: `?queue=${queue.name}&state=${state}`, class: state === 'failed' && queue.counts.failed ? 'bad' : null, onclick: (event) => { event.preventDefault(); look(queue.name, state) } },
      el('b', {}, String(queue.counts[state] + (state === 'waiting' ? queue.counts.paused + queue.counts.prioritized : 0))), el('span', {}, state)))),
    el('p', { class: 'hint' }, queue.workers.length ? `Workers: ${queue.workers.join(', ')}` : 'No worker takes from it: start one with martlet worker.'),
    el('div', { class: 'actions' },
      el('button', { type: 'button', 'aria-label': `${queue.isPaused ? 'Resume' : 'Pause'} ${queue.name}`, onclick: (event) => busy(event.currentTarget, async () => {
        const { queue: changed } = await call('POST', path(queue.name, queue.isPaused ? '/resume' : '/pause'))
        take(queues.map((each) => (each.name === changed.name ? changed : each)))
      }) }, queue.isPaused ? 'Resume' : 'Pause'),
      el('button', { type: 'button', class: 'quiet', 'aria-label': `Remove what waits in ${queue.name}`, onclick: (event) => busy(event.currentTarget, async () => {
        if (!(await ask({ title: `Remove what waits in ${queue.name}?`, action: 'Remove', text: 'What an environment still waits for is added again by a sweep.' }))) return
        const { removed } = await call('POST', path(queue.name, '/drain'))
        tell(`${removed} removed.`)
      }) }, 'Remove what waits')))))
}

/** Lists the jobs of a queue that are in a state. */
function look(queue, state) {
  byId('f-queue').value = queue
  byId('f-state').value = state
  history.replaceState(null, '', `?queue=${queue}&state=${state}`)
  restart()
  byId('filters').scrollIntoView({ block: 'nearest' })
}

let isFirst = true
function take(list) {
  queues = list
  // What is wrong is shown first, unless something was asked for.
  const failed = list.find((queue) => queue.counts.failed)
  if (isFirst && failed && !given.has('queue')) byId('f-queue').value = failed.name
  isFirst = false
  const focusable = () => [...document.querySelectorAll('#queues a, #queues button')]
  const focused = focusable().indexOf(document.activeElement)
  drawQueues()
  if (focused >= 0) (focusable()[focused] ?? byId('f-queue')).focus()
  const counts = JSON.stringify(list.map((queue) => queue.counts))
  if (counts !== known) { known = counts; restart() }
}

function drawJobs(total) {
  const queue = byId('f-queue').value
  const isFailed = byId('f-state').value === 'failed'
  byId('total').textContent = `${total} ${byId('f-state').value}`
  byId('retry-all').hidden = !isFailed || total === 0
  choice.buttons[0].hidden = !isFailed
  choice.buttons[1].hidden = byId('f-state').value === 'active'
  choice.show(jobs)
  replace(byId('rows'), jobs.length ? jobs.map((each) => el('tr', { 'data-id': each.id },
    choice.box(each),
    el('td', { class: 'wrap' }, el('button', { type: 'button', class: 'row', onclick: () => detail(queue, each.id).catch(tellError) }, each.name), el('span', { class: 'id' }, each.id)),
    el('td', {}, each.environmentId ? el('a', { href: `/admin/audit?vm=${each.environmentId}` }, el('span', { class: 'id' }, each.environmentId)) : '–'),
    el('td', {}, `${each.attemptsMade} of ${each.maxAttempts}`), el('td', {}, time(each.createdAt)), el('td', {}, time(each.finishedAt)),
    el('td', { class: 'wrap' }, each.failedReason ?? ''),
    el('td', { class: 'actions-cell' }, each.state === 'failed' ? el('button', { type: 'button', 'aria-label': `Retry ${each.id}`, onclick: (event) => busy(event.currentTarget, () => retry(queue, each.id)) }, 'Retry') : null)))
    : [emptyRow(8, isFailed ? 'No job has failed.' : 'No job is in this state.', isFailed ? 'Those that do are kept here with why, until they are retried or removed.' : '')])
}

async function restart(offset = 0) {
  try {
    const page = await call('GET', path(byId('f-queue').value, `/jobs?state=${byId('f-state').value}&limit=${LIMIT}&offset=${offset}`))
    jobs = offset ? [...jobs, ...page.jobs] : page.jobs
    byId('more').hidden = page.nextOffset === null
    drawJobs(page.total)
  } catch (error) { tellError(error) }
}

const choice = new Choice({
  name: (each) => each.id, after: () => restart(),
  verbs: [
    ['Retry', (each) => call('POST', job(byId('f-queue').value, each.id, '/retry'))],
    ['Remove', (each) => call('DELETE', job(byId('f-queue').value, each.id)), { isDangerous: true, confirm: (rows) => ask({
      title: rows.length === 1 ? `Remove the job ${rows[0].id}?` : `Remove ${rows.length} jobs?`, action: 'Remove',
      text: 'Their logs go with them. What an environment still waits for is added again by a sweep.' }) }],
  ],
})

async function retry(queue, id) {
  const { jobId } = await call('POST', job(queue, id, '/retry'))
  tell('Its work is done again.', { hint: jobId })
  byId('detail').close()
  await restart()
}

byId('more').addEventListener('click', () => restart(jobs.length))
byId('filters').addEventListener('change', () => look(byId('f-queue').value, byId('f-state').value))
byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('retry-all').addEventListener('click', (event) => busy(event.currentTarget, async () => {
  const { retried, left } = await call('POST', path(byId('f-queue').value, '/retry'))
  tell(`${retried} retried${left ? `, ${left} left` : ''}.`)
  await restart()
}))

async function detail(queue, id) {
  const { job: each, logs, logCount } = await call('GET', job(queue, id))
  const act = (work) => (event) => busy(event.currentTarget, work)
  const log = (title, lines) => (lines.length ? el('section', {}, el('h3', {}, title),
    el('div', { class: 'log', tabindex: 0, role: 'region', 'aria-label': title }, lines.map((line) => el('div', {}, line)))) : null)
  show(byId('detail'), each.name,
    el('section', {}, facts([['State', each.state], ['Id', el('code', {}, each.id)], ['Why it failed', each.failedReason],
      ['Attempts', `${each.attemptsMade} of ${each.maxAttempts}`], ['Stalled', each.stalledCount || null], ['Added', time(each.createdAt)],
      ['Begun', each.processedAt ? time(each.processedAt) : null], ['Ended', each.finishedAt ? time(each.finishedAt) : null], ['By', each.processedBy]])),
    el('section', { class: 'actions' },
      each.state === 'failed' ? el('button', { type: 'button', class: 'primary', onclick: act(() => retry(queue, id)) }, 'Retry') : null,
      each.state === 'delayed' ? el('button', { type: 'button', onclick: act(async () => { await call('POST', job(queue, id, '/promote')); byId('detail').close(); await restart() }) }, 'Run it now') : null,
      each.state !== 'active' ? el('button', { type: 'button', class: 'danger', onclick: act(async () => { await call('DELETE', job(queue, id)); byId('detail').close(); await restart() }) }, 'Remove') : null),
    log('Its data', JSON.stringify(each.data, null, 2).split('\n')), log('Failures', each.stacktrace),
    log(`Log${logCount > logs.length ? `, the newest ${logs.length} of ${logCount} lines` : ''}`, logs))
}

if (given.get('queue')) byId('f-queue').value = given.get('queue')
if (given.get('state')) byId('f-state').value = given.get('state')
follow('/v1/admin/queues?follow=1', { queues: (event) => take(event.queues) },
  (isLive) => { byId('live').textContent = isLive ? 'live' : 'connecting…' })
