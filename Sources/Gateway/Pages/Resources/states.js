// The states of a VM: what they are called, how they look, and what may be done in them.

import { ask, el } from './page.js'

const WORDS = {
  requested: ['asked for', 'warn moving'], provisioning: ['being made', 'warn moving'], starting: ['waking', 'warn moving'],
  running: ['running', 'good'], stopping: ['going to sleep', 'warn moving'], stopped: ['asleep', ''],
  destroying: ['being destroyed', 'warn moving'], destroyed: ['destroyed', ''], error: ['failed', 'bad'],
}
export const word = (state) => WORDS[state]?.[0] ?? state
export const tone = (state) => `state ${WORDS[state]?.[1] ?? ''}`
export const pill = (state) => el('span', { class: tone(state) }, word(state))
export const isMoving = (state) => Boolean(WORDS[state]?.[1].includes('moving'))

/** What may be done in a state: names of verbs of the API. */
export function verbs(state) {
  return { running: ['stop', 'destroy'], stopped: ['start', 'destroy'], error: ['recover', 'destroy'] }[state] ?? []
}
export const LABELS = { start: 'Start', stop: 'Stop', recover: 'Try again', destroy: 'Destroy' }

/** Asks before a VM is destroyed. */
export const mayDestroy = (name) => ask({
  title: `Destroy ${name}?`, action: 'Destroy it',
  text: 'The machine is removed with everything in its home. This cannot be undone.',
})
