// Users: who they are, what they may have, their tokens.

import { Choice, emptyRow, facts, field, filters, options, replace, show } from './admin-list.js'
import { call } from './api.js'
import { ask, busy, byId, duration, el, megabytes, tell, tellError, time } from './page.js'

const path = (user, rest = '') => `/v1/admin/users/${user.id}${rest}`
const LIMIT = 100
const TIERS = ['free', 'pro', 'unlimited']
let users = []

const choice = new Choice({
  name: (user) => user.name, after: () => restart(),
  verbs: [
    ['Suspend', (user) => call('POST', path(user, '/suspend')), { isDangerous: true, confirm: (rows) => ask({
      title: rows.length === 1 ? `Suspend ${rows[0].name}?` : `Suspend ${rows.length} users?`, action: 'Suspend',
      text: 'Their tokens and sessions are refused from now on. Their VMs are left alone.' }) }],
    ['Resume', (user) => call('POST', path(user, '/resume'))],
    ['Make free', (user) => call('PATCH', path(user), { body: { tier: 'free' } })],
    ['Make pro', (user) => call('PATCH', path(user), { body: { tier: 'pro' } })],
  ],
})

function draw() {
  choice.show(users)
  replace(byId('rows'), users.length ? users.map((user) => el('tr', { 'data-id': user.id },
    choice.box(user),
    el('td', { class: 'wrap' }, el('button', { type: 'button', class: 'row', onclick: () => detail(user).catch(tellError) }, user.name)),
    el('td', { class: 'wrap' }, user.email ?? '–'), el('td', {}, user.role), el('td', {}, user.tier), el('td', {}, time(user.createdAt)),
    el('td', {}, el('span', { class: user.suspendedAt ? 'state bad' : 'state good' }, user.suspendedAt ? 'suspended' : 'allowed'))))
    : [emptyRow(7, 'No user is like this.', 'Make one with the button above.')])
}

async function restart(after) {
  const asked = query()
  asked.set('limit', LIMIT)
  if (after) asked.set('after', after)
  try {
    const { users: page } = await call('GET', `/v1/admin/users?${asked}`)
    users = after ? [...users, ...page] : page
    byId('more').hidden = page.length < LIMIT
  } catch (error) { tellError(error) }
  draw()
}
byId('more').addEventListener('click', () => restart(users.at(-1).id))
const query = filters(byId('filters'), () => restart())
restart()

const form = (button, onSubmit, ...children) => el('form', { class: 'stack', onsubmit: (event) => {
  event.preventDefault()
  busy(event.submitter, onSubmit)
} }, ...children, el('div', { class: 'actions end' }, el('button', { class: 'primary' }, button)))
const dialog = byId('detail')

byId('new').addEventListener('click', () => {
  const name = el('input', { required: true, maxlength: 100, autocomplete: 'off' })
  const email = el('input', { type: 'email', autocomplete: 'off' })
  const tier = el('select', {}, options(TIERS, 'free'))
  const role = el('select', {}, options(['user', 'admin'], 'user'))
  show(dialog, 'New user', form('Make the user', async () => {
    const body = { name: name.value.trim(), tier: tier.value, role: role.value }
    if (email.value.trim()) body.email = email.value.trim()
    const { user } = await call('POST', '/v1/admin/users', { body, idempotent: true })
    await restart()
    await detail(user)
  }, field('Name', name), field('Email', email), el('div', { class: 'two' }, field('Tier', tier), field('Role', role))))
})

const QUOTAS = [['environments', 'Environments'], ['runningEnvironments', 'Running at once'], ['vcpus', 'Processors'],
  ['memoryMb', 'Memory, MB'], ['diskMb', 'Disk, MB'], ['runtimeHours', 'Hours a month']]

const TIER_NETWORK = { free: 'none', pro: 'internet', unlimited: 'internet' }

async function detail({ id }) {
  const [{ user, quota, overrides }, { tokens }] = await Promise.all([call('GET', path({ id })), call('GET', path({ id }, '/tokens'))])
  const tier = el('select', {}, options(TIERS, user.tier))
  const role = el('select', {}, options(['user', 'admin'], user.role))
  const inputs = QUOTAS.map(([key, label]) => {
    const input = el('input', { type: 'number', min: 0, inputmode: 'numeric', placeholder: quota.limits[key] ?? 'no limit' })
    if (overrides[key] !== null) input.value = overrides[key]
    return [key, field(label, input), input]
  })
  const network = el('select', {}, [['', `Tier’s (${TIER_NETWORK[user.tier]})`], ['none', 'None'], ['egress', 'Internet']]
    .map(([value, text]) => el('option', { value, selected: value === (overrides.network ?? '') }, text)))
  const tokenName = el('input', { required: true, maxlength: 100, placeholder: 'laptop', autocomplete: 'off' })
  const made = el('div', { role: 'status' })
  show(dialog, user.name,
    el('section', {}, facts([['Id', el('code', {}, user.id)], ['Email', user.email], ['Since', time(user.createdAt)],
      ['Suspended', user.suspendedAt ? time(user.suspendedAt) : null],
      ['Uses', `${quota.used.environments} environments, ${quota.used.vcpus} vCPU, ${megabytes(quota.used.memoryMb)}, ${duration(quota.used.runtimeSeconds * 1000)} this month`]])),
    el('section', { class: 'actions' }, el('a', { class: 'button', href: `/admin/vms?owner=${user.id}` }, 'VMs'), el('a', { class: 'button', href: `/admin/audit?user=${user.id}` }, 'Audit')),
    el('section', {}, el('h3', {}, 'Tier and role'), form('Change', async () => {
      const body = {}
      if (tier.value !== user.tier) body.tier = tier.value
      if (role.value !== user.role) body.role = role.value
      if (!Object.keys(body).length) return
      await call('PATCH', path(user), { body })
      tell(`${user.name} was changed; the next call of theirs sees it.`)
      await restart()
      await detail(user)
    }, el('div', { class: 'two' }, field('Tier', tier), field('Role', role)))),
    el('section', {}, el('h3', {}, 'Quota in place of the tier’s'), form('Set', async () => {
      const body = Object.fromEntries(inputs.map(([key, , input]) => [key, input.value === '' ? null : Number(input.value)]))
      body.network = network.value || null
      await call('PUT', path(user, '/quota'), { body })
      tell('The quota was set.')
      await detail(user)
    }, el('div', { class: 'three' }, inputs.map(([, each]) => each), field('Network of runs', network)))),
    el('section', {}, el('h3', {}, 'Tokens'),
      tokens.length ? el('div', { class: 'table-wrap' }, el('table', {}, el('tbody', {}, tokens.map((token) => el('tr', {},
        el('td', { class: 'wrap' }, token.name), el('td', {}, token.scopes.join(', ')), el('td', {}, token.lastUsedAt ? time(token.lastUsedAt) : 'never used'),
        el('td', { class: 'actions-cell' }, token.revokedAt ? 'revoked' : el('button', { type: 'button', class: 'quiet', 'aria-label': `Revoke ${token.name}`, onclick: async () => {
          try { await call('DELETE', path(user, `/tokens/${token.id}`)); await detail(user) } catch (error) { tellError(error) }
        } }, 'Revoke'))))))) : el('p', { class: 'hint' }, 'None yet: without one they cannot sign in.'),
      form('Make a token', async () => {
        const token = await call('POST', path(user, '/tokens'), { body: { name: tokenName.value.trim() }, idempotent: true })
        tokenName.value = ''
        made.replaceChildren(el('p', { class: 'hint' }, 'Shown this once; give it to them:'), el('code', { class: 'secret' }, token.token))
      }, field('Name of a new token', tokenName)), made))
}
