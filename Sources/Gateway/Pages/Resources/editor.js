// An editor that is a textarea: the browser's own caret, undo, selection, touch and screen reader. Under it lies the same
// text in colours, made by CodeMirror's tokenizers where the server has them.

const base = new URL('.', import.meta.url).pathname
const HIGHLIGHT_LIMIT = 80_000

// The tokenizer of a language: CodeMirror's mode file and its MIME type. Where it has none, that of a near relative.
const MODES = {
  ada: ['vhdl', 'text/x-vhdl'], assembly: ['z80', 'text/x-z80'], awk: ['perl', 'text/x-perl'], bash: ['shell', 'text/x-sh'], basic: ['vb', 'text/x-vb'],
  c: ['clike', 'text/x-csrc'], clojure: ['clojure', 'text/x-clojure'], cobol: ['cobol', 'text/x-cobol'],
  coffeescript: ['coffeescript', 'text/x-coffeescript'], commonlisp: ['commonlisp', 'text/x-common-lisp'],
  cpp: ['clike', 'text/x-c++src'], crystal: ['crystal', 'text/x-crystal'], csharp: ['clike', 'text/x-csharp'], d: ['d', 'text/x-d'],
  elixir: ['ruby', 'text/x-ruby'], erlang: ['erlang', 'text/x-erlang'], fish: ['shell', 'text/x-sh'], forth: ['forth', 'text/x-forth'],
  fortran: ['fortran', 'text/x-fortran'], go: ['go', 'text/x-go'], groovy: ['groovy', 'text/x-groovy'],
  haskell: ['haskell', 'text/x-haskell'], icon: ['ruby', 'text/x-ruby'], java: ['clike', 'text/x-java'], javascript: ['javascript', 'text/javascript'],
  kotlin: ['clike', 'text/x-kotlin'], lua: ['lua', 'text/x-lua'], luajit: ['lua', 'text/x-lua'], nim: ['python', 'text/x-python'],
  objectivec: ['clike', 'text/x-objectivec'], ocaml: ['mllike', 'text/x-ocaml'], octave: ['octave', 'text/x-octave'],
  pascal: ['pascal', 'text/x-pascal'], perl: ['perl', 'text/x-perl'], php: ['clike', 'text/x-java'], pike: ['clike', 'text/x-csrc'],
  prolog: ['erlang', 'text/x-erlang'], pypy: ['python', 'text/x-python'], python: ['python', 'text/x-python'], r: ['r', 'text/x-rsrc'],
  racket: ['scheme', 'text/x-scheme'], raku: ['perl', 'text/x-perl'], ruby: ['ruby', 'text/x-ruby'], rust: ['rust', 'text/x-rustsrc'],
  scala: ['clike', 'text/x-scala'], scheme: ['scheme', 'text/x-scheme'], sqlite: ['sql', 'text/x-sqlite'], swift: ['swift', 'text/x-swift'],
  tcl: ['tcl', 'text/x-tcl'], typescript: ['javascript', 'text/typescript'], vala: ['clike', 'text/x-csharp'], zsh: ['shell', 'text/x-sh'],
}
const TABS = new Set(['go', 'tcl'])
const TWO = new Set(['ruby', 'javascript', 'typescript', 'lua', 'elixir', 'clojure', 'commonlisp', 'scheme', 'racket', 'haskell', 'ocaml', 'crystal', 'nim', 'r', 'coffeescript', 'fish', 'scala', 'luajit'])

const loaded = new Map()
function load(name) {
  if (!loaded.has(name)) {
    loaded.set(name, new Promise((resolve, reject) => {
      const script = document.createElement('script')
      script.src = `${base}${name}.js`
      script.async = false
      script.onload = resolve
      script.onerror = () => reject(new Error(`${name} did not load`))
      document.head.append(script)
    }))
  }
  return loaded.get(name)
}

/** Loads what a language is coloured with; returns its MIME type, or null where there is nothing. */
export async function tokenizer(language) {
  const [file, type] = MODES[language] ?? []
  if (!file) return null
  try {
    await load('codemirror-runmode')
    await load('codemirror-simple')
    await load(`codemirror-mode-${file}`)
    return type
  } catch {
    return null
  }
}

/** The text in colours. */
export function colour(text, type) {
  const fragment = document.createDocumentFragment()
  if (!type || text.length > HIGHLIGHT_LIMIT) {
    fragment.append(text)
    return fragment
  }
  let [last, piece] = [null, '']
  const put = () => {
    if (!piece) return
    if (!last) fragment.append(piece)
    else {
      const span = document.createElement('span')
      span.className = last.split(' ').map((name) => `cm-${name}`).join(' ')
      span.append(piece)
      fragment.append(span)
    }
    piece = ''
  }
  window.CodeMirror.runMode(text, type, (token, style) => {
    if ((style ?? null) !== last) { put(); last = style ?? null }
    piece += token
  })
  put()
  return fragment
}

export class Editor {
  constructor({ area, paint, gutter, isHighlighted }) {
    Object.assign(this, { area, paint, gutter, isHighlighted, type: null, language: '', escaped: false })
    area.addEventListener('input', () => this.refresh())
    area.addEventListener('scroll', () => this.align())
    area.addEventListener('keydown', (event) => this.key(event))
    this.refresh()
  }

  get text() { return this.area.value }
  set text(text) { this.area.value = text; this.area.scrollTop = 0; this.refresh() }

  async setLanguage(language) {
    this.language = language
    this.type = null
    if (this.isHighlighted) {
      const type = await tokenizer(language)
      if (this.language === language) this.type = type
    }
    this.refresh()
  }

  refresh() {
    if (this.frame) return
    this.frame = requestAnimationFrame(() => {
      this.frame = null
      const { text } = this
      this.paint.replaceChildren(colour(text, this.type), '\n')
      const count = text.split('\n').length
      if (count !== this.count) {
        this.gutter.textContent = Array.from({ length: count }, (_, index) => index + 1).join('\n')
        this.count = count
      }
      this.align()
    })
  }

  align() {
    this.paint.style.transform = `translate(${-this.area.scrollLeft}px, ${-this.area.scrollTop}px)`
    this.gutter.style.transform = `translateY(${-this.area.scrollTop}px)`
  }

  get unit() { return TABS.has(this.language) ? '\t' : TWO.has(this.language) ? '  ' : '    ' }

  key(event) {
    if (event.key === 'Escape') { this.escaped = true; return }
    const wasEscaped = this.escaped
    if (!['Shift', 'Tab'].includes(event.key)) this.escaped = false
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    const { area } = this
    const { selectionStart: start, selectionEnd: end, value } = area
    const lineStart = value.lastIndexOf('\n', start - 1) + 1
    if (event.key === 'Tab' && !wasEscaped) {
      event.preventDefault()
      if (start === end && !event.shiftKey) return this.insert(this.unit)
      const block = value.slice(lineStart, Math.max(end, start))
      const shifted = event.shiftKey
        ? block.replace(new RegExp(`^(?:\\t| {1,${this.unit.length}})`, 'gm'), '') : block.replace(/^(?=.)/gm, this.unit)
      area.setSelectionRange(lineStart, Math.max(end, start))
      this.insert(shifted)
      if (start !== end) area.setSelectionRange(lineStart, lineStart + shifted.length)
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault()
      const before = value.slice(lineStart, start)
      const opens = /[{(\[:]\s*$|\b(do|then|begin)\s*$/.test(before)
      this.insert(`\n${before.match(/^[ \t]*/)[0]}${opens ? this.unit : ''}`)
    }
  }

  /** As if it had been typed, so that the browser can undo it. */
  insert(text) {
    this.area.focus()
    // Deprecated, and the one way that keeps the undo history.
    if (!(text ? document.execCommand('insertText', false, text) : document.execCommand('delete'))) {
      this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, 'end')
      this.refresh()
    }
  }
}
