// What the lists for admins have in common: filters that are kept in the address, pages, rows that are chosen, and what
// is done to all that are chosen.

import { busy, byId, el, tell, tellError } from './page.js'

/** Filters of a form: what is in the address when the page opens, and back into it on every change. */
export function filters(form, onChange) {
  const fields = [...form.elements].filter((each) => each.name)
  const given = new URLSearchParams(location.search)
  for (const field of fields) {
    if (field.type === 'checkbox') field.checked = given.get(field.name) === field.value
    else if (given.has(field.name)) field.value = given.get(field.name)
  }
  const query = () => {
    const all = new URLSearchParams()
    for (const field of fields) {
      if (field.type === 'checkbox' ? field.checked : field.value.trim()) all.set(field.name, field.value.trim())
    }
    return all
  }
  let timer
  const changed = () => {
    const text = query().toString()
    history.replaceState(null, '', text ? `?${text}` : location.pathname)
    onChange()
  }
  form.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(changed, 250) })
  form.addEventListener('reset', () => setTimeout(changed))
  form.addEventListener('submit', (event) => { event.preventDefault(); changed() })
  return query
}

/** Rows that can be chosen. `verbs` are [label, what is done to one, options]; `name` is how a row is called. */
export class Choice {
  constructor({ verbs, name, after }) {
    Object.assign(this, { verbs, name, after, chosen: new Set(), rows: [] })
    this.buttons = verbs.map(([label, act, { isDangerous, confirm } = {}]) => el('button', {
      type: 'button', disabled: true, class: isDangerous ? 'danger' : null,
      onclick: (event) => busy(event.currentTarget, () => this.run(label, act, confirm)),
    }, label))
    byId('bulk').append(...this.buttons)
    byId('all').addEventListener('change', (event) => {
      this.chosen = new Set(event.target.checked ? this.rows.map((row) => row.id) : [])
      for (const box of document.querySelectorAll('#rows input[type=checkbox]')) box.checked = event.target.checked
      this.tell()
    })
  }

  /** The rows that are shown now; who is no more among them is not chosen any more. */
  show(rows) {
    this.rows = rows
    const ids = new Set(rows.map((row) => row.id))
    this.chosen = new Set([...this.chosen].filter((id) => ids.has(id)))
    this.tell()
  }

  box(row) {
    const box = el('input', { type: 'checkbox', 'aria-label': `Choose ${this.name(row)}`, onchange: (event) => {
      if (event.target.checked) this.chosen.add(row.id)
      else this.chosen.delete(row.id)
      this.tell()
    } })
    box.checked = this.chosen.has(row.id)
    return el('td', {}, el('span', { class: 'check' }, box))
  }

  tell() {
    const count = this.chosen.size
    byId('chosen').textContent = count ? `${count} of ${this.rows.length} chosen` : `${this.rows.length} shown, none chosen`
    byId('all').checked = count > 0 && count === this.rows.length
    byId('all').indeterminate = count > 0 && count < this.rows.length
    for (const button of this.buttons) button.disabled = !count
  }

  async run(label, act, confirm) {
    const rows = this.rows.filter((row) => this.chosen.has(row.id))
    if (confirm && !(await confirm(rows))) return
    let done = 0
    const refused = []
    for (const row of rows) {
      byId('chosen').textContent = `${label}: ${done + refused.length + 1} of ${rows.length}`
      try { await act(row); done += 1 } catch (error) { refused.push([row, error]) }
    }
    if (done) tell(`${label}: ${done} of ${rows.length}.`)
    if (refused.length > 1) tell(`${refused.length} were refused. ${this.name(refused[0][0])}: ${refused[0][1].message}`, { isError: true, hint: refused[0][1].hint })
    else if (refused.length) tellError(refused[0][1])
    this.chosen.clear()
    await this.after()
  }
}

export * from './parts.js'
