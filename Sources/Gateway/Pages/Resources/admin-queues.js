// The queues and their jobs; those that failed are kept until somebody looks.

import { emptyRow, facts, replace, show } from './admin-list.js'
import { call, follow } from './api.js'
import { ask, busy, byId, el, tell, tellError, time } from './page.js'

const path = (queue, rest = '') => `/v1/admin/queues/${queue}${rest}`
const job = (queue, id, rest = '') => path(queue, `/jobs/${encodeURIComponent(id)}${rest}`)
const LIMIT = 50
const COUNTS = ['waiting', 'active', 'delayed', 'failed', 'completed']
let queues = []
let jobs = []
let known = ''

function drawQueues() {
  byId('queues').replaceChildren(...queues.map((queue) => el('section', { class: 'card half' },
    el('div', { class: 'row' }, el('h2', { class: 'grow' }, queue.name),
      el('span', { class: queue.isPaused ? 'state warn' : 'state good' }, queue.isPaused ? 'paused' : 'at work')),
    el('div', { class: 'counts' }, COUNTS.map((state) => el('div', {}, el('b', {}, queue.counts[state] + (state === 'waiting' ? queue.counts.paused + queue.counts.prioritized : 0)), el('span', {}, state)))),
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

function take(list) {
  queues = list
  const focused = document.activeElement?.closest('#queues') ? document.activeElement.getAttribute('aria-label') : null
  drawQueues()
  if (focused) (document.querySelector(`#queues [aria-label="${CSS.escape(focused)}"]`) ?? byId('f-queue')).focus()
  const counts = JSON.stringify(list.map((queue) => queue.counts))
  if (counts !== known) { known = counts; restart() }
}

function drawJobs(total) {
  const queue = byId('f-queue').value
  const isFailed = byId('f-state').value === 'failed'
  byId('total').textContent = `${total} ${byId('f-state').value}`
  byId('retry-all').hidden = !isFailed || total === 0
  replace(byId('rows'), jobs.length ? jobs.map((each) => el('tr', { 'data-id': each.id },
    el('td', { class: 'wrap' }, el('button', { type: 'button', class: 'row', onclick: () => detail(queue, each.id).catch(tellError) }, each.name), el('span', { class: 'id' }, each.id)),
    el('td', {}, each.environmentId ? el('a', { href: `/admin/audit?vm=${each.environmentId}` }, el('span', { class: 'id' }, each.environmentId)) : '–'),
    el('td', {}, `${each.attemptsMade} of ${each.maxAttempts}`), el('td', {}, time(each.createdAt)), el('td', {}, time(each.finishedAt)),
    el('td', { class: 'wrap' }, each.failedReason ?? ''),
    el('td', { class: 'actions-cell' }, each.state === 'failed' ? el('button', { type: 'button', 'aria-label': `Retry ${each.id}`, onclick: (event) => busy(event.currentTarget, () => retry(queue, each.id)) }, 'Retry') : null)))
    : [emptyRow(7, isFailed ? 'No job has failed.' : 'No job is in this state.', isFailed ? 'Those that do are kept here with why, until they are retried or removed.' : '')])
}

async function restart(offset = 0) {
  try {
    const page = await call('GET', path(byId('f-queue').value, `/jobs?state=${byId('f-state').value}&limit=${LIMIT}&offset=${offset}`))
    jobs = offset ? [...jobs, ...page.jobs] : page.jobs
    byId('more').hidden = page.nextOffset === null
    drawJobs(page.total)
  } catch (error) { tellError(error) }
}

async function retry(queue, id) {
  const { jobId } = await call('POST', job(queue, id, '/retry'))
  tell('Its work is done again.', { hint: jobId })
  byId('detail').close()
  await restart()
}

byId('more').addEventListener('click', () => restart(jobs.length))
byId('filters').addEventListener('change', () => restart())
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

const given = new URLSearchParams(location.search)
if (given.get('queue')) byId('f-queue').value = given.get('queue')
if (given.get('state')) byId('f-state').value = given.get('state')
follow('/v1/admin/queues?follow=1', { queues: (event) => take(event.queues) },
  (isLive) => { byId('live').textContent = isLive ? 'live' : 'connecting…' })
