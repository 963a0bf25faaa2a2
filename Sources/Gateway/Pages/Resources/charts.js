// Lines over time, drawn as SVG in the colours of the page.

import { el } from './page.js'

const SPACE = 'http://www.w3.org/2000/svg'
function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SPACE, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [560, 190, 34, 20, 6]

/** A round number at least as large: 1, 2 or 5 and zeros. */
function ceiling(value) {
  if (value <= 0) return 1
  const scale = 10 ** Math.floor(Math.log10(value))
  const step = [1, 2, 5, 10].find((each) => each * scale >= value)
  return step * scale
}

const clock = (time, isLong) => new Date(time).toLocaleString([], isLong
  ? { weekday: 'short', hour: '2-digit', minute: '2-digit', hour12: false } : { hour: '2-digit', minute: '2-digit', hour12: false })

/**
 * Draws series of points [time, value or null] with names and hues (`good`, `bad`, `warn`, `accent`, `quiet`). A gap of
 * more than `gap` milliseconds is left open.
 */
export function chart(element, { title, series, from, to, gap, show = (value) => String(Math.round(value * 10) / 10), empty }) {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value ?? 0))
  const most = ceiling(Math.max(0, ...values))
  const isLong = to - from > 100_000_000
  const x = (time) => LEFT + ((time - from) / (to - from)) * (WIDTH - LEFT)
  const y = (value) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP)
  const image = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' })
  for (const part of [0, 0.5, 1]) {
    image.append(svg('line', { class: 'axis', x1: LEFT, x2: WIDTH, y1: y(most * part), y2: y(most * part) }))
  }
  const isEmpty = series.every(({ points }) => points.length === 0)
  for (const { points, hue } of series) {
    const pieces = []
    for (const [time, value] of points) {
      if (value === null || time < from) continue
      const last = pieces.at(-1)?.at(-1)
      if (last && time - last[0] <= gap) pieces.at(-1).push([time, value])
      else pieces.push([[time, value]])
    }
    for (const piece of pieces) {
      if (piece.length === 1) piece.push([piece[0][0] + gap / 8, piece[0][1]])
      const line = piece.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join('L')
      const [first, last] = [x(piece[0][0]).toFixed(1), x(piece.at(-1)[0]).toFixed(1)]
      image.append(svg('path', { class: `area hue-${hue}`, d: `M${first} ${y(0)}L${line}L${last} ${y(0)}Z` }),
        svg('path', { class: `curve hue-${hue}`, d: `M${line}` }))
    }
  }
  const cursor = svg('line', { class: 'cursor', y1: TOP, y2: HEIGHT - BOTTOM, visibility: 'hidden' })
  image.append(cursor)
  // Text is not stretched with the lines: it lies over them.
  const labels = el('div', { class: 'labels', 'aria-hidden': 'true' },
    [0, 0.5, 1].map((part) => el('span', { class: `y y${part * 2}` }, show(most * part))),
    el('span', { class: 'from' }, clock(from, isLong)), el('span', { class: 'to' }, 'now'),
    isEmpty ? el('span', { class: 'nothing' }, empty) : null)
  const legend = el('div', { class: 'legend' })
  const tell = (time) => {
    legend.replaceChildren(...(time ? [el('b', {}, clock(time, isLong))] : []), ...series.map(({ name, hue, points }) => {
      const point = time ? points.reduce((best, each) => (!best || Math.abs(each[0] - time) < Math.abs(best[0] - time) ? each : best), null) : points.at(-1)
      return el('span', { class: `hue-${hue}` }, `${name} ${point && point[1] !== null ? show(point[1]) : '–'}`)
    }))
  }
  tell()
  image.setAttribute('aria-label', `${title}: ${series.map(({ name, points }) => {
    const all = points.map(([, value]) => value ?? 0)
    return `${name} ${all.length ? `${show(all.at(-1))} now, at most ${show(Math.max(...all))}` : 'unknown'}`
  }).join('; ')}`)
  image.addEventListener('pointermove', (event) => {
    const box = image.getBoundingClientRect()
    const at = ((event.clientX - box.left) / box.width) * WIDTH
    if (at < LEFT) return
    tell(from + ((at - LEFT) / (WIDTH - LEFT)) * (to - from))
    cursor.setAttribute('x1', at); cursor.setAttribute('x2', at); cursor.setAttribute('visibility', 'visible')
  })
  image.addEventListener('pointerleave', () => { tell(); cursor.setAttribute('visibility', 'hidden') })
  element.replaceChildren(el('div', { class: 'chart-head' }, el('h2', {}, title), legend), el('div', { class: 'plot' }, image, labels))
}
