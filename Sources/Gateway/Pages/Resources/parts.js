// Parts of pages that more than one has: rows of tables, dialogs, lists of facts, fields of forms.

import { el } from './page.js'

export const emptyRow = (columns, text, hint) => el('tr', { class: 'empty-row' }, el('td', { colspan: columns, class: 'empty' },
  el('p', {}, text), hint ? el('p', { class: 'hint' }, hint) : null))

/** A dialog with a title, a way out, and what is in it. */
export function show(dialog, title, ...children) {
  dialog.replaceChildren(el('div', { class: 'dialog-head' }, el('h2', { id: 'detail-title' }, title),
    el('button', { type: 'button', class: 'icon', 'aria-label': 'Close', onclick: () => dialog.close() }, '×')), ...children.filter(Boolean))
  if (!dialog.open) dialog.showModal()
}

export const facts = (list) => el('dl', { class: 'facts' }, list.filter(([, value]) => value !== null && value !== undefined && value !== '')
  .flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]))

let count = 0
/** A labelled field of a form. */
export function field(label, control) {
  count += 1
  control.id = `field-${count}`
  return el('div', { class: 'field' }, el('label', { for: control.id }, label), control)
}
export const options = (names, chosen) => names.map((name) => el('option', { value: name, selected: name === chosen }, name))

/**
 * Puts new rows in place of old ones; what had the focus has it again, in the row of the same `data-id`. Each cell is
 * given the name of its column: on narrow screens a row is a card, and its cells say what they are.
 */
export function replace(body, rows) {
  const names = [...body.closest('table').tHead.rows[0].cells].map((cell) => cell.textContent.trim())
  for (const row of rows) {
    for (const cell of row.cells) if (cell.colSpan === 1 && names[cell.cellIndex]) cell.dataset.label = names[cell.cellIndex]
  }
  const row = document.activeElement?.closest('tr')
  const focusable = 'a, button, input'
  const at = row && body.contains(row) ? [row.dataset.id, [...row.querySelectorAll(focusable)].indexOf(document.activeElement)] : null
  body.replaceChildren(...rows)
  if (at?.[0]) body.querySelector(`tr[data-id="${CSS.escape(at[0])}"]`)?.querySelectorAll(focusable)[at[1]]?.focus()
}
