#!/usr/bin/env python3
"""Writes vectors.json: what package keyring must write, byte for byte, and read.

It shares no code with the package: HMAC and SHA-256 come from hashlib, AES-256-GCM
from OpenSSL by way of the "cryptography" package (pip install cryptography), and
the layout of records, pages and positions is written out below. The tree is built
here all at once from the sorted records, there by putting one after the other.

    python3 vectors.py > vectors.json

The output is always the same.
"""
import hashlib, hmac, json, struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LEDGER = bytes(range(0x10, 0x20))
LEAF_LIMIT = 1024


def stream(label):
    """Endless 32-byte blocks: SHA-256(label | u64 0), SHA-256(label | u64 1) ..."""
    i = 0
    while True:
        yield hashlib.sha256(label.encode() + struct.pack(">Q", i)).digest()
        i += 1


def named(name):
    return hashlib.sha256(name.encode()).digest()


# Records

def id_record(slot, kept=()):
    return b"".join(struct.pack(">Q", s) for s in (slot, *kept))


def member_record(m):
    out = struct.pack(">Q", m["nonce"]) + bytes.fromhex(m["path"])
    kind = m["kind"].encode()
    out += bytes([len(kind)]) + kind + bytes([1 if m["ended"] else 0])
    out += struct.pack(">qqH", m["wake"], m["task"], len(m["keys"]))
    for k in m["keys"]:
        cls, ref = k["class"].encode(), k["reference"].encode()
        out += bytes([len(cls)]) + cls + struct.pack(">H", len(ref)) + ref
        out += bytes.fromhex(k["key"]) + struct.pack(">qq", k["due"], k["not_before"])
        if k["ratchet"]:
            out += b"\1" + bytes.fromhex(k["tag_key"]) + struct.pack(">i", k["day"])
        else:
            out += b"\0"
    return out


def earliest(times):
    return min((t for t in times if t), default=0)


def member_due(m):
    dues = [k["due"] if not k["due"] or not k["not_before"] else max(k["due"], k["not_before"]) for k in m["keys"]]
    return earliest(dues + [m["wake"]])


def system_key(name):
    return b"\0" + name.encode().ljust(16, b"\0")


# Pages

def nibbles(key):
    return [n for b in key for n in (b >> 4, b & 15)]


def position(path):
    padded = path + [0] * (len(path) % 2)
    return bytes([len(path)]) + bytes(16 * a + b for a, b in zip(padded[::2], padded[1::2]))


def aad(path):
    return b"consentledger/page/v1" + LEDGER + position(path)


def leaf(records):
    out = b"\1" + struct.pack(">H", len(records))
    for key, due, task, val in records:
        out += bytes([len(key)]) + key + struct.pack(">qq", due, task) + struct.pack(">I", len(val)) + val
    return out


def branch(prefix, kids):
    used = sum(1 << n for n in kids)
    out = b"\2" + bytes([len(prefix)]) + bytes(prefix) + struct.pack(">H", used)
    for n in sorted(kids):
        key, due, task = kids[n]
        out += key + struct.pack(">qq", due, task)
    return out


def seal_page(key, path, plain):
    return AESGCM(key).encrypt(bytes(12), plain, aad(path))


def seal_top(root, salt, next_slot, plain):
    key = hmac.new(root, b"consentledger/top/v1" + salt, hashlib.sha256).digest()
    return salt + seal_page(key, [], struct.pack(">Q", next_slot) + plain)


def build(records, path, rand, pages):
    """The page at path that holds some sorted records; appends the pages below it, sealed."""
    due, task = earliest(r[1] for r in records), earliest(r[2] for r in records)
    if len(records) == 1 or len(leaf(records)) <= LEAF_LIMIT:
        return leaf(records), due, task, "leaf"
    first, last = nibbles(records[0][0]), nibbles(records[-1][0])
    end = len(path)
    while first[end] == last[end]:
        end += 1
    prefix, kids = first[len(path):end], {}
    for n in range(16):
        mine = [r for r in records if nibbles(r[0])[end] == n]
        if not mine:
            continue
        child = path + prefix + [n]
        plain, child_due, child_task, kind = build(mine, child, rand, pages)
        key = next(rand)  # a page's key is drawn after those of the pages below it
        kids[n] = (key, child_due, child_task)
        sealed = seal_page(key, child, plain)
        pages.append({"kind": kind, "path": bytes(child).hex(), "position": position(child).hex(),
                      "key": key.hex(), "plain": plain.hex(), "sealed": sealed.hex()})
    return branch(prefix, kids), due, task, "branch"


# What is written

def member(i):
    keys = [{"class": "haim/membership", "reference": "", "key": named(f"key {i} membership").hex(),
             "due": 0, "not_before": 1 if i == 4 else 0, "ratchet": False, "tag_key": "", "day": 0},
            {"class": "haim/access", "reference": "", "key": named(f"key {i} access").hex(), "due": 1800000000 + i,
             "not_before": 1900000000 if i % 4 == 1 else 0, "ratchet": True, "tag_key": named(f"key {i} access tags").hex(), "day": 20000 + i}]
    if i % 2:
        keys.append({"class": "haim/shipping", "reference": f"order-{i}", "key": named(f"key {i} shipping").hex(),
                     "due": 1700000000 + i, "not_before": 1800000000 if i == 5 else 1600000000 if i == 7 else 0, "ratchet": False, "tag_key": "", "day": 0})
    return {"nonce": int.from_bytes(named(f"nonce {i}")[:8], "big"), "path": named(f"path {i}")[:16].hex(),
            "kind": "standard" if i % 3 else "clinic", "ended": i == 5,
            "wake": [0, 0, 1650000000 + i, 2100000000][i % 4], "task": [0, 1750000000 + i, -i][i % 3], "keys": keys}


systems = {name: named(f"system {name}").hex() for name in ("path", "ref", "destructions", "sixteen-bytes-16")}
slots = [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 65536, 2**63]
members = [{"slot": s, "record": member(i)} for i, s in enumerate(slots)]
ids = [{"path": m["record"]["path"], "slot": m["slot"], "kept": [7, 2**40] if m["slot"] == 3 else []} for m in members]
ids.append({"path": "00" * 16, "slot": 0, "kept": [5]})

records = [(system_key(n), 0, 0, bytes.fromhex(k)) for n, k in systems.items()]
records += [(b"\1" + bytes.fromhex(r["path"]), 0, 0, id_record(r["slot"], r["kept"])) for r in ids]
records += [(b"\2" + struct.pack(">Q", m["slot"]), member_due(m["record"]), m["record"]["task"], member_record(m["record"])) for m in members]
records.sort()

for r in ids:
    r["encoded"] = id_record(r["slot"], r["kept"]).hex()
for m in members:
    m["encoded"], m["due"] = member_record(m["record"]).hex(), member_due(m["record"])

root, rand, pages = named("root"), stream("keyring vectors"), []
plain, _, _, kind = build(records, [], rand, pages)
sealed = seal_top(root, next(rand), 2**63 + 1, plain)
pages.append({"kind": "top " + kind, "path": "", "position": position([]).hex(), "key": "",
              "plain": plain.hex(), "sealed": sealed.hex()})
assert {p["kind"] for p in pages} == {"leaf", "branch", "top branch"}

# A keyring so small that its top page is a leaf.
small_records = [r for r in records if r[0][0] == 0]
small_rand = stream("small keyring vectors")
small_plain, _, _, small_kind = build(small_records, [], small_rand, [])
assert small_kind == "leaf"
small_top = seal_top(root, next(small_rand), 1, small_plain)

print(json.dumps({
    "ledger": LEDGER.hex(), "root": root.hex(), "next_slot": 2**63 + 1,
    "systems": systems, "members": members, "ids": ids,
    "stream": "keyring vectors", "pages": pages, "top_hash": hashlib.sha256(sealed).hexdigest(),
    "small": {"stream": "small keyring vectors", "plain": small_plain.hex(), "sealed": small_top.hex()},
}, indent=1, sort_keys=True))
