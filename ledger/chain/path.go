package chain

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrPath is what the errors of ParseTilePath and ParseEntriesPath wrap: no
// log has such a file, so to serve it is to answer "not found".
var ErrPath = errors.New("not a path of a tile")

const (
	tilePrefix    = "tile/"
	entriesPrefix = "tile/entries/"
	maxLevel      = 63
)

// TilePath returns the path of a tile as C2SP tlog-tiles names it:
// "tile/0/x001/x234/067", with ".p/44" behind it if width is below 256.
// It panics unless level is 0–63 and width 1–256.
func TilePath(level int, n uint64, width int) string {
	if level < 0 || level > maxLevel {
		panic("chain: no such tile level")
	}
	return string(appendNumber(strconv.AppendInt([]byte(tilePrefix), int64(level), 10), n, width))
}

// EntriesPath returns the path of an entry bundle: "tile/entries/000", with
// ".p/44" behind it if width is below 256. It panics unless width is 1–256.
func EntriesPath(n uint64, width int) string {
	return string(appendNumber([]byte(entriesPrefix[:len(entriesPrefix)-1]), n, width))
}

// appendNumber appends "/x001/x234/067.p/44".
func appendNumber(dst []byte, n uint64, width int) []byte {
	if width < 1 || width > TileHashes {
		panic("chain: no such tile width")
	}
	groups := 1
	for m := n / 1000; m > 0; m /= 1000 {
		groups++
	}
	at := len(dst)
	for g := range groups {
		dst = append(dst, "/x000"...)
		if g == groups-1 {
			dst = append(dst[:len(dst)-4], "000"...)
		}
	}
	for end := len(dst); end > at; {
		for m, i := n%1000, 0; i < 3; i++ {
			end--
			dst[end] = byte('0' + m%10)
			m /= 10
		}
		n /= 1000
		for end > at && dst[end] != '/' {
			end--
		}
	}
	if width < TileHashes {
		dst = append(dst, ".p/"...)
		dst = strconv.AppendInt(dst, int64(width), 10)
	}
	return dst
}

// ParseTilePath parses what TilePath writes, and nothing else: a tile has one
// path. The width is 256 for a full tile.
func ParseTilePath(path string) (level int, n uint64, width int, err error) {
	rest, ok := strings.CutPrefix(path, tilePrefix)
	if !ok {
		return 0, 0, 0, fmt.Errorf("%w: it does not begin with %s", ErrPath, tilePrefix)
	}
	first, rest, _ := strings.Cut(rest, "/")
	level, err = strconv.Atoi(first)
	if err != nil || level < 0 || level > maxLevel {
		return 0, 0, 0, fmt.Errorf("%w: the level is no number from 0 to %d", ErrPath, maxLevel)
	}
	if n, width, err = parseNumber(rest); err != nil {
		return 0, 0, 0, err
	}
	if TilePath(level, n, width) != path {
		return 0, 0, 0, fmt.Errorf("%w: the tile's path is written another way", ErrPath)
	}
	return level, n, width, nil
}

// ParseEntriesPath parses what EntriesPath writes, and nothing else.
func ParseEntriesPath(path string) (n uint64, width int, err error) {
	rest, ok := strings.CutPrefix(path, entriesPrefix)
	if !ok {
		return 0, 0, fmt.Errorf("%w: it does not begin with %s", ErrPath, entriesPrefix)
	}
	if n, width, err = parseNumber(rest); err != nil {
		return 0, 0, err
	}
	if EntriesPath(n, width) != path {
		return 0, 0, fmt.Errorf("%w: the bundle's path is written another way", ErrPath)
	}
	return n, width, nil
}

// parseNumber parses "x001/x234/067.p/44" loosely: its callers write the
// result again and compare.
func parseNumber(s string) (n uint64, width int, err error) {
	number, partial, ok := strings.Cut(s, ".p/")
	width = TileHashes
	if ok {
		if width, err = strconv.Atoi(partial); err != nil || width < 1 || width >= TileHashes {
			return 0, 0, fmt.Errorf("%w: the width is no number from 1 to %d", ErrPath, TileHashes-1)
		}
	}
	number = strings.ReplaceAll(strings.ReplaceAll(number, "/", ""), "x", "")
	if n, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("%w: the tile's number is none", ErrPath)
	}
	return n, width, nil
}
