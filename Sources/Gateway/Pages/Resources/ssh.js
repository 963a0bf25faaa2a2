// The keys that let the visitor's own ssh into their VMs.

import { call } from './api.js'
import { ask, busy, byId, el, tell, tellError, time } from './page.js'
import { emptyRow, replace } from './parts.js'
import { clean } from './text.js'

const rows = byId('ssh-keys')
const KINDS = { 'ssh-ed25519': 'Ed25519', 'ssh-rsa': 'RSA' }
const kind = (algorithm) => KINDS[algorithm]
  ?? (algorithm.startsWith('sk-') ? 'Security key' : algorithm.startsWith('ecdsa') ? 'ECDSA' : algorithm)

async function remove(key) {
  const isMeant = await ask({
    title: `Remove ${key.name}?`, action: 'Remove it',
    text: 'It lets nobody in any more. Connections that are open go on until they are closed or the VM stops.',
  })
  if (!isMeant) return
  await call('DELETE', `/v1/ssh-keys/${key.id}`)
  await draw()
  field.focus() // what had the focus is gone
  tell(`${key.name} is removed.`)
}

async function draw() {
  const { keys } = await call('GET', '/v1/ssh-keys')
  replace(rows, keys.length ? keys.map((key) => el('tr', { 'data-id': key.id },
    el('td', { class: 'wrap' }, key.name), el('td', {}, kind(key.algorithm)),
    el('td', {}, el('code', {}, key.fingerprint)), el('td', {}, time(key.createdAt)),
    el('td', { class: 'actions-cell' }, el('button', {
      type: 'button', class: 'quiet', 'aria-label': `Remove ${key.name}`,
      onclick: (event) => busy(event.currentTarget, () => remove(key)),
    }, 'Remove'))))
    : [emptyRow(5, 'None yet: nobody gets in by SSH.', 'Add one here, or with martlet key add.')])
}

async function drawHost() {
  const { hosts } = await call('GET', '/v1/ssh/hosts')
  const own = hosts.find((each) => each.isOwnVM)
  byId('ssh-host').replaceChildren(...(own ? ['Your VM’s host key: ', el('code', {}, own.fingerprint)] : []))
}

const form = byId('ssh-add')
const field = byId('ssh-key')
const problem = byId('ssh-problem')
function complain(text) {
  problem.hidden = !text
  problem.textContent = text ?? ''
  if (text) field.setAttribute('aria-invalid', 'true')
  else field.removeAttribute('aria-invalid')
}
form.addEventListener('submit', (event) => {
  event.preventDefault()
  busy(form.querySelector('button'), async () => {
    complain(null)
    const key = field.value.trim()
    if (key.includes('PRIVATE KEY')) { // said here, so that it does not leave the browser
      return complain('That is a private key, and was not sent. Paste the line of the file that ends in .pub.')
    }
    try {
      const name = byId('ssh-name').value.trim()
      await call('POST', '/v1/ssh-keys', { body: name ? { key, name } : { key }, idempotent: true })
    } catch (error) {
      if (!error.hint) throw error
      return complain(`${clean(error.message)} ${clean(error.hint)}`)
    }
    form.reset()
    await draw()
  })
})

draw().catch(tellError)
drawHost().catch(tellError)
document.addEventListener('vmschange', () => drawHost().catch(tellError)) // one that is made anew has another key
