// The visitor's own VM and the environments beside it, live.

import { call, follow } from './api.js'
import { ago, busy, byId, data, duration, el, megabytes, tell, tellError, time } from './page.js'
import { facts as list, replace, show } from './parts.js'
import { LABELS, mayDestroy, pill, tone, verbs, word } from './states.js'
import { clean } from './text.js'

let environments = data.environments
const own = () => environments.find((each) => each.kind === 'user_vm') ?? null

// MARK: What may be done

async function act(verb, environment) {
  if (verb === 'destroy' && !(await mayDestroy(environment.kind === 'user_vm' ? 'your VM' : environment.name))) return
  const path = `/v1/environments/${environment.slug}`
  const { environment: changed } = await call(verb === 'destroy' ? 'DELETE' : 'POST', verb === 'destroy' ? path : `${path}/${verb}`)
  take(environments.map((each) => (each.id === changed.id ? changed : each)))
}

const buttons = (environment, isSmall) => verbs(environment.state).map((verb) => el('button', {
  type: 'button', class: verb === 'destroy' ? (isSmall ? 'quiet' : 'danger') : !isSmall && verb !== 'stop' ? 'primary' : null,
  'aria-label': isSmall ? `${LABELS[verb]} ${environment.name}` : null,
  onclick: (event) => busy(event.currentTarget, () => act(verb, environment)),
}, LABELS[verb]))

// MARK: The VM

const facts = (list) => list.filter(([, value]) => value !== null && value !== undefined)
  .flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])
let why = data.why
const TIERS = { free: 'Free', pro: 'Pro', unlimited: 'Unlimited' }

function idle(vm) {
  if (vm.state !== 'running') return '–'
  if (!why) return '…'
  if (why.runningExecutions) return `not while ${why.runningExecutions === 1 ? 'a program runs' : `${why.runningExecutions} programs run`}`
  if (why.openSessions) return 'not while a terminal or an SSH connection is open'
  if (!why.idleStopAt) return 'never, on your tier'
  return el('span', { title: new Date(why.idleStopAt).toLocaleString() }, `${ago(why.idleStopAt)}, if nobody uses it`)
}

function drawVM() {
  const vm = own()
  byId('there').hidden = byId('audit-panel').hidden = !vm
  byId('none').hidden = Boolean(vm)
  const state = byId('vm-state')
  state.hidden = !vm
  byId('vm-actions').replaceChildren(...(vm ? buttons(vm, false) : []))
  if (!vm) return
  if (state.textContent !== word(vm.state)) state.textContent = word(vm.state)
  state.className = tone(vm.state)
  byId('vm-error').hidden = !vm.errorMessage
  byId('vm-error').textContent = clean(vm.errorMessage ?? '')
  byId('vm-facts').replaceChildren(...facts([
    ['Name', el('code', {}, vm.slug)], ['Tier', TIERS[vm.tier] ?? vm.tier],
    ['Processors', `${vm.vcpus} vCPU`], ['Memory', megabytes(vm.memoryMb)], ['Disk', megabytes(vm.diskMb)],
    ['Made by', [vm.provider, vm.flavor, vm.region].filter(Boolean).join(' · ')], ['Made', time(vm.createdAt)],
    ['Running since', vm.state === 'running' ? time(vm.startedAt) : '–'], ['Last used', time(vm.lastActivityAt)],
    ['Stops when idle', idle(vm)], ['Ran, in all', duration(vm.runtimeSeconds * 1000)],
    ['Destroyed', vm.expiresAt ? time(vm.expiresAt) : 'only by you'],
  ]))
}

async function drawWhy() {
  const vm = own()
  why = null
  if (vm?.state === 'running') {
    try { ({ why } = await call('GET', `/v1/environments/${vm.slug}/why`)) } catch (error) { tellError(error) }
  }
  drawVM()
}

// MARK: Use and quota

function meter(name, used, limit, show = String) {
  const isFull = limit !== null && limit !== undefined && used >= limit
  return el('div', { class: isFull ? 'meter full' : 'meter' }, el('span', { class: 'what' }, name),
    el('span', {}, limit === null || limit === undefined ? show(used) : `${show(used)} of ${show(limit)}`),
    limit ? el('progress', { max: limit, value: Math.min(used, limit), 'aria-label': name }) : null)
}

function drawQuota({ limits, used }) {
  byId('quota').replaceChildren(
    meter('Ran this month', used.runtimeSeconds, limits.runtimeHours === null ? null : limits.runtimeHours * 3600,
      (seconds) => duration(seconds * 1000)),
    meter('Environments', used.environments, limits.environments),
    meter('Running at once', used.runningEnvironments, limits.runningEnvironments),
    meter('Processors', used.vcpus, limits.vcpus), meter('Memory', used.memoryMb, limits.memoryMb, megabytes),
    meter('Disk', used.diskMb, limits.diskMb, megabytes))
}
const readQuota = async () => { try { drawQuota((await call('GET', '/v1/quota')).quota) } catch (error) { tellError(error) } }

// MARK: Environments

/** Whether its repository is being cloned, or its script run. */
const isBeingSetUp = (each) => each.state === 'running' && (each.hasInitScript || each.repository) && !each.initializedAt && !each.errorMessage

function drawEnvironments() {
  const others = environments.filter((each) => each.kind !== 'user_vm')
  replace(byId('environments'), others.length ? others.map((each) => el('tr', { 'data-id': each.id },
    el('td', { class: 'wrap' }, el('button', { type: 'button', class: 'row', onclick: () => detail(each.slug).catch(tellError) }, each.name), el('span', { class: 'slug' }, each.slug)),
    el('td', {}, pill(each.state), isBeingSetUp(each) ? el('span', { class: 'hint' }, ' being set up') : null, each.errorMessage ? el('span', { class: 'why' }, each.errorMessage) : null),
    el('td', {}, `${each.vcpus} vCPU, ${megabytes(each.memoryMb)}`), el('td', {}, [each.provider, each.flavor].filter(Boolean).join(' · ')),
    el('td', {}, time(each.lastActivityAt)), el('td', {}, each.expiresAt ? time(each.expiresAt) : 'never'),
    el('td', { class: 'actions-cell' }, buttons(each, true))))
    : [el('tr', {}, el('td', { colspan: 7, class: 'empty' }, el('p', {}, 'None yet.'),
      el('p', { class: 'hint' }, 'Make one with New environment, for a project that wants its own variables, repository or packages.')))])
}

/** One environment: how it is, what is done to it and what was. */
async function detail(slug) {
  const path = `/v1/environments/${slug}`
  const [{ environment: each }, { why: awake }, { logs }, { audit }] = await Promise.all(
    [call('GET', path), call('GET', `${path}/why`), call('GET', `${path}/logs`), call('GET', `${path}/audit?limit=30`)])
  const setup = !each.hasInitScript && !each.repository ? null : each.initializedAt ? time(each.initializedAt)
    : isBeingSetUp(each) ? 'under way' : each.state === 'running' ? 'failed' : 'after the next start'
  show(byId('detail'), each.name,
    el('section', {}, list([
      ['State', pill(each.state)], [each.state === 'error' ? 'Why it failed' : 'What went wrong', each.errorMessage], ['Slug', el('code', {}, each.slug)],
      ['Size', `${each.vcpus} vCPU, ${megabytes(each.memoryMb)}, disk ${megabytes(each.diskMb)}`],
      ['Made by', [each.provider, each.flavor, each.region].filter(Boolean).join(' · ')], ['Repository', each.repository], ['Set up', setup],
      ['Variables', each.environmentVars.join(', ')], ['Stops when idle', awake.idleStopAt ? time(awake.idleStopAt) : null],
      ['Destroyed', each.expiresAt ? time(each.expiresAt) : null], ['Ran, in all', duration(each.runtimeSeconds * 1000)]])),
    el('section', { class: 'actions' }, el('a', { class: 'button', href: `/?environment=${encodeURIComponent(each.slug)}` }, 'Run code in it')),
    logs.length ? el('section', {}, el('h3', {}, 'What is done to it'), el('div', { class: 'log', tabindex: 0, role: 'region', 'aria-label': 'Log' }, logs.map(logLine))) : null,
    el('section', {}, el('h3', {}, 'Audit'), el('div', { class: 'table-wrap', tabindex: 0, role: 'region', 'aria-label': 'Audit of the environment' }, el('table', {}, el('tbody', {}, audit.map(auditLine))))))
}

// MARK: Audit

const ACTORS = { user: 'you', admin: 'an admin', worker: 'a worker', system: 'the system' }
async function drawAudit() {
  const vm = own()
  if (!vm) return
  const { audit } = await call('GET', `/v1/environments/${vm.slug}/audit?limit=50`)
  replace(byId('audit'), audit.map(auditLine))
}

const auditLine = (line) => el('tr', { 'data-id': line.id },
  el('td', {}, time(line.createdAt)), el('td', {}, [line.action.replaceAll('_', ' '), line.detail?.language].filter(Boolean).join(', ')),
  el('td', { title: line.actor.id }, line.actor.kind === 'admin' && line.actor.id === line.userId ? 'you' : ACTORS[line.actor.kind] ?? line.actor.kind),
  el('td', {}, line.errorCode ? el('span', { class: 'state bad' }, line.errorCode.replaceAll('_', ' '))
    : line.toState ? `${word(line.fromState)} → ${word(line.toState)}` : ''),
  el('td', { class: 'number' }, line.durationMs === null ? '' : duration(line.durationMs)))

// MARK: Live

let known = ''
function take(list) {
  environments = list
  drawVM()
  drawEnvironments()
  // What costs a question is asked again when something moved or was used.
  const mark = JSON.stringify(list.map((each) => [each.id, each.state, each.lastActivityAt]))
  if (mark === known) return
  const isFirst = !known
  known = mark
  drawWhy()
  readQuota()
  drawAudit().catch(tellError)
  if (!isFirst) document.dispatchEvent(new Event('vmschange'))
}

const logLine = (entry) => el('div', { class: entry.level === 'error' ? 'error' : null },
  el('span', { class: 'time' }, new Date(entry.timestamp).toLocaleTimeString([], { hour12: false })), entry.message)
const log = byId('log')
const LOG_LINES = 300
let seen = new Set()
function line(entry) {
  const key = `${entry.timestamp} ${entry.message}`
  if (seen.has(key)) return // after a reconnect all of them come again
  if (seen.size > 2000) seen = new Set()
  seen.add(key)
  if (log.firstChild?.className === 'hint') log.replaceChildren()
  const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20
  log.append(logLine(entry))
  while (log.children.length > LOG_LINES) log.firstChild.remove()
  if (isAtEnd) log.scrollTop = log.scrollHeight
}
log.append(el('p', { class: 'hint' }, 'Nothing in the last hour. What is done to your machines is told here as it happens.'))

drawQuota(data.quota)
take(environments)
follow('/v1/environments?limit=200&follow=1', { environments: (event) => { take(event.environments); offerFlavors() } },
  (isLive) => { byId('log-live').textContent = isLive ? 'live' : 'connecting…' })
follow('/v1/vm/logs?follow=1', { log: line })

// MARK: Making

/** What providers offer, where there is a choice. */
let offer
const flavors = () => (offer ??= call('GET', '/v1/flavors').catch((error) => { offer = undefined; throw error }))
async function fill(select, field, { isOwn }) {
  try {
    const { flavors: all, unavailable } = await flavors()
    if (unavailable.length > 0) tellError(unavailable[0])
    const list = all.filter((each) => each.available && (!isOwn || each.type === data.provider))
    const option = (text, value) => el('option', { value: JSON.stringify(value) }, text)
    // A provider without sizes of its own makes those of the tiers: of it there is nothing to choose.
    const sized = list.filter((each) => each.type === 'ovh').map((each) => option(
      `${each.name}: ${each.vcpus} vCPU, ${each.ram} GB, disk ${each.disk} GB, ${each.region}`,
      { ...(isOwn ? {} : { provider: each.type }), flavor: each.name, region: each.region }))
    const others = isOwn ? [] : [...new Set(list.map((each) => each.type))].filter((each) => each !== 'ovh' && each !== data.provider)
    select.replaceChildren(option('The usual one', {}), ...sized, ...others.map((each) => option(each, { provider: each })))
    field.hidden = select.options.length < 2
  } catch (error) { tellError(error) }
}
/** A size may be chosen for a VM that is not there, or not any more. */
function offerFlavors() {
  if (!own() && data.hasFlavors && byId('flavor').options.length === 0) fill(byId('flavor'), byId('flavor-field'), { isOwn: true })
}
offerFlavors()

byId('make').addEventListener('submit', (event) => {
  event.preventDefault()
  busy(event.submitter, async () => {
    const { flavor, region } = JSON.parse(byId('flavor').value || '{}')
    await call('POST', '/v1/vm', { body: { flavor: flavor ?? null, region: region ?? null }, idempotent: true })
    take((await call('GET', '/v1/environments?limit=200')).environments)
  })
})

const dialog = byId('new-dialog')
byId('new').addEventListener('click', () => {
  byId('new-problem').hidden = true
  dialog.showModal()
  if (data.hasChoice && byId('new-flavor').options.length === 0) fill(byId('new-flavor'), byId('new-flavor-field'), { isOwn: false })
})
byId('new-cancel').addEventListener('click', () => dialog.close())
byId('new-form').addEventListener('submit', (event) => {
  event.preventDefault()
  busy(event.submitter, async () => {
    const text = (id) => byId(id).value.trim()
    const body = { name: text('new-name'), ...JSON.parse(byId('new-flavor').value || '{}') }
    if (text('new-hours')) body.durationHours = Number(text('new-hours'))
    if (text('new-repository')) body.repository = text('new-repository')
    if (text('new-script')) body.initScript = byId('new-script').value
    const variables = byId('new-variables').value.split('\n').filter((each) => each.includes('='))
    if (variables.length) body.environmentVars = Object.fromEntries(variables.map((each) => [each.slice(0, each.indexOf('=')).trim(), each.slice(each.indexOf('=') + 1)]))
    try {
      const { environment } = await call('POST', '/v1/environments', { body, idempotent: true })
      dialog.close()
      event.target.reset()
      tell(`${environment.name} is being made.`)
      take([...environments.filter((each) => each.id !== environment.id), environment])
    } catch (error) {
      if (!error.code) throw error
      byId('new-problem').hidden = false
      byId('new-problem').textContent = `${error.message} ${error.hint ?? ''}`
    }
  })
})
