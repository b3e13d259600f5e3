// Verifies a receipt of consentledger by ledger/FORMAT.md alone: no code of the ledger, and nothing but
// what Node has built in.
//
//     node verify-receipt.mjs receipt.txt 'ledger.example/consent+24389b90+AYqI…' [witness key …]
//
// It prints what the entry says and exits with 0, or one line beginning with the kind of what does not fit, and exits with 1.
import crypto from 'node:crypto'
import fs from 'node:fs'

class Bad extends Error { constructor (kind, what) { super(what); this.kind = kind } }
const need = (ok, kind, what) => { if (!ok) throw new Bad(kind, what) }
const sha256 = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest()
const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest()
const utf8 = s => Buffer.from(s, 'utf8')
const text = b => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b) // throws at what is no UTF-8
function base64 (s, kind) { // RFC 4648, section 4, in its one canonical form
  const b = Buffer.from(s, 'base64')
  need(b.toString('base64') === s, kind, 'base64 that is not canonical')
  return b
}

// Signed notes (C2SP signed-note): text, an empty line, signature lines.
function parseKey (vkey) {
  const [name, id, ...rest] = vkey.split('+')
  const typed = base64(rest.join('+'), 'key') // base64 may have plus signs
  need(sha256(utf8(name + '\n'), typed).subarray(0, 4).toString('hex') === id, 'key', 'the id is not that of the key')
  return { name, id, type: typed[0], key: crypto.createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), typed.subarray(1)]), format: 'der', type: 'spki' }) }
}
function parseNote (msg, kind) {
  const at = msg.lastIndexOf('\n\n')
  need(at >= 0 && msg.endsWith('\n'), kind, 'not a signed note')
  const sigs = msg.slice(at + 2, -1).split('\n').map(line => {
    const m = /^\u2014 ([^ +]+) (\S+)$/.exec(line)
    need(m, kind, 'a signature line is malformed')
    const raw = base64(m[2], kind)
    return { name: m[1], id: raw.subarray(0, 4).toString('hex'), sig: raw.subarray(4) }
  })
  return { text: msg.slice(0, at + 1), sigs }
}
function signedBy (note, key) { // undefined: it did not sign; type 1: the log; type 4: a witness, with a time
  const s = note.sigs.find(s => s.name === key.name && s.id === key.id)
  if (!s) return undefined
  if (key.type === 1) return crypto.verify(null, utf8(note.text), key.key, s.sig)
  const at = s.sig.readBigUInt64BE(0)
  return crypto.verify(null, utf8(`cosignature/v1\ntime ${at}\n${note.text}`), key.key, s.sig.subarray(8)) && at
}

// CBOR, as far as entries use it (RFC 8949, core deterministic encoding). A map has its keys in ascending order, without
// what is zero, empty or false, but for key 1 and for what the tables call pointers.
const bad = what => { throw new Bad('content', what) }
function cbor (b) {
  let at = 0
  const take = n => { if (n > b.length - at) bad('CBOR that is cut'); return b.subarray(at, at += n) }
  const item = () => {
    const head = take(1)[0], major = head >> 5, info = head & 31
    if (major === 7) return head === 0xf5 || bad('CBOR of another kind')
    if (info > 27) bad('CBOR without a length')
    const big = info < 24 ? BigInt(info) : BigInt('0x' + take(1 << (info - 24)).toString('hex')), n = Number(big)
    if (BigInt(n) !== big || (info >= 24 && big < [24n, 256n, 65536n, 4294967296n][info - 24])) bad('CBOR that is not deterministic')
    if (major === 0) return n
    if (major === 1) return -1 - n
    if (major === 2) return take(n)
    if (major === 3) try { return text(take(n)) } catch { bad('text that is not UTF-8') }
    if (n > b.length || major > 5) bad('CBOR of another kind')
    if (major === 4) return Array.from({ length: n }, item)
    const m = new Map()
    for (let i = 0, last = 0; i < n; i++) {
      const k = item()
      if (!(k > last)) bad('a map whose keys are not in order')
      m.set(last = k, item())
    }
    return m
  }
  const v = item()
  if (at !== b.length) bad('bytes after the event')
  return v
}
// The form of what has a key: t text, u unsigned, i integer, y bytes, b true, and a list or a map of them; none is zero or
// empty where its letter is small.
const is = {
  T: v => typeof v === 'string', t: v => is.T(v) && v !== '', U: v => typeof v === 'number' && v >= 0, u: v => is.U(v) && v !== 0,
  I: v => typeof v === 'number', i: v => is.I(v) && v !== 0, y: v => Buffer.isBuffer(v) && v.length > 0, b: v => v === true
}
const event = { 1: 'u', 2: 't', 3: 't', 4: 't', 5: 'i', 6: 'b', 7: [{ 1: 'T', 2: 'b', 3: ['T'], 4: ['T'], 5: 'b' }], 8: 't', 9: 't', 10: 'y', 11: 'u', 12: { 1: 'T', 2: 'T', 3: 'I', all: 3 }, 13: 't', 14: ['T'], 15: ['T'], 16: 'b', 17: 't', 18: [{ 1: 'T', 2: 'T', 3: 'T' }], 19: 't', 20: 't', 21: 't', 22: 't', 23: 't', 24: 'U', 25: 't', 26: 't', 27: 't', 28: 't', 29: 't', 30: 't', 31: 't', 32: 'i', 33: 'i', 34: 'U', 35: 't', 36: 't', 37: 'i', 38: 't', 39: ['T'], 40: 't', 41: 'b', 42: 'i', 43: ['T'], 44: 'b' }
function fits (v, form) {
  if (typeof form === 'string') return is[form](v)
  if (Array.isArray(form)) return Array.isArray(v) && v.length > 0 && v.every(one => fits(one, form[0]))
  return v instanceof Map && v.has(1) && v.size >= (form.all ?? 1) && [...v].every(([k, one]) => k in form && fits(one, form[k]))
}

// An event as a receipt shows it: the table "Events" of the format page.
const kinds = [, 'consent', 'withdrawal', 'correction', 'correction_values', 'correction_outcome', 'disclosure', 'access', 'notice', 'request', 'request_outcome', 'hold', 'hold_release', 'activity', 'reactivation', 'signal', 'event_end']
const names = { 2: 'policy', 3: 'policy_version', 4: 'member_kind', 6: 'evidence', 8: 'method', 9: 'locale', 13: 'reference', 14: 'purposes', 15: 'items', 17: 'correction', 19: 'outcome', 20: 'reason', 21: 'recipient', 22: 'business', 23: 'basis', 24: 'rests_on', 25: 'form', 26: 'who', 27: 'from', 28: 'what', 29: 'notice', 30: 'notice_kind', 31: 'channel', 34: 'destruction', 35: 'request', 36: 'request_type', 38: 'hold', 40: 'signal', 43: 'recipients', 44: 'while_dormant' }
const times = { 5: 'occurred_at', 32: 'sent_at', 33: 'due_at', 37: 'received_at', 42: 'active_at' }
const order = 'kind policy policy_version member_kind occurred_at evidence decisions method locale shown_digest age guardian reference scope purposes purpose items correction changes outcome reason recipient business basis rests_on form who from what recipients notice notice_kind channel sent_at destruction request request_type received_at due_at hold classes until ground signal value active_at while_dormant'.split(' ')
const time = (ms, kind = 'content') => {
  need(ms >= -62167219200000 && ms < 253402300800000, kind, 'not a time of the years 0 to 9999')
  return new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z')
}
function view (e) {
  const kind = fits(e, event) && kinds[e.get(1)]
  need(kind, 'content', 'what is in the entry is no event of a member')
  const v = { kind }
  for (const [k, name] of Object.entries(names)) if (e.has(+k)) v[name] = e.get(+k)
  for (const [k, name] of Object.entries(times)) if (e.has(+k)) v[name] = time(e.get(+k))
  if (e.has(7)) v.decisions = e.get(7).map(d => ({ purpose: d.get(1), decision: d.get(2) ? 'granted' : d.get(5) ? 'ask' : 'refused', ...(d.has(3) && { items: d.get(3) }), ...(d.has(4) && { recipients: d.get(4) }) }))
  if (e.has(10)) v.shown_digest = e.get(10).toString('hex')
  if (e.has(11)) v.age = [, 'birth_date', 'minimum_age_confirmed', 'guardian'][e.get(11)]
  if (e.has(12)) v.guardian = { reference: e.get(12).get(1), method: e.get(12).get(2), verified_at: time(e.get(12).get(3)) }
  if (e.has(16)) v.scope = 'membership'
  if (e.has(18)) v.changes = e.get(18).map(c => ({ item: c.get(1), ...(c.has(2) && { old: c.get(2) }), ...(c.has(3) && { new: c.get(3) }) }))
  if (kind === 'hold') { v.until = v.due_at; delete v.due_at; v.ground = v.reason; delete v.reason; if (e.has(39)) v.classes = e.get(39).map(c => c.slice(c.indexOf('/') + 1)) }
  if (kind === 'signal') v.value = e.get(41) ?? false
  if (kind === 'disclosure') { if (v.purposes) v.purpose = v.purposes[0]; delete v.purposes; v.form ??= 'identified' }
  return v
}
const sorted = v => Array.isArray(v) ? v.map(sorted) : v && typeof v === 'object' ? Object.fromEntries(Object.keys(v).sort().map(k => [k, sorted(v[k])])) : v
const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))

// RFC 6962, section 2.1.1, by RFC 9162, section 2.1.3.2.
function rootOf (leaf, index, size, proof) {
  let fn = index, sn = size - 1n, r = leaf
  for (const p of proof) {
    if (sn === 0n) return undefined
    if ((fn & 1n) === 1n || fn === sn) {
      r = sha256(Buffer.of(1), p, r)
      while ((fn & 1n) === 0n && fn !== 0n) { fn >>= 1n; sn >>= 1n }
    } else r = sha256(Buffer.of(1), r, p)
    fn >>= 1n; sn >>= 1n
  }
  return sn === 0n ? r : undefined
}

function padded (n) { // sizes of padding
  for (const p of [256, 512, 1024, 2048, 4096]) if (n <= p) return p
  const e = Math.floor(Math.log2(n)), step = 2 ** (e - Math.floor(Math.log2(e)) - 1)
  return Math.ceil(n / step) * step
}

function verify (bytes, vkey, witnesses) {
  need(bytes.length <= 4 << 20, 'file', 'too large')
  let file
  try { file = text(bytes) } catch { throw new Bad('file', 'not UTF-8') }
  const first = 'consentledger/receipt/v1\n', log = parseKey(vkey)
  need(file.startsWith(first), 'file', 'not a receipt')
  const note = parseNote(file, 'file')
  need(note.sigs.length === 1, 'file', 'more than one signature')
  need(signedBy(note, log), 'signature', 'not signed by this key')
  let r
  try { r = JSON.parse(note.text.slice(first.length)) } catch { throw new Bad('file', 'not JSON') }
  const again = JSON.stringify(r, null, 2).replace(/[\u2028\u2029]/g, c => '\\u' + c.charCodeAt(0).toString(16))
  need(note.text === first + again + '\n' && !/(?<!\\)(\\\\)*\\ud[89a-f]/.test(again), 'file', 'JSON that is not written in the one way')
  const fields = ['origin', 'index', 'leaf_hash', 'recorded_at', 'member', 'class', 'issued_at', 'event', ...('record' in r ? ['record'] : []), 'entry', 'prk', 'proof']
  need(same(Object.keys(r), fields), 'file', 'other fields than those of a receipt')
  need(JSON.stringify(sorted(r.record)) === JSON.stringify(r.record), 'file', 'a record that is not written in the one way')
  need([r.member, r.class, r.recorded_at, r.issued_at].every(s => typeof s === 'string') && r.record !== null, 'file', 'a field of another type')
  need(time(Date.parse(r.issued_at), 'file') === r.issued_at && !r.issued_at.includes('.'), 'file', 'a time that is not written in the one way')
  need(time(Date.parse(r.recorded_at), 'file') === r.recorded_at, 'file', 'a time that is not written in the one way')
  need(same(Object.keys(r.event ?? {}), order.filter(n => n in (r.event ?? {}))), 'file', 'an event that is not written in the one way')
  need(r.origin === log.name, 'other_ledger', 'of another ledger')

  const entry = base64(r.entry, 'file'), prk = base64(r.prk, 'file'), body = entry.length - 149
  need(body >= 256 && entry[0] === 1 && padded(body) === body, 'entry', 'not an entry')
  const leaf = sha256(Buffer.of(0), entry)
  need(leaf.toString('hex') === r.leaf_hash, 'entry', 'another leaf hash')
  need(time(Number(entry.readBigInt64BE(1))) === r.recorded_at, 'entry', 'recorded at another time')

  const m = /^c2sp\.org\/tlog-proof@v1\nindex (\d+)\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n/.exec(r.proof)
  need(m && m[1] === String(r.index), 'proof', 'not a proof of this entry')
  const head = parseNote(r.proof.slice(m[0].length), 'proof'), [origin, size, root] = head.text.split('\n')
  need(origin === r.origin && head.text === `${origin}\n${size}\n${root}\n` && /^(0|[1-9]\d*)$/.test(size) && signedBy(head, log), 'proof', 'the checkpoint is not signed by the log')
  const got = BigInt(m[1]) < BigInt(size) && rootOf(leaf, BigInt(m[1]), BigInt(size), m[2].split('\n').slice(0, -1).map(h => base64(h, 'proof')))
  need(got && got.equals(base64(root, 'proof')), 'proof', 'the entry is not under the checkpoint')
  for (const w of witnesses.map(parseKey)) {
    const at = signedBy(head, w)
    need(at !== undefined, 'cosignature', `${w.name} has not signed`)
    need(at, 'proof', `the cosignature of ${w.name} is bad`)
    console.log(`cosigned by ${w.name} at ${time(Number(at) * 1000)}`)
  }

  // K_e and C_e by HKDF-Expand; the commitment first.
  need(prk.length === 32, 'prk', 'not a PRK')
  const info = utf8('consentledger/entry/v1' + r.origin), t1 = hmac(prk, Buffer.concat([info, Buffer.of(1)])), t2 = hmac(prk, Buffer.concat([t1, info, Buffer.of(2)]))
  need(crypto.timingSafeEqual(t2, entry.subarray(89, 121)), 'prk', 'the PRK is that of another entry')
  const d = crypto.createDecipheriv('aes-256-gcm', t1, entry.subarray(121, 133)).setAAD(Buffer.concat([Buffer.of(1), entry.subarray(41, 121)])).setAuthTag(entry.subarray(-16))
  let plain
  try { plain = Buffer.concat([d.update(entry.subarray(133, -16)), d.final()]) } catch { throw new Bad('prk', 'the entry was altered') }
  const n = plain.readUInt32BE(0)
  need(n <= plain.length - 4 && padded(n + 4) === plain.length && plain.subarray(4 + n).every(b => b === 0), 'prk', 'the padding is not canonical')
  need(same(view(cbor(plain.subarray(4, 4 + n))), r.event), 'content', 'the entry says something else')
  return r
}

try {
  const r = verify(fs.readFileSync(process.argv[2]), process.argv[3], process.argv.slice(4))
  console.log(`entry ${r.index} of ${r.origin}, recorded ${r.recorded_at}, of ${r.member}:\n${JSON.stringify(r.event, null, 2)}\nGENUINE`)
} catch (e) {
  console.log(`${e.kind ?? 'error'}: ${e.message}`)
  process.exitCode = 1
}
