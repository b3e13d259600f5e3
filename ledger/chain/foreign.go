package chain

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseForeignText parses the body of any log's checkpoint as C2SP
// tlog-checkpoint v1.0.0 has it: unlike our own, it may have extension lines,
// and an origin with spaces or a plus sign. A witness reads other people's
// logs by it. Every error wraps ErrCheckpoint.
func ParseForeignText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return Checkpoint{}, fmt.Errorf("%w: it must have a line each for origin, size and root hash", ErrCheckpoint)
	}
	origin := lines[0]
	if origin == "" || len(origin) > maxOriginBytes || !utf8.ValidString(origin) {
		return Checkpoint{}, fmt.Errorf("%w: line 1 is no origin of 1 to %d bytes", ErrCheckpoint, maxOriginBytes)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: line 2 is not a size in decimal digits", ErrCheckpoint)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != HashSize || base64.StdEncoding.EncodeToString(root) != lines[2] {
		return Checkpoint{}, fmt.Errorf("%w: line 3 is not the base64 of a root hash", ErrCheckpoint)
	}
	for i, l := range lines[3 : len(lines)-1] {
		if l == "" {
			return Checkpoint{}, fmt.Errorf("%w: line %d is empty; extension lines are not", ErrCheckpoint, 4+i)
		}
	}
	return Checkpoint{Origin: origin, Size: size, Root: Hash(root)}, nil
}
