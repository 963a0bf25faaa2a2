// The API under /v1, as pages of this server call it: the browser's session stands in the place of the token.

/** What the server refused, or why it could not be asked. */
export class APIError extends Error {
  constructor({ code, message, hint, requestId }, status, retryAfter = null) {
    super(message)
    Object.assign(this, { code, hint, requestId, status, retryAfter })
  }
}

const unreachable = {
  code: 'unreachable', message: 'The server does not answer.',
  hint: 'Check the connection, or whether it is being restarted, and try again.',
}

/** Sends a request; returns the response if it is a good one. Throws APIError. */
export async function request(method, path, { body, signal, headers = {}, idempotent } = {}) {
  const init = { method, signal, headers: { Accept: 'application/json', ...headers }, cache: 'no-store' }
  if (idempotent) init.headers['Idempotency-Key'] = crypto.randomUUID?.() ?? String(Math.random()).slice(2)
  if (body !== undefined) {
    init.headers['Content-Type'] ??= 'application/json'
    init.body = typeof body === 'string' || body instanceof Blob ? body : JSON.stringify(body)
  }
  let response
  try {
    response = await fetch(path, init)
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new APIError(unreachable, 0)
  }
  if (response.ok) return response
  if (response.status === 401) {
    location.assign('/login?next=' + encodeURIComponent(location.pathname + location.search))
  }
  const answer = await response.json().catch(() => ({}))
  throw new APIError(answer.error ?? { code: 'unknown', message: `The server answered ${response.status}.`, hint: '' },
    response.status, Number(response.headers.get('Retry-After')) || null)
}

/** The same for an answer in JSON; null where there is no body. */
export async function call(method, path, options) {
  const response = await request(method, path, options)
  return response.status === 204 || response.headers.get('Content-Length') === '0' ? null : response.json()
}

/** The lines of NDJSON of a response, as they come. */
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    while (true) {
      const { done, value } = await reader.read()
      if (done) break
      const parts = (rest + value).split('\n')
      rest = parts.pop()
      for (const part of parts) if (part) yield JSON.parse(part)
    }
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new APIError({ ...unreachable, message: 'The connection was lost.' }, 0)
  } finally {
    reader.cancel().catch(() => {})
  }
}

/**
 * Server-sent events of the given names, until what this returns is called; the browser reconnects by itself. Not while the page is hidden: browsers open six
 * connections to a server, over all tabs.
 */
export function follow(path, handlers, onState = () => {}) {
  let source
  const open = () => {
    source?.close()
    source = new EventSource(path)
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)))
    }
    source.onopen = () => onState(true)
    source.onerror = () => {
      onState(false)
      // Refused rather than cut: the browser gives up, and the server may only be on its way down or up.
      const closed = source
      if (closed.readyState === EventSource.CLOSED) setTimeout(() => { if (source === closed && !document.hidden) open() }, 3000)
    }
  }
  const show = () => {
    if (!document.hidden) open()
    else { source?.close(); source = null }
  }
  document.addEventListener('visibilitychange', show)
  if (!document.hidden) open()
  return () => {
    document.removeEventListener('visibilitychange', show)
    source?.close()
    source = null
  }
}
