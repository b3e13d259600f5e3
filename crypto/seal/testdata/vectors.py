#!/usr/bin/env python3
"""Writes vectors.json: what package seal must produce and must refuse.

It shares no code with the package: HMAC and SHA-256 come from hashlib, AES from
OpenSSL by way of the "cryptography" package (pip install cryptography), HKDF,
padding, record layout and GHASH are written out below from RFC 5869, the PURBs
paper and NIST SP 800-38D.

    python3 vectors.py > vectors.json

The output is always the same.
"""
import hashlib, hmac, json, struct, sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ORIGIN = "ledger.example/consent"
VERSION = 1


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand(prk, info, n):
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = mac(prk, t, info, bytes([i]))
        out, i = out + t, i + 1
    return out[:n]


def hkdf(salt, ikm, info, n):
    return expand(mac(salt or bytes(32), ikm), info, n)


def stream(label, n):
    """n bytes that look random: SHA-256(label | u32 0), SHA-256(label | u32 1) ...

    The body of a record that gives its randomness is stream(name, body_size).
    """
    out, i = b"", 0
    while len(out) < n:
        out += hashlib.sha256(label.encode() + struct.pack(">I", i)).digest()
        i += 1
    return out[:n]


def floor_log2(n):
    e = 0
    while 2 ** (e + 1) <= n:
        e += 1
    return e


def padded_size(n):
    n += 4
    for bucket in (256, 512, 1024, 2048, 4096):
        if n <= bucket:
            return bucket
    e = floor_log2(n)
    step = 2 ** (e - (floor_log2(e) + 1))
    return -(-n // step) * step


def pad(body, size=None):
    size = padded_size(len(body)) if size is None else size
    return struct.pack(">I", len(body)) + body + bytes(size - 4 - len(body))


def keys(key, salt, origin):
    prk = mac(salt, key)
    okm = expand(prk, b"consentledger/entry/v1" + origin.encode(), 64)
    return prk, okm[:32], okm[32:]


def seal(key, randomness, tag, plaintext, origin=ORIGIN, version=VERSION):
    salt, nonce = randomness[:32], randomness[32:]
    _, k_e, c_e = keys(key, salt, origin)
    aad = bytes([version]) + tag + salt + c_e
    return tag + salt + c_e + nonce + AESGCM(k_e).encrypt(nonce, plaintext, aad)


# GF(2^128) as GHASH has it: bit 0 is the most significant, x^128 + x^7 + x^2 + x + 1.
def gf_mul(x, y):
    z = 0
    for i in range(127, -1, -1):
        if (x >> i) & 1:
            z ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return z


def gf_pow(x, n):
    r = 1 << 127
    while n:
        if n & 1:
            r = gf_mul(r, x)
        x, n = gf_mul(x, x), n >> 1
    return r


def blocks(b):
    b += bytes(-len(b) % 16)
    return [int.from_bytes(b[i : i + 16], "big") for i in range(0, len(b), 16)]


def aes(key, block):
    e = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return int.from_bytes(e.update(block) + e.finalize(), "big")


def two_faced(key, other, randomness, tag, plaintext, free):
    """A record under key whose GCM tag also holds under other: GCM does not commit.

    Block number `free` of the ciphertext is solved for (Grubbs et al., CRYPTO
    2017), so that block of the plaintext comes out at random.
    """
    salt, nonce = randomness[:32], randomness[32:]
    (_, k1, c_e), (_, k2, _) = keys(key, salt, ORIGIN), keys(other, salt, ORIGIN)
    aad = bytes([VERSION]) + tag + salt + c_e
    ciphertext = bytearray(AESGCM(k1).encrypt(nonce, plaintext, aad)[:-16])
    ciphertext[16 * free : 16 * free + 16] = bytes(16)
    lengths = struct.pack(">QQ", 8 * len(aad), 8 * len(ciphertext))
    seq = blocks(aad) + blocks(bytes(ciphertext)) + blocks(lengths)
    power = len(seq) - len(blocks(aad)) - free
    total, coefficient, tags = 0, 0, []
    for k in (k1, k2):
        h = aes(k, bytes(16))
        ghash = 0
        for b in seq:
            ghash = gf_mul(ghash ^ b, h)
        mask = aes(k, nonce + b"\0\0\0\1")
        total ^= ghash ^ mask
        coefficient ^= gf_pow(h, power)
        tags.append((ghash ^ mask, gf_pow(h, power)))
    x = gf_mul(total, gf_pow(coefficient, 2**128 - 2))
    ciphertext[16 * free : 16 * free + 16] = x.to_bytes(16, "big")
    gcm_tag = (tags[0][0] ^ gf_mul(x, tags[0][1])).to_bytes(16, "big")
    sealed = tag + salt + c_e + nonce + bytes(ciphertext) + gcm_tag
    body = AESGCM(k1).decrypt(nonce, bytes(ciphertext) + gcm_tag, aad)
    AESGCM(k2).decrypt(nonce, bytes(ciphertext) + gcm_tag, aad)  # raises if it did not work
    return sealed, body


def flip(b, i):
    return b[:i] + bytes([b[i] ^ 0x01]) + b[i + 1 :]


KEY = stream("key", 32)
OTHER = stream("other key", 32)
records = []


def record(name, outcome, sealed, body=None, key=KEY, origin=ORIGIN, version=VERSION, randomness=None, tag=None):
    v = {"name": name, "outcome": outcome, "origin": origin, "version": version, "key": key.hex()}
    if body is not None:
        v["body_size"] = len(body)
        v["body_sha256"] = hashlib.sha256(body).hexdigest()
    if randomness is not None:
        v |= {"randomness": randomness.hex(), "tag": tag.hex()}
        v["prk"] = keys(key, randomness[:32], origin)[0].hex()
    v["sealed_sha256"] = hashlib.sha256(sealed).hexdigest()
    if randomness is None or len(sealed) <= 1200:  # the others can be made again from what is here
        v["sealed"] = sealed.hex()
    records.append(v)


for n in (0, 1, 248, 252, 253, 508, 509, 1021, 4092, 4093, 4348, 4349, 8188, 8189, 60000, 63484):
    name = f"body of {n} bytes"
    body, randomness, tag = stream(name, n), stream(name + " randomness", 44), stream(name + " tag", 16)
    record(name, "ok", seal(KEY, randomness, tag, pad(body)), body, randomness=randomness, tag=tag)
for origin in ("", "x", "a" * 200 + ".example"):
    name = f"origin of {len(origin)} bytes"
    body, randomness, tag = stream(name, 100), stream(name + " randomness", 44), stream(name + " tag", 16)
    record(name, "ok", seal(KEY, randomness, tag, pad(body), origin), body, origin=origin, randomness=randomness, tag=tag)

body, randomness, tag = stream("body", 100), stream("randomness", 44), stream("tag", 16)
good = seal(KEY, randomness, tag, pad(body))
record("another key", "wrong key", good, key=OTHER)
record("another origin", "wrong key", good, origin="ledger.example/other")
record("a longer origin", "wrong key", good, origin=ORIGIN + "2")
record("salt flipped", "wrong key", flip(good, 16))
record("commitment flipped", "wrong key", flip(good, 48))
record("another version", "altered", good, version=2)
record("tag flipped", "altered", flip(good, 0))
record("nonce flipped", "altered", flip(good, 80))
record("ciphertext flipped", "altered", flip(good, 92))
record("gcm tag flipped", "altered", flip(good, len(good) - 1))
record("last byte missing", "altered", good[:-1])
record("one byte too many", "altered", good + b"\0")
record("no byte at all", "altered", b"")
record("nothing but overhead", "altered", seal(KEY, randomness, tag, b""))
record("zero salt", "altered", seal(KEY, bytes(32) + randomness[32:], tag, pad(body)))


def padding(name, plaintext):
    record(name, "padding", seal(KEY, randomness, tag, plaintext))


padding("next bucket", pad(body, 512))
padding("two buckets up", pad(body, 1024))
padding("next PADMÉ length", pad(stream("padme", 4093), 4608))
padding("no bucket", pad(body, 257))
padding("smallest size without padding", pad(stream("exact", 300), 304))
padding("first pad byte set", flip(pad(body), 104))
padding("last pad byte set", flip(pad(body), 255))
padding("length one short", struct.pack(">I", 99) + pad(body)[4:])
padding("length beyond the plaintext", struct.pack(">I", 253) + pad(body)[4:])
padding("largest length", struct.pack(">I", 0xFFFFFFFF) + pad(body)[4:])
padding("length with the sign bit", struct.pack(">I", 0x80000000) + pad(body)[4:])

sealed, plaintext = two_faced(KEY, OTHER, randomness, tag, pad(body), 2)
face = plaintext[4 : 4 + len(body)]
assert plaintext == pad(face) and face != body
record("two-faced record, its own key", "ok", sealed, face)
record("two-faced record, the other key", "wrong key", sealed, key=OTHER)

k, ratchet = KEY, []
for _ in range(4):
    k = expand(k, b"consentledger/ratchet/v1", 32)
    ratchet.append(k.hex())
k_tag = hkdf(b"", KEY, b"consentledger/tag/v1", 32)
json.dump(
    {
        "records": records,
        "key": KEY.hex(),
        "derive": {info: hkdf(b"", KEY, info.encode(), 32).hex() for info in ("", "consentledger/tag/v1", "x" * 300)},
        "ratchet": ratchet,
        "mac": {text: mac(KEY, text.encode()).hex() for text in ("", "member", "m" * 200)},
        "tags": {str(i): mac(k_tag, struct.pack(">Q", i))[:16].hex() for i in (0, 1, 2, 255, 256, 2**32, 2**64 - 1)},
        "padded_sizes": {str(n): padded_size(n) for n in (0, 252, 253, 508, 509, 1020, 1021, 2044, 2045, 4092, 4093, 4348, 4349, 8188, 8189, 8700, 8701, 16380, 16381, 32764, 32765, 60000, 63484)},
    },
    sys.stdout,
    indent=1,
    ensure_ascii=False,
)
print()
