package server

import "unicode"

// hidden are the characters that no text of a call may hold, because a person who reads it sees
// something else than a program does, or nothing: noncharacters (RFC 7493 section 2.1 forbids them), the
// explicit bidirectional controls, and what has no width and no meaning in any script. The joiners
// U+200C and U+200D stay, which Persian, the scripts of India and emoji are written with, and so do
// the marks U+200E and U+200F. A member id and a reference may hold none of these either; ledger/consent
// looks at those.
var hidden = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00, Hi: 0x08, Stride: 1}, // all controls but tab and the ends of lines
		{Lo: 0x0b, Hi: 0x0c, Stride: 1},
		{Lo: 0x0e, Hi: 0x1f, Stride: 1},
		{Lo: 0x7f, Hi: 0x9f, Stride: 1},
		{Lo: 0x200b, Hi: 0x200b, Stride: 1}, // zero width space
		{Lo: 0x2028, Hi: 0x202e, Stride: 1}, // line and paragraph separator, embeddings, overrides
		{Lo: 0x2060, Hi: 0x2069, Stride: 1}, // word joiner, invisible operators, isolates
		{Lo: 0xfeff, Hi: 0xfeff, Stride: 1}, // zero width no-break space
		{Lo: 0xfff9, Hi: 0xfffb, Stride: 1}, // interlinear annotation
	},
	R32: []unicode.Range32{
		{Lo: 0xe0000, Hi: 0xe007f, Stride: 1}, // tags, which spell text that nobody sees
	},
	LatinOffset: 4,
}

// hides says whether s holds a character that a text may not hold.
func hides(s string) bool {
	for _, r := range s {
		if unicode.In(r, hidden, unicode.Noncharacter_Code_Point) {
			return true
		}
	}
	return false
}
