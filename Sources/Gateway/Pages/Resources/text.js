// What came from users and programs, as text to be shown: without what terminals obey, and without what turns text
// around. Nothing of it is HTML anywhere: it is only ever set as text.

// CSI; OSC, DCS, SOS, PM and APC up to their end; other escapes; then the same, cut at the end of what came so far.
export const ESCAPES = /\x1b\[[0-?]*[ -\/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -\/]*[0-OQ-WYZ\\`-~]|\x1b(?:\[[0-?]*[ -\/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -\/]*)$/g
export const CONTROLS = /[\x00-\x07\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

const MAYBE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/

export const clean = (text) => (MAYBE.test(text) ? text.replace(ESCAPES, '').replace(CONTROLS, '').replace(/[\b\r]/g, '') : text)
