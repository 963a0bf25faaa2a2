// The VMs of everybody.

import { Choice, emptyRow, facts, filters, replace, show } from './admin-list.js'
import { call, follow } from './api.js'
import { ask, byId, duration, el, megabytes, tell, tellError, time } from './page.js'
import { pill, word } from './states.js'

const path = (vm, verb = '') => `/v1/admin/vms/${vm.slug}${verb ? `/${verb}` : ''}`
const post = (verb) => (vm) => call('POST', path(vm, verb))
const named = (rows) => (rows.length === 1 ? rows[0].slug : `${rows.length} VMs`)
const choice = new Choice({
  name: (vm) => vm.slug, after: () => restart(),
  verbs: [
    ['Start', post('start')], ['Stop', post('stop')], ['Recover', post('recover')], ['Compare', post('reconcile')],
    ['Destroy', (vm) => call('DELETE', path(vm)), { isDangerous: true, confirm: (rows) => ask({
      title: `Destroy ${named(rows)}?`, action: 'Destroy', text: 'They are removed with everything in their homes. This cannot be undone.' }) }],
  ],
})

function draw(vms) {
  choice.show(vms)
  replace(byId('rows'), vms.length ? vms.map((vm) => el('tr', { 'data-id': vm.id },
    choice.box(vm),
    el('td', {}, el('button', { type: 'button', class: 'row', onclick: () => detail(vm).catch(tellError) }, vm.name), el('span', { class: 'id' }, vm.slug)),
    el('td', {}, el('a', { href: `?owner=${encodeURIComponent(vm.ownerId)}` }, vm.ownerName ?? vm.ownerId)),
    el('td', { class: vm.errorMessage ? 'wrap' : null }, pill(vm.state), vm.errorMessage ? el('span', { class: 'hint' }, ` ${vm.errorMessage}`) : null),
    el('td', {}, `${vm.vcpus} vCPU, ${megabytes(vm.memoryMb)}`), el('td', {}, [vm.provider, vm.flavor].filter(Boolean).join(' · ')),
    el('td', {}, time(vm.createdAt)), el('td', {}, time(vm.lastActivityAt))))
    : [emptyRow(8, 'No VM is like this.', 'Their users make them by their first run.')])
}

// The first page is live; further ones are as they were when they were asked for.
const LIMIT = 50
let first = []
let rest = []
const redraw = () => draw([...first, ...rest.filter((vm) => !first.some((each) => each.id === vm.id))])
let stop = () => {}
function restart() {
  stop()
  rest = []
  const asked = query()
  asked.set('limit', LIMIT)
  // Refused filters are told by the answer of a plain request, which an event source does not show.
  call('GET', `/v1/admin/vms?${asked}`).then(() => {
    stop = follow(`/v1/admin/vms?${asked}&follow=1`, { vms: (event) => {
      first = event.vms
      byId('more').hidden = first.length < LIMIT || rest.isOver
      redraw()
    } }, (isLive) => { byId('live').textContent = isLive ? 'live' : 'connecting…' })
  }, (error) => { first = []; redraw(); tellError(error) })
}
byId('more').addEventListener('click', async () => {
  const asked = query()
  asked.set('limit', LIMIT)
  asked.set('after', (rest.at(-1) ?? first.at(-1)).id)
  try {
    const { vms } = await call('GET', `/v1/admin/vms?${asked}`)
    rest.push(...vms)
    byId('more').hidden = rest.isOver = vms.length < LIMIT
    redraw()
  } catch (error) { tellError(error) }
})
const query = filters(byId('filters'), restart)
restart()

// MARK: One VM

async function detail(vm) {
  const [{ why }, { timeline }, { logs }] = await Promise.all(
    [call('GET', path(vm, 'why')), call('GET', `${path(vm, 'timeline')}?limit=40`), call('GET', path(vm, 'logs'))])
  const act = (verb) => async () => {
    try { await call('POST', path(vm, verb)); tell(`${vm.slug}: asked for.`); byId('detail').close() } catch (error) { tellError(error) }
  }
  const force = async () => {
    byId('detail').close()
    if (!(await ask({ title: `Destroy ${vm.slug} by force?`, action: 'Destroy it', text: 'Also while it is on its way from one state to another. Its home is lost.' }))) return
    try { await call('DELETE', `${path(vm)}?force=true`); tell(`${vm.slug} is being destroyed.`) } catch (error) { tellError(error) }
  }
  show(byId('detail'), vm.name,
    el('section', {}, facts([
      ['State', pill(vm.state)], ['Why it failed', vm.errorMessage], ['Slug', el('code', {}, vm.slug)], ['Id', el('code', {}, vm.id)],
      ['Owner', vm.ownerName], ['Tier', vm.tier], ['Size', `${vm.vcpus} vCPU, ${megabytes(vm.memoryMb)}, disk ${megabytes(vm.diskMb)}`],
      ['Made by', [vm.provider, vm.flavor, vm.region].filter(Boolean).join(' · ')], ['Its name there', vm.instanceId ? el('code', {}, vm.instanceId) : null],
      ['Awake because of', why.runningExecutions || why.openSessions ? `${why.runningExecutions} runs, ${why.openSessions} terminals` : null],
      ['Stopped for idleness', why.idleStopAt ? time(why.idleStopAt) : null], ['Destroyed', why.expiresAt ? time(why.expiresAt) : null],
      ['Ran, in all', duration(vm.runtimeSeconds * 1000)],
    ])),
    el('section', { class: 'actions' }, el('button', { type: 'button', onclick: act('reconcile') }, 'Compare with its provider'),
      el('a', { class: 'button', href: `/admin/audit?vm=${vm.slug}` }, 'Audit'), el('button', { type: 'button', class: 'danger', onclick: force }, 'Destroy by force')),
    el('section', {}, el('h3', {}, 'What happened'), el('div', { class: 'table-wrap' }, el('table', {}, el('tbody', {}, timeline.map(({ at, audit, execution }) => el('tr', {},
      el('td', {}, time(at)), el('td', {}, audit ? audit.action.replaceAll('_', ' ') : `ran ${execution.language}`),
      el('td', {}, audit ? audit.errorCode ?? (audit.toState ? `${word(audit.fromState)} → ${word(audit.toState)}` : '') : execution.errorCode ?? execution.state),
      el('td', { class: 'number' }, duration((audit ?? execution).durationMs)))))))),
    logs.length ? el('section', {}, el('h3', {}, 'What is done to it'), el('div', { class: 'log', tabindex: 0, role: 'region', 'aria-label': 'Log' },
      logs.map((line) => el('div', { class: line.level === 'error' ? 'error' : null }, el('span', { class: 'time' }, new Date(line.timestamp).toLocaleTimeString([], { hour12: false })), line.message)))) : null)
}

// MARK: Unknown VMs

async function drawUnknown() {
  const { unknownVms } = await call('GET', '/v1/admin/unknown-vms')
  byId('unknown-panel').hidden = unknownVms.length === 0
  byId('unknown').replaceChildren(...unknownVms.map((vm) => el('tr', {},
    el('td', {}, vm.provider), el('td', {}, el('code', {}, vm.instanceId)), el('td', {}, vm.name), el('td', {}, time(vm.firstSeenAt)),
    el('td', { class: 'actions-cell' }, el('button', { type: 'button', class: 'danger', onclick: async () => {
      if (!(await ask({ title: `Destroy ${vm.name}?`, action: 'Destroy it', text: 'No environment knows it; it may be another installation’s. This cannot be undone.' }))) return
      try { await call('DELETE', `/v1/admin/unknown-vms/${encodeURIComponent(vm.provider)}/${encodeURIComponent(vm.instanceId)}`); tell('A worker destroys it.') } catch (error) { tellError(error) }
      drawUnknown().catch(tellError)
    } }, 'Destroy')))))
}
drawUnknown().catch(tellError)
