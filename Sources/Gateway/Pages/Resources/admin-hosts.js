// The machines that VMs are placed on.

import { emptyRow, field, replace, show } from './admin-list.js'
import { call } from './api.js'
import { ask, busy, byId, el, megabytes, tell, tellError, time } from './page.js'

const path = (host, rest = '') => `/v1/admin/hosts/${host.id}${rest}`
const TONES = { ready: 'good', cordoned: 'warn', draining: 'warn moving', maintenance: '', lost: 'bad' }
const VERBS = { ready: ['cordon', 'drain'], cordoned: ['uncordon', 'drain'], draining: ['uncordon'], maintenance: ['uncordon'], lost: ['uncordon', 'drain'] }
const LABELS = { cordon: 'Cordon', uncordon: 'Uncordon', drain: 'Drain', maintenance: 'Maintenance' }

const use = (used, capacity, text, label) => el('td', { class: 'meter-cell' }, text,
  el('progress', { max: capacity, value: Math.min(used, capacity), 'aria-label': label }))

function act(host, verb) {
  return async () => {
    if (verb === 'drain' && !(await ask({ title: `Drain ${host.name}?`, action: 'Drain it', text: 'What runs on it is put to sleep, and nothing starts there until it is uncordoned.' }))) return
    if (verb === 'remove') {
      if (!(await ask({ title: `Remove ${host.name}?`, action: 'Remove it', text: 'Only a host on which no environment lives can be removed.' }))) return
      await call('DELETE', path(host))
    } else await call('POST', path(host, `/${verb}`))
    await read()
  }
}

function draw(hosts) {
  replace(byId('rows'), hosts.length ? hosts.map((host) => el('tr', { 'data-id': host.id },
    el('td', {}, host.name, el('span', { class: 'id' }, host.address)), el('td', {}, el('span', { class: `state ${TONES[host.state] ?? ''}` }, host.state)),
    use(host.used.vcpus, host.capacity.vcpus, `${host.used.vcpus} of ${host.capacity.vcpus}`, `Processors of ${host.name}`),
    use(host.used.memoryMb, host.capacity.memoryMb, `${megabytes(host.used.memoryMb)} of ${megabytes(host.capacity.memoryMb)}`, `Memory of ${host.name}`),
    use(host.used.diskMb, host.capacity.diskMb, `${megabytes(host.used.diskMb)} of ${megabytes(host.capacity.diskMb)}`, `Disk of ${host.name}`),
    el('td', {}, `${host.environments}, ${host.awakeEnvironments} awake`), el('td', {}, time(host.lastSeenAt)),
    el('td', { class: 'actions-cell' }, [...(VERBS[host.state] ?? []), ...(host.environments ? [] : ['remove'])].map((verb) => el('button', {
      type: 'button', class: 'quiet', 'aria-label': `${LABELS[verb] ?? 'Remove'} ${host.name}`, onclick: (event) => busy(event.currentTarget, act(host, verb)),
    }, LABELS[verb] ?? 'Remove')))))
    : [emptyRow(8, 'No hosts.', 'VMs of the providers local, docker and ovh need none; those of firecracker are placed on hosts.')])
}

async function read() {
  try { draw((await call('GET', '/v1/admin/hosts?limit=500')).hosts) } catch (error) { tellError(error) }
}
read()

byId('new').addEventListener('click', () => {
  const number = (placeholder) => el('input', { type: 'number', min: 1, required: true, placeholder, inputmode: 'numeric' })
  const [name, address] = [el('input', { required: true, placeholder: 'fc-1', autocomplete: 'off' }), el('input', { required: true, placeholder: '10.0.0.11', autocomplete: 'off' })]
  const [vcpus, memoryMb, diskMb] = [number('32'), number('131072'), number('2000000')]
  show(byId('detail'), 'Add a host', el('form', { class: 'stack', onsubmit: (event) => {
    event.preventDefault()
    busy(event.submitter, async () => {
      await call('POST', '/v1/admin/hosts', { idempotent: true, body: {
        name: name.value.trim(), address: address.value.trim(), vcpus: Number(vcpus.value), memoryMb: Number(memoryMb.value), diskMb: Number(diskMb.value) } })
      byId('detail').close()
      tell('It takes environments from now on.')
      await read()
    })
  } }, el('div', { class: 'two' }, field('Name', name), field('Address', address)),
  el('div', { class: 'three' }, field('Processors', vcpus), field('Memory, MB', memoryMb), field('Disk, MB', diskMb)),
  el('div', { class: 'actions end' }, el('button', { class: 'primary' }, 'Add it'))))
})
