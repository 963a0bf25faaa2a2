// The fleet at a glance, now and over time.

import { call, follow } from './api.js'
import { chart } from './charts.js'
import { byId, duration, el, megabytes, tellError } from './page.js'

let stats = null
let told = { samples: [], stepMinutes: 1 }
const remembered = document.querySelector(`[name=hours][value="${Number(localStorage.getItem('admin.hours'))}"]`)
if (remembered) remembered.checked = true
const hours = () => Number(document.querySelector('[name=hours]:checked').value)

function tile(what, value, beside) {
  return el('div', { class: 'tile' }, el('span', { class: 'what' }, what), el('span', { class: 'value' }, value), el('span', { class: 'beside' }, beside))
}

function drawTiles() {
  const states = stats.environmentsByState
  const moving = Object.entries(states).filter(([state]) => !['running', 'stopped', 'error'].includes(state)).reduce((sum, [, count]) => sum + count, 0)
  const runs = stats.executionsLastHour
  const total = Object.values(runs.byState).reduce((sum, count) => sum + count, 0)
  const lost = (runs.byState.failed ?? 0) + (runs.byState.lost ?? 0)
  const jobs = (state) => stats.queues.reduce((sum, queue) => sum + (queue.counts[state] ?? 0), 0)
  byId('tiles').replaceChildren(
    tile('VMs', stats.environments, `${states.running ?? 0} running, ${states.stopped ?? 0} asleep, ${moving} on their way, ${states.error ?? 0} failed`),
    tile('Runs in the last hour', total, lost ? `${lost} never ran or were lost` : 'all of them ran'),
    tile('A run takes', duration(runs.medianMs), `one in twenty ${duration(runs.percentile95Ms)} or more`),
    tile('Ran this month', `${stats.runtimeHoursThisMonth.toFixed(1)} h`, 'all VMs together'),
    tile('Jobs', jobs('waiting') + jobs('active'), `${jobs('active')} at work, ${jobs('failed')} failed`),
    tile('Users', stats.users, stats.suspendedUsers ? `${stats.suspendedUsers} suspended` : 'none suspended'),
    ...(stats.hostCapacity.memoryMb ? [tile('Hosts hold', `${Math.round((stats.hostUsed.memoryMb / stats.hostCapacity.memoryMb) * 100)} %`,
      `${megabytes(stats.hostUsed.memoryMb)} of ${megabytes(stats.hostCapacity.memoryMb)}`)] : []))
}

function drawCharts() {
  const to = Date.now()
  const from = to - hours() * 3_600_000
  const gap = Math.max(3, told.stepMinutes * 2.5) * 60_000
  const points = (read) => told.samples.map((sample) => [new Date(sample.at).getTime(), read(sample)])
  const now = (list, value) => (stats ? [...list, [to, value(stats)]] : list)
  const states = (read, names) => now(points(read), ({ environmentsByState: by }) => names.reduce((sum, name) => sum + (by[name] ?? 0), 0))
  const jobs = (read, names) => now(points(read), ({ queues }) => queues.reduce((sum, { counts }) => names.reduce((each, name) => each + (counts[name] ?? 0), sum), 0))
  const common = { from, to, gap, empty: 'Nothing yet: a sample is taken every minute.' }
  chart(byId('chart-vms'), { ...common, title: 'VMs', series: [
    { name: 'running', hue: 'good', points: states((each) => each.running, ['running']) },
    { name: 'asleep', hue: 'quiet', points: states((each) => each.asleep, ['stopped']) },
    { name: 'on their way', hue: 'warn', points: states((each) => each.moving, ['requested', 'provisioning', 'starting', 'stopping', 'destroying']) },
    { name: 'failed', hue: 'bad', points: states((each) => each.failed, ['error']) }] })
  // The last hour is known to the minute.
  const minutes = hours() === 1 && stats ? stats.executionsPerMinute.slice(0, -1) : null
  const runs = (key, read) => (minutes ? minutes.map((each) => [new Date(each.minute).getTime(), each[key]]) : points(read))
  chart(byId('chart-runs'), { ...common, title: 'Runs a minute', series: [
    { name: 'begun', hue: 'accent', points: runs('count', (each) => each.executionsPerMinute) },
    { name: 'lost', hue: 'bad', points: runs('failed', (each) => each.failedExecutionsPerMinute) }] })
  chart(byId('chart-starts'), { ...common, title: 'Cold starts a minute', series: [
    { name: 'VMs woken or made', hue: 'accent', points: points((each) => each.coldStartsPerMinute) }] })
  const took = told.samples.filter((each) => each.coldStartMs !== null)
  if (took.length) {
    const mean = took.reduce((sum, each) => sum + each.coldStartMs, 0) / took.length
    byId('chart-starts').querySelector('.legend').append(el('b', {}, `took ${duration(mean)} on average`))
  }
  chart(byId('chart-jobs'), { ...common, title: 'Jobs', series: [
    { name: 'waiting', hue: 'warn', points: jobs((each) => each.waitingJobs, ['waiting', 'paused', 'prioritized', 'delayed']) },
    { name: 'at work', hue: 'accent', points: jobs((each) => each.activeJobs, ['active']) },
    { name: 'failed', hue: 'bad', points: jobs((each) => each.failedJobs, ['failed']) }] })
}

let readAt = 0
async function read() {
  readAt = Date.now()
  try { told = await call('GET', `/v1/admin/samples?hours=${hours()}`) } catch (error) { tellError(error) }
  drawCharts()
}
byId('range').addEventListener('change', () => {
  localStorage.setItem('admin.hours', hours())
  read()
})
drawCharts()
read()
follow('/v1/admin/stats?follow=1', { stats: (event) => {
  ;({ stats } = event)
  drawTiles()
  if (Date.now() - readAt > 60_000) read()
  else if (!document.querySelector('.chart svg:hover')) drawCharts()
} }, (isLive) => { byId('live').textContent = isLive ? 'live' : 'connecting…' })
