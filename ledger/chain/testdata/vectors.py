#!/usr/bin/env python3
"""Test vectors for ledger/FORMAT.md, made without any code of this project.

Written from the format page alone, with hashlib, hmac and the cryptography
package (AES-GCM, Ed25519). Run it to make vectors.json again:

    python3 vectors.py > vectors.json
"""

import base64
import hashlib
import hmac
import json
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ORIGIN = b"ledger.example/consent"


def sha(b):
    return hashlib.sha256(b).digest()


def mac(key, msg):
    return hmac.new(key, msg, hashlib.sha256).digest()


# RFC 5869
def extract(salt, ikm):
    return mac(salt if salt else bytes(32), ikm)


def expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = mac(prk, block + info + bytes([counter]))
        out += block
        counter += 1
    return out[:length]


# Padding

def padme(n):
    e = n.bit_length() - 1
    s = e.bit_length()
    step = 2 ** (e - s)
    return -(-n // step) * step


def padded_size(n):
    for bucket in (256, 512, 1024, 2048, 4096):
        if n <= bucket:
            return bucket
    return padme(n)


def pad(body):
    plain = struct.pack(">I", len(body)) + body
    return plain + bytes(padded_size(len(plain)) - len(plain))


# Sealing

def tag_key(key):
    return expand(extract(b"", key), b"consentledger/tag/v1", 32)


def tag_of(key, i):
    return mac(tag_key(key), struct.pack(">Q", i))[:16]


def seal(key, salt, nonce, i, body):
    prk = extract(salt, key)
    okm = expand(prk, b"consentledger/entry/v1" + ORIGIN, 64)
    k_e, commitment = okm[:32], okm[32:]
    tag = tag_of(key, i)
    aad = bytes([1]) + tag + salt + commitment
    plain = pad(body)
    sealed = tag + salt + commitment + nonce + AESGCM(k_e).encrypt(nonce, plain, aad)
    return {
        "key": key.hex(),
        "counter": i,
        "salt": salt.hex(),
        "nonce": nonce.hex(),
        "body": body.hex(),
        "prk": prk.hex(),
        "k_e": k_e.hex(),
        "commitment": commitment.hex(),
        "k_tag": tag_key(key).hex(),
        "tag": tag.hex(),
        "aad": aad.hex(),
        "plaintext_sha256": sha(plain).hex(),
        "sealed": sealed.hex(),
    }


def entry(recorded_at, prev, sealed):
    return bytes([1]) + struct.pack(">q", recorded_at) + prev + sealed


# RFC 6962, by its recursive definition

def leaf_hash(e):
    return sha(b"\x00" + e)


def node_hash(a, b):
    return sha(b"\x01" + a + b)


def root_of(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(root_of(leaves[:k]), root_of(leaves[k:]))


def inclusion(m, leaves):
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return inclusion(m, leaves[:k]) + [root_of(leaves[k:])]
    return inclusion(m - k, leaves[k:]) + [root_of(leaves[:k])]


def tiles(leaves):
    """All tiles of a tree, by path."""
    out = {}
    row, level = leaves, 0
    while row:
        for n in range(0, len(row), 256):
            part = row[n:n + 256]
            out[tile_path(level, n // 256, len(part))] = b"".join(part)
        full = len(row) // 256
        row = [root_of(row[i * 256:(i + 1) * 256]) for i in range(full)]
        level += 1
    return out


def number(n, width):
    groups = ["%03d" % (n % 1000)]
    while n >= 1000:
        n //= 1000
        groups.insert(0, "x%03d" % (n % 1000))
    return "/".join(groups) + (".p/%d" % width if width < 256 else "")


def tile_path(level, n, width):
    return "tile/%d/%s" % (level, number(n, width))


def bundle(entries):
    return b"".join(struct.pack(">H", len(e)) + e for e in entries)


# Notes

def b64(b):
    return base64.b64encode(b).decode()


def verifier_key(name, pub):
    key = b"\x01" + pub
    return sha(name + b"\n" + key)[:4], "%s+%s+%s" % (name.decode(), sha(name + b"\n" + key)[:4].hex(), b64(key))


def checkpoint(seed, size, root):
    sk = Ed25519PrivateKey.from_private_bytes(seed)
    key_id, vkey = verifier_key(ORIGIN, sk.public_key().public_bytes_raw())
    text = "%s\n%d\n%s\n" % (ORIGIN.decode(), size, b64(root))
    sig = sk.sign(text.encode())
    return vkey, text + "\n\u2014 %s %s\n" % (ORIGIN.decode(), b64(key_id + sig))


def main():
    v = {"origin": ORIGIN.decode()}

    sizes = [0, 1, 252, 253, 256, 257, 512, 513, 1024, 1025, 2048, 2049, 4096, 4097, 4352, 4353,
             8192, 8193, 8704, 8705, 16384, 16385, 17408, 17409, 32768, 32769, 34816, 34817, 61441, 63488]
    v["padded_sizes"] = [[n, padded_size(n)] for n in sizes]
    v["entry_sizes"] = sorted({149 + padded_size(n) for n in range(1, 65386 + 1) if 149 + padded_size(n) <= 65535})

    key_a, key_b = bytes([0x11]) * 32, bytes(range(32))
    bodies = [
        seal(key_a, bytes([0x21]) * 32, bytes([0x31]) * 12, 0, b"first"),
        seal(key_b, bytes([0x22]) * 32, bytes([0x32]) * 12, 0, b""),
        seal(key_a, bytes([0x23]) * 32, bytes([0x33]) * 12, 1, bytes(253)),
    ]
    v["sealed"] = bodies
    prev, v["entries"], leaves = bytes(32), [], []
    for at, s in zip((1735689600000, 1735689600000, 1735689600001), bodies):
        e = entry(at, prev, bytes.fromhex(s["sealed"]))
        prev = leaf_hash(e)
        leaves.append(prev)
        v["entries"].append({"recorded_at_unix_ms": at, "entry": e.hex(), "leaf_hash": prev.hex()})
    v["entries_root"] = root_of(leaves).hex()
    v["entries_vkey"], v["entries_checkpoint"] = checkpoint(bytes([1]) * 32, 3, root_of(leaves))

    # HKDF-Expand alone: the key of a day is uniform, RFC 5869 section 3.3.
    day = bytes([0x44]) * 32
    v["ratchet"] = [day.hex()]
    for _ in range(3):
        day = expand(day, b"consentledger/ratchet/v1", 32)
        v["ratchet"].append(day.hex())

    opaque = [leaf_hash(b"opaque-ciphertext-%d" % i) for i in range(70000)]
    v["roots"] = {str(n): root_of(opaque[:n]).hex() for n in (0, 1, 2, 3, 255, 256, 257, 300, 65535, 65536, 65537, 70000)}
    v["tiles_300"] = {p: {"size": len(b), "sha256": sha(b).hex()} for p, b in tiles(opaque[:300]).items()}
    v["tiles_70000_sha256"] = {p: sha(b).hex() for p, b in tiles(opaque).items() if not p.startswith("tile/0/") or ".p" in p}
    texts = [b"opaque-ciphertext-%d" % i for i in range(300)]
    v["bundles_300"] = {
        "tile/entries/" + number(n, len(part)): {"size": len(bundle(part)), "sha256": sha(bundle(part)).hex(), "begins": bundle(part)[:7].hex()}
        for n, part in ((0, texts[:256]), (1, texts[256:]))
    }
    v["vkey"], v["checkpoint_300"] = checkpoint(bytes([1]) * 32, 300, root_of(opaque[:300]))
    _, v["checkpoint_0"] = checkpoint(bytes([1]) * 32, 0, root_of([]))
    v["inclusion_299_of_300"] = [h.hex() for h in inclusion(299, opaque[:300])]
    v["paths"] = [[lvl, n, w, tile_path(lvl, n, w)] for lvl, n, w in (
        (0, 0, 256), (0, 1, 44), (1, 0, 1), (2, 999, 255), (3, 1000, 256), (0, 1234067, 256), (0, 1234067, 8), (63, 1000000, 1), (0, 999999999, 256))]

    json.dump(v, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
