"""Makes the certificates of destruction of this folder from ledger/FORMAT.md, without any of the Go code.

    python3 certificates.py DIRECTORY

writes certificates.json and the files that it names. It needs the package cryptography.
Each bad certificate but the first few is signed by the ledger's own key, as a ledger could that lies.
"""

import json
import pathlib
import sys

import vectors as r

chain, cbor, signed, ORIGIN = r.chain, r.cbor, r.signed, r.ORIGIN

STILL_SHOWN = (
    "order, times and sizes: that entries were there, when each was recorded, and how large it is to the next step of padding; "
    "not whose they are, nor which of them belong together")
ROOT_COPIES = (
    "unknown: copies of the root key file, of its disk or of the machine's memory that somebody made; "
    "whoever has one that is older than this destruction, and an image of the database of then, can undo it")

TOPIC_KEY = bytes([0x51]) * 32  # seals the entries of every destruction
TIMES = [1735689600000, 1735689700000, 1735689700000, 1735689800123]
OPENINGS = [bytes([0x61 + i]) * 32 for i in range(4)]
SUBJECTS = ["kim@shop.example", "이영희", "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa", None]
BODIES = [
    {1: "destruction", 2: "withdrawal", 3: 3, 4: 7, 5: 4, 6: 5},
    {1: "destruction", 2: "purpose_withdrawal", 3: 1, 4: 1, 5: 5, 6: 6},
    {1: "destruction", 2: "expiry", 3: 1, 4: 300, 5: 5, 6: 6},
    {1: "destruction", 2: "answers", 3: 1, 4: 0, 5: 6, 6: 7},
]
KEPT = [
    [{"class": "purchase", "until": "2030-01-01T15:00:00Z", "basis": "E-Commerce Act <b>&"}, {"class": "shipping", "until": None, "event": "delivery", "basis": ""}],
    [], [], [],
]


def commitment(opening, subject):
    return chain.sha(opening + subject.encode())


def log(bodies=BODIES):
    prev, entries, prks = bytes(32), [], []
    for i, body in enumerate(bodies):
        body = dict(body)
        if SUBJECTS[i] and 7 not in body:
            body[7] = commitment(OPENINGS[i], SUBJECTS[i])
        s = chain.seal(TOPIC_KEY, bytes([0x71 + i]) * 32, bytes([0x81 + i]) * 12, i, cbor(body))
        e = chain.entry(TIMES[i], prev, bytes.fromhex(s["sealed"]))
        prev = chain.leaf_hash(e)
        entries.append(e)
        prks.append(bytes.fromhex(s["prk"]))
    return entries, prks


def certificate(i, entries, prks, note=None, **change):
    leaves = [chain.leaf_hash(e) for e in entries]
    note = note or r.checkpoint(len(leaves), chain.root_of(leaves))
    b = BODIES[i]
    c = {
        "origin": ORIGIN, "index": i, "leaf_hash": leaves[i].hex(), "recorded_at": r.rfc3339(TIMES[i]),
        "cause": b[2], "destroyed": {"keys": b[3], "entries": b[4]}, "generations": {"from": b[5], "to": b[6]},
        "status": "final", "issued_at": "2025-01-01T00:05:00Z", "grade": "clear",
        "still_shown": STILL_SHOWN, "custodies": [ROOT_COPIES], "kept": KEPT[i],
        "of": "member" if i == 2 else "member_id", "opening": chain.b64(OPENINGS[i]),
        "entry": chain.b64(entries[i]), "prk": chain.b64(prks[i]), "proof": r.proof(i, leaves, note),
    }
    c.update(change)
    return c


def written(c, line="consentledger/certificate/v1", **how):
    # Empty lists are written as Go writes them, and as Python does: [].
    return r.written(c, line=line, **how)


def main(out):
    entries, prks = log()
    leaves = [chain.leaf_hash(e) for e in entries]
    root = chain.root_of(leaves)
    v = {
        "key": r.vkey(ORIGIN, r.SEED, 1), "witness": r.vkey(r.WITNESS, r.WITNESS_SEED, 4), "other_key": r.vkey(ORIGIN, r.OTHER_SEED, 1),
        "seed": r.SEED.hex(), "files": [],
    }

    def put(name, expected, text, key="key", witness=False, subject=None):
        name = "certificate-" + name
        (out / (name + ".txt")).write_bytes(text.encode())
        v["files"].append({"name": name, "error": expected, "key": key, "witness": witness, "subject": subject})

    def good(i, **change):
        return written(certificate(i, entries, prks, **change))

    for i in range(3):
        put("good-%d" % i, "", signed(good(i)), witness=True, subject=SUBJECTS[i])
    put("good-provisional", "", signed(good(0, status="provisional", note=r.checkpoint(4, root, cosign=False))), subject=SUBJECTS[0])
    put("good-nobody-named", "", signed(good(1)))

    # Whose it is.
    put("bad-other-member", "other_member", signed(good(0)), subject=SUBJECTS[1])
    put("bad-no-member", "other_member", signed(good(0)), subject="")
    put("bad-member-with-a-space", "other_member", signed(good(0)), subject=SUBJECTS[0] + " ")
    put("bad-ref-for-id", "other_member", signed(good(0)), subject=SUBJECTS[2])
    put("bad-opening-of-another", "other_member", signed(good(0, opening=chain.b64(OPENINGS[1]))), subject=SUBJECTS[0])

    # The signature and the form.
    first = signed(good(0))
    put("bad-signed-by-another-key", "signature", first, key="other_key")
    put("bad-signature-of-another-text", "signature", first.replace("00:05:00Z", "00:06:00Z"))
    put("bad-two-signatures", "file", first + r.signature(ORIGIN, r.SEED, good(0)))
    put("bad-first-line", "file", signed(written(certificate(0, entries, prks), line="consentledger/receipt/v1")))
    put("bad-checkpoint", "file", r.checkpoint(4, root, cosign=False))
    put("bad-indent", "file", signed(written(certificate(0, entries, prks), indent=1)))
    put("bad-unknown-field", "file", signed(good(0, remark="x")))
    put("bad-trailing", "file", signed(good(0) + "{}\n"))
    put("bad-base64", "file", signed(good(0, opening=chain.b64(OPENINGS[0])[:-2] + "R=")))
    put("bad-status", "file", signed(good(0, status="done")))
    put("bad-grade-missing", "file", signed(good(0, grade="")))
    put("bad-still-shown", "file", signed(good(0, still_shown="nothing")))
    put("bad-custodies-none", "file", signed(good(0, custodies=[])))
    put("bad-custodies-promised", "file", signed(good(0, custodies=["none"])))
    put("bad-kept-null", "file", signed(good(1, kept=None)))
    put("bad-of", "file", signed(good(0, of="nobody")))
    put("bad-opening-short", "file", signed(good(0, opening=chain.b64(OPENINGS[0][:31]))))

    # The log.
    put("bad-origin", "other_ledger", signed(good(0, origin="other.example/consent")))
    put("bad-entry-of-another-index", "entry", signed(good(0, entry=chain.b64(entries[1]))))
    put("bad-entry-cut", "entry", signed(good(0, entry=chain.b64(entries[0][:-1]))))
    put("bad-leaf-hash", "entry", signed(good(0, leaf_hash=leaves[1].hex())))
    put("bad-recorded-at", "entry", signed(good(0, recorded_at=r.rfc3339(TIMES[0] + 1))))
    put("bad-index", "proof", signed(good(0, index=1)))
    put("bad-proof-of-another-entry", "proof", signed(good(0, proof=r.proof(1, leaves, r.checkpoint(4, root)))))
    put("bad-root", "proof", signed(good(0, note=r.checkpoint(4, leaves[0]))))
    put("bad-checkpoint-key", "proof", signed(good(0, note=r.checkpoint(4, root, seed=r.OTHER_SEED))))
    put("bad-no-witness", "cosignature", signed(good(1, note=r.checkpoint(4, root, cosign=False))), witness=True)
    put("bad-prk-of-another-entry", "prk", signed(good(0, prk=chain.b64(prks[1]))))
    put("bad-key-for-prk", "prk", signed(good(0, prk=chain.b64(TOPIC_KEY))))

    # What the entry says.
    put("bad-cause", "content", signed(good(0, cause="expiry")))
    put("bad-keys", "content", signed(good(0, destroyed={"keys": 4, "entries": 7})))
    put("bad-entries", "content", signed(good(0, destroyed={"keys": 3, "entries": 8})))
    put("bad-generation-before", "content", signed(good(0, generations={"from": 3, "to": 5})))
    put("bad-generation-after", "content", signed(good(0, generations={"from": 4, "to": 6})))
    put("bad-of-nobody", "content", signed(good(3)))
    strange = r.log()  # a member's entry, where a destruction's should be
    leaves0 = [chain.leaf_hash(e) for e in strange[0]]
    put("bad-body", "content", signed(good(
        0, recorded_at=r.rfc3339(r.TIMES[0]), leaf_hash=leaves0[0].hex(), entry=chain.b64(strange[0][0]), prk=chain.b64(strange[1][0]),
        proof=r.proof(0, leaves0, r.checkpoint(4, chain.root_of(leaves0))))))
    short = log([dict(BODIES[0], **{}) | {7: bytes(31)}] + BODIES[1:])
    put("bad-commitment-short", "content", signed(written(certificate(0, *short))))

    (out / "certificates.json").write_text(json.dumps(v, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent))
