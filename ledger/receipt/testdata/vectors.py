"""Makes the receipts of this folder from ledger/FORMAT.md, without any of the Go code.

    python3 vectors.py DIRECTORY

writes vectors.json and the files that it names. It needs the package cryptography.
Each bad receipt but the first few is signed by the ledger's own key, as a ledger could that lies.
"""

import datetime
import importlib.util
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

here = pathlib.Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("chain", here / "../../chain/testdata/vectors.py")
chain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chain)

ORIGIN = chain.ORIGIN.decode()
SEED, OTHER_SEED, WITNESS_SEED = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
WITNESS = "witness.example/w1"
COSIGNED_AT = 1735689660


# CBOR, core deterministic encoding (RFC 8949, 4.2.1)

def head(major, n):
    for size, info, form in ((24, None, None), (1 << 8, 24, ">B"), (1 << 16, 25, ">H"), (1 << 32, 26, ">I"), (1 << 64, 27, ">Q")):
        if n < size:
            return bytes([major << 5 | n]) if info is None else bytes([major << 5 | info]) + struct.pack(form, n)


def cbor(v):
    if v is True or v is False:
        return bytes([0xf5 if v else 0xf4])
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(cbor(x) for x in v)
    return head(5, len(v)) + b"".join(cbor(k) + cbor(v[k]) for k in sorted(v, key=cbor))


# Notes

def key_id(name, typed):
    return chain.sha(name.encode() + b"\n" + typed)[:4]


def vkey(name, seed, kind):
    typed = bytes([kind]) + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return "%s+%s+%s" % (name, key_id(name, typed).hex(), chain.b64(typed))


def signature(name, seed, text):
    sk = Ed25519PrivateKey.from_private_bytes(seed)
    kid = key_id(name, b"\x01" + sk.public_key().public_bytes_raw())
    return "\u2014 %s %s\n" % (name, chain.b64(kid + sk.sign(text.encode())))


def cosignature(text):
    sk = Ed25519PrivateKey.from_private_bytes(WITNESS_SEED)
    kid = key_id(WITNESS, b"\x04" + sk.public_key().public_bytes_raw())
    signed = "cosignature/v1\ntime %d\n%s" % (COSIGNED_AT, text)
    return "\u2014 %s %s\n" % (WITNESS, chain.b64(kid + struct.pack(">Q", COSIGNED_AT) + sk.sign(signed.encode())))


def checkpoint(size, root, seed=SEED, cosign=True):
    text = "%s\n%d\n%s\n" % (ORIGIN, size, chain.b64(root))
    return text + "\n" + signature(ORIGIN, seed, text) + (cosignature(text) if cosign else "")


def proof(index, leaves, note):
    return "c2sp.org/tlog-proof@v1\nindex %d\n%s\n%s" % (index, "".join(chain.b64(h) + "\n" for h in chain.inclusion(index, leaves)), note)


def rfc3339(ms):
    t = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return t + (".%03d" % (ms % 1000)).rstrip("0") * (ms % 1000 > 0) + "Z"


def written(receipt, line="consentledger/receipt/v1", **how):
    return line + "\n" + json.dumps(receipt, indent=how.get("indent", 2), ensure_ascii=False) + "\n"


def signed(text, seed=SEED, name=ORIGIN):
    return text + "\n" + signature(name, seed, text)


# The log: a consent, a withdrawal, a disclosure of the same member, a hold.

TIMES = [1735689600000, 1735689600500, 1735776000001, 1735776000001]
EVENTS = [
    {1: 1, 2: "shop", 3: "2025-01-01", 4: "member", 5: 1735689599000, 7: [
        {1: "membership", 2: True, 3: ["email", "name"]}, {1: "newsletter", 3: ["email"]}],
     8: "button", 9: "ko", 10: bytes([0xab]) * 32, 11: 2},
    {1: 2, 2: "shop", 3: "2025-01-01", 8: "전화 <b>&", 14: ["membership"], 15: ["name"]},
    {1: 6, 2: "shop", 3: "2025-01-01", 14: ["membership"], 15: ["email"], 21: "parcel-co", 22: "delivery", 23: "consent", 24: 0},
    {1: 11, 20: "a court's order", 33: 1767225600000, 38: "hld_x", 39: ["shop/membership"]},
]
VIEWS = [
    {"kind": "consent", "policy": "shop", "policy_version": "2025-01-01", "member_kind": "member", "occurred_at": "2024-12-31T23:59:59Z",
     "decisions": [{"purpose": "membership", "decision": "granted", "items": ["email", "name"]}, {"purpose": "newsletter", "decision": "refused", "items": ["email"]}],
     "method": "button", "locale": "ko", "shown_digest": "ab" * 32, "age": "minimum_age_confirmed"},
    {"kind": "withdrawal", "policy": "shop", "policy_version": "2025-01-01", "method": "전화 <b>&", "purposes": ["membership"], "items": ["name"]},
    {"kind": "disclosure", "policy": "shop", "policy_version": "2025-01-01", "purpose": "membership", "items": ["email"],
     "recipient": "parcel-co", "business": "delivery", "basis": "consent", "rests_on": 0, "form": "identified"},
    {"kind": "hold", "hold": "hld_x", "classes": ["membership"], "until": "2026-01-01T00:00:00Z", "ground": "a court's order"},
]
# Members A and B: the keys of two members are two.
KEYS = [bytes([0x11]) * 32, bytes([0x12]) * 32, bytes([0x11]) * 32, bytes([0x13]) * 32]
COUNTERS = [0, 0, 1, 0]
MEMBERS = ["mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "mbr_bbbbbbbbbbbbbbbbbbbbbbbbbb", "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "mbr_cccccccccccccccccccccccccc"]


def log():
    prev, entries, prks = bytes(32), [], []
    for i, event in enumerate(EVENTS):
        s = chain.seal(KEYS[i], bytes([0x21 + i]) * 32, bytes([0x31 + i]) * 12, COUNTERS[i], cbor(event))
        e = chain.entry(TIMES[i], prev, bytes.fromhex(s["sealed"]))
        prev = chain.leaf_hash(e)
        entries.append(e)
        prks.append(bytes.fromhex(s["prk"]))
    return entries, prks


def receipt(i, entries, prks, note=None, **change):
    leaves = [chain.leaf_hash(e) for e in entries]
    note = note or checkpoint(len(leaves), chain.root_of(leaves))
    r = {
        "origin": ORIGIN, "index": i, "leaf_hash": leaves[i].hex(), "recorded_at": rfc3339(TIMES[i]),
        "member": MEMBERS[i], "class": "membership", "issued_at": "2025-01-02T00:00:00Z", "event": VIEWS[i],
        "entry": chain.b64(entries[i]), "prk": chain.b64(prks[i]), "proof": proof(i, leaves, note),
    }
    if i == 0:
        r = dict(list(r.items())[:8] + [("record", {"@id": "urn:x", "n": [1, 2.5, "<&>"]})] + list(r.items())[8:])
    r.update(change)
    return r


def main(out):
    entries, prks = log()
    leaves = [chain.leaf_hash(e) for e in entries]
    root = chain.root_of(leaves)
    vectors = {
        "key": vkey(ORIGIN, SEED, 1), "witness": vkey(WITNESS, WITNESS_SEED, 4), "other_key": vkey(ORIGIN, OTHER_SEED, 1), "seed": SEED.hex(),
        "cosigned_at": rfc3339(COSIGNED_AT * 1000), "files": [],
    }

    def put(name, expected, text, key="key", witness=False):
        (out / (name + ".txt")).write_bytes(text.encode())
        vectors["files"].append({"name": name, "error": expected, "key": key, "witness": witness})

    def good(i, **change):
        return written(receipt(i, entries, prks, **change))

    for i in range(4):
        put("good-%d" % i, "", signed(good(i)), witness=True)
    put("good-uncosigned", "", signed(good(1, note=checkpoint(4, root, cosign=False))))

    first = signed(good(0))
    put("bad-signed-by-another-key", "signature", first, key="other_key")
    put("bad-signature-of-another-text", "signature", signed(good(0)).replace("2025-01-02T", "2025-01-03T"))
    put("bad-two-signatures", "file", first + signature(ORIGIN, SEED, good(0)))
    put("bad-no-witness", "cosignature", signed(good(1, note=checkpoint(4, root, cosign=False))), witness=True)
    put("bad-cosignature", "proof", signed(good(1, note=checkpoint(4, root, cosign=False) + cosignature("another text\n"))), witness=True)
    put("bad-first-line", "file", signed(written(receipt(0, entries, prks), line="consentledger/certificate/v1")))
    put("bad-checkpoint-as-receipt", "file", checkpoint(4, root, cosign=False))
    put("bad-indent", "file", signed(written(receipt(0, entries, prks), indent=1)))
    put("bad-record-order", "file", signed(good(0, record={"n": 1, "@id": "urn:x"})))
    put("bad-unknown-field", "file", signed(good(0, remark="x")))
    put("bad-trailing", "file", signed(good(0) + "{}\n"))
    put("bad-base64", "file", signed(good(0, prk=chain.b64(prks[0])[:-2] + "R=")))
    put("bad-origin", "other_ledger", signed(good(0, origin="other.example/consent")))
    put("bad-entry-of-another-index", "entry", signed(good(0, entry=chain.b64(entries[1]))))
    put("bad-entry-cut", "entry", signed(good(0, entry=chain.b64(entries[0][:-1]))))
    put("bad-leaf-hash", "entry", signed(good(0, leaf_hash=leaves[1].hex())))
    put("bad-recorded-at", "entry", signed(good(0, recorded_at=rfc3339(TIMES[0] + 1))))
    put("bad-index", "proof", signed(good(0, index=1)))
    put("bad-proof-of-another-entry", "proof", signed(good(0, proof=proof(1, leaves, checkpoint(4, root)))))
    put("bad-proof-index", "proof", signed(good(0, proof=proof(0, leaves, checkpoint(4, root)).replace("index 0", "index 1"))))
    put("bad-root", "proof", signed(good(0, note=checkpoint(4, leaves[0]))))
    put("bad-size", "proof", signed(good(0, note=checkpoint(2, root))))
    put("bad-checkpoint-key", "proof", signed(good(0, note=checkpoint(4, root, seed=OTHER_SEED))))
    put("bad-prk-of-another-entry", "prk", signed(good(0, prk=chain.b64(prks[2]))))
    put("bad-key-for-prk", "prk", signed(good(0, prk=chain.b64(KEYS[0]))))
    put("bad-prk-short", "prk", signed(good(0, prk=chain.b64(prks[0][:31]))))
    put("bad-event-of-another-entry", "content", signed(good(0, event=VIEWS[1])))
    put("bad-event-refused-as-granted", "content", signed(good(0).replace('"refused"', '"granted"')))
    put("bad-event-left-out", "content", signed(good(0, event={"kind": "consent"})))

    # An entry that was altered, under a checkpoint that has the altered one: its seal does not hold.
    altered = bytearray(entries[0])
    altered[140] ^= 1
    others = [bytes(altered)] + entries[1:]
    put("bad-ciphertext", "prk", signed(written(receipt(0, others, prks))))
    # An entry of the ledger's own, which is no member's event.
    own = chain.seal(KEYS[0], bytes([0x29]) * 32, bytes([0x39]) * 12, 0, cbor({1: "destruction"}))
    strange = [chain.entry(TIMES[0], bytes(32), bytes.fromhex(own["sealed"]))] + entries[1:]
    put("bad-body", "content", signed(written(receipt(0, strange, [bytes.fromhex(own["prk"])] + prks[1:]))))

    (out / "vectors.json").write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else here))
