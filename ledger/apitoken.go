package ledger

import (
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// API tokens: cl_live_<id>_<secret><checksum>. The checksum lets a typing error be told from a
// revoked key, and lets a scanner for leaked secrets be sure of what it has found.
const (
	tokenPrefix   = "cl_live_"
	keyIDBytes    = 10
	secretBytes   = 32
	checksumChars = 7
)

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func checksum(s string) string {
	return tokenEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}

// parseToken splits a token into its id and secret.
func parseToken(token string) (id string, secret [secretBytes]byte, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return "", secret, false
	}
	id, tail, ok := strings.Cut(rest, "_")
	if !ok || len(tail) != tokenEncoding.EncodedLen(secretBytes)+checksumChars || len(id) != tokenEncoding.EncodedLen(keyIDBytes) {
		return "", secret, false
	}
	body, sum := token[:len(token)-checksumChars], token[len(token)-checksumChars:]
	if checksum(body) != sum {
		return "", secret, false
	}
	raw, err := tokenEncoding.DecodeString(tail[:len(tail)-checksumChars])
	// The last letter has four bits to spare, and line ends are passed over: one secret has one spelling.
	if err != nil || len(raw) != secretBytes || tokenEncoding.EncodeToString(raw) != tail[:len(tail)-checksumChars] {
		return "", secret, false
	}
	copy(secret[:], raw)
	return "key_" + id, secret, true
}
