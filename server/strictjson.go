package server

// This file reads JSON strictly. encoding/json takes duplicate keys, keys in
// another case, invalid UTF-8 and lone surrogates (RFC 8259 calls their meaning
// unpredictable, RFC 7493 forbids them), and needs some 15 microseconds for a
// consent, which is more than everything else that the server does with it. The
// file goes when encoding/json/v2, which refuses all of these, is stable.
//
// It reads the bytes once, by the shape of the Go type that they are decoded
// into; beside the decoded values it allocates only to describe a fault. What it
// accepts, encoding/json accepts, and decodes to the same value.

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth   = 32
	maxSafeInt = 1<<53 - 1 // RFC 7493 section 2.2: beyond it a receiver may lose digits
)

// A fault is why bytes are not the JSON of a call. It never holds what was sent.
type fault struct {
	code   string
	path   string // names of our own, and array positions
	offset int    // of the byte at fault
	detail []said
}

type kind uint8

const (
	kindObject kind = iota
	kindArray
	kindString
	kindBool
	kindInt
	kindUint
)

// A shape is what a Go type can hold.
type shape struct {
	kind     kind
	pointer  bool    // the Go type is a pointer to it
	elem     *shape  // of an array
	filled   bool    // a string that may not be empty
	apart    bool    // a string whose characters are looked at by who reads it
	fields   []field // of an object, at most 64
	required uint64  // bit i: fields[i] must be there
}

type field struct {
	name  string
	shape *shape
	index []int // of the Go field, as reflect has it
}

// shapeOf derives the shape of a struct type from its json tags. A field
// without omitempty must be there. A list, a string that is a field and one in a
// list may not be empty: decoded, it would look like one that is not there. A
// pointer to a string may be empty. A type that it does not know is a mistake of
// the program, found when the package starts.
func shapeOf[T any]() *shape { return shapeOfType(reflect.TypeFor[T]()) }

func shapeOfType(t reflect.Type) *shape {
	switch t.Kind() {
	case reflect.Pointer:
		s := shapeOfType(t.Elem())
		s.pointer = true
		return s
	case reflect.String:
		return &shape{kind: kindString}
	case reflect.Bool:
		return &shape{kind: kindBool}
	case reflect.Int64:
		return &shape{kind: kindInt}
	case reflect.Uint64:
		return &shape{kind: kindUint}
	case reflect.Slice:
		s := &shape{kind: kindArray, elem: shapeOfType(t.Elem())}
		s.elem.filled = t.Elem().Kind() == reflect.String
		return s
	case reflect.Struct:
		s := &shape{kind: kindObject}
		s.addFields(t, nil)
		return s
	}
	panic("server: no JSON shape for " + t.String())
}

func (s *shape) addFields(t reflect.Type, outer []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(outer), i)
		if f.Anonymous {
			s.addFields(f.Type, index)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || len(s.fields) == 64 {
			panic("server: field " + t.Name() + "." + f.Name + " has no JSON name, or is the 65th")
		}
		if options != "omitempty" {
			s.required |= 1 << len(s.fields)
		}
		of := shapeOfType(f.Type)
		of.filled = f.Type.Kind() == reflect.String
		of.apart = name == "member_id" // ledger/consent allows it less than other texts
		s.fields = append(s.fields, field{name, of, index})
	}
}

func (s *shape) names() string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

func (k kind) String() string {
	return [...]string{"an object", "an array", "a string", "true or false", "an integer", "an integer that is not negative"}[k]
}

// decode reads b, which must be the JSON of this shape and nothing else, into
// the value that out points to. It says what is wrong with b: nil for nothing.
func (s *shape) decode(b []byte, out any) *fault {
	c := scan{b: b}
	c.space()
	if c.i == len(b) {
		return &fault{code: "empty_body", offset: c.i, detail: say("There is no JSON here; send %s.", s.kind.String())}
	}
	if f := c.value(s, reflect.ValueOf(out).Elem()); f != nil {
		return f
	}
	c.space()
	if c.i != len(b) {
		return &fault{code: "trailing_data", offset: c.i, detail: say("Something follows the JSON value; send one value and nothing after it.")}
	}
	return nil
}

type scan struct {
	b     []byte
	i     int
	depth int
}

func (c *scan) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

func (c *scan) next() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

func (c *scan) syntax(want string) *fault {
	if c.i >= len(c.b) {
		return &fault{code: "malformed_json", offset: c.i, detail: say("The JSON ends too early; %s is missing.", want)}
	}
	return &fault{code: "malformed_json", offset: c.i, detail: say("This is not JSON (RFC 8259): %s was expected.", want)}
}

func (c *scan) value(s *shape, v reflect.Value) *fault {
	if s.pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch s.kind {
	case kindObject:
		if c.next() == '{' {
			return c.object(s, v)
		}
	case kindArray:
		if c.next() == '[' {
			return c.array(s, v)
		}
	case kindString:
		if c.next() == '"' {
			start := c.i
			raw, odd, f := c.str()
			if f != nil {
				return f
			}
			if s.filled && len(raw) == 0 {
				return &fault{code: "empty_value", offset: start, detail: say("This text is empty; leave it out if it may be left out, or send what belongs here.")}
			}
			if hasEscape(raw) {
				raw = unescape(nil, raw)
			}
			text := string(raw)
			if odd && !s.apart && hides(text) {
				return &fault{code: "hidden_character", offset: start, detail: say("This text holds a control character, a bidirectional control or an invisible character; send it without.")}
			}
			v.SetString(text)
			return nil
		}
	case kindBool:
		if c.word("true") {
			v.SetBool(true)
			return nil
		}
		if c.word("false") {
			v.SetBool(false)
			return nil
		}
	case kindInt, kindUint:
		if d := c.next(); d == '-' || d >= '0' && d <= '9' {
			return c.integer(s.kind, v)
		}
	}
	return c.wrongType(s)
}

func (c *scan) word(w string) bool {
	if len(c.b)-c.i >= len(w) && string(c.b[c.i:c.i+len(w)]) == w {
		c.i += len(w)
		return true
	}
	return false
}

func (c *scan) object(s *shape, v reflect.Value) *fault {
	if c.depth++; c.depth > maxDepth {
		return c.tooDeep()
	}
	c.i++
	c.space()
	var seen uint64
	if c.next() == '}' {
		c.i++
	} else {
		for {
			if c.next() != '"' {
				return c.syntax("a field's name in quotes")
			}
			start := c.i
			raw, _, f := c.str()
			if f != nil {
				f.detail = append(say("In a field's name:"), f.detail...)
				return f
			}
			n := s.find(raw)
			if n < 0 {
				return s.unknown(raw, start)
			}
			if seen&(1<<n) != 0 {
				return &fault{code: "duplicate_field", path: s.fields[n].name, offset: start, detail: say("This field is there twice; send it once.")}
			}
			seen |= 1 << n
			c.space()
			if c.next() != ':' {
				return c.syntax("a colon after the field's name").in(s.fields[n].name)
			}
			c.i++
			c.space()
			if f := c.value(s.fields[n].shape, at(v, s.fields[n].index)); f != nil {
				return f.in(s.fields[n].name)
			}
			c.space()
			switch c.next() {
			case ',':
				c.i++
				c.space()
				continue
			case '}':
				c.i++
			default:
				return c.syntax("a comma or a closing brace")
			}
			break
		}
	}
	c.depth--
	if missing := s.required &^ seen; missing != 0 {
		for n, f := range s.fields {
			if missing&(1<<n) != 0 {
				return &fault{code: "missing_field", path: f.name, offset: c.i, detail: say("This field is missing; it is needed here.")}
			}
		}
	}
	return nil
}

func (c *scan) array(s *shape, v reflect.Value) *fault {
	if c.depth++; c.depth > maxDepth {
		return c.tooDeep()
	}
	c.i++
	c.space()
	if c.next() == ']' { // decoded, it would look like one that is not there, and that means another thing
		return &fault{code: "empty_value", offset: c.i, detail: say("This list is empty; leave the field out if it may be left out, or name at least one.")}
	}
	for n := 0; ; n++ {
		if n == v.Cap() {
			v.Grow(max(n, 4))
		}
		v.SetLen(n + 1)
		if f := c.value(s.elem, v.Index(n)); f != nil {
			return f.in("[" + strconv.Itoa(n) + "]")
		}
		c.space()
		switch c.next() {
		case ',':
			c.i++
			c.space()
		case ']':
			c.i++
			c.depth--
			return nil
		default:
			return c.syntax("a comma or a closing bracket")
		}
	}
}

// at is v.FieldByIndex without its checks for nil.
func at(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		v = v.Field(i)
	}
	return v
}

// in puts the name of what holds the fault before its path.
func (f *fault) in(name string) *fault {
	switch {
	case f.path == "":
		f.path = name
	case f.path[0] == '[':
		f.path = name + f.path
	default:
		f.path = name + "." + f.path
	}
	return f
}

// find gives the place of the field whose name is written in raw, or -1.
func (s *shape) find(raw []byte) int {
	if hasEscape(raw) {
		raw = unescape(nil, raw)
	}
	for n := range s.fields {
		if string(raw) == s.fields[n].name {
			return n
		}
	}
	return -1
}

func (s *shape) unknown(raw []byte, at int) *fault {
	plain := string(unescape(nil, raw))
	for _, f := range s.fields {
		if strings.EqualFold(plain, f.name) {
			return &fault{code: "wrong_case_field", path: f.name, offset: at, detail: say("This field's name is written in another case; upper and lower case differ in JSON.")}
		}
	}
	return &fault{code: "unknown_field", offset: at, detail: say("There is a field that this call does not have (its name is not repeated here). The fields are: %s.", s.names())}
}

// str reads a string that starts at the quote, and returns what stands between the quotes, still
// escaped. It is odd if it holds more than plain ASCII.
func (c *scan) str() (raw []byte, odd bool, f *fault) {
	b, i := c.b, c.i+1
	start := i
	for i < len(b) {
		switch d := b[i]; {
		case plainASCII[d]:
			i++
		case d == '"':
			c.i = i + 1
			return b[start:i], odd, nil
		case d == '\\':
			n, code := escape(b[i:])
			if n == 0 {
				if code == "lone_surrogate" {
					return nil, false, &fault{code: code, offset: i, detail: say("A \\u escape is half of a surrogate pair; send the whole pair, or the character itself.")}
				}
				c.i = i
				return nil, false, c.syntax("a valid escape after the backslash")
			}
			i, odd = i+n, true
		case d < 0x20:
			c.i = i
			return nil, false, c.syntax("an escape in place of a control character")
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false, &fault{code: "invalid_utf8", offset: i, detail: say("This text is not valid UTF-8.")}
			}
			i, odd = i+n, true
		}
	}
	c.i = i
	return nil, false, c.syntax("a closing quote")
}

var plainASCII = func() (t [256]bool) {
	for b := 0x20; b < 0x7f; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// escape gives the length of the escape, or of the pair of escapes, at the start of b: 0 if it is none.
func escape(b []byte) (n int, code string) {
	if len(b) < 2 {
		return 0, "malformed_json"
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
		r, ok := hex4(b[2:])
		if !ok {
			return 0, "malformed_json"
		}
		if !utf16.IsSurrogate(r) {
			return 6, ""
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if low, ok := hex4(b[8:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				return 12, ""
			}
		}
		return 0, "lone_surrogate"
	}
	return 0, "malformed_json"
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, d := range b[:4] {
		switch {
		case d >= '0' && d <= '9':
			d -= '0'
		case d >= 'a' && d <= 'f':
			d -= 'a' - 10
		case d >= 'A' && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// unescape appends what the inside of a string says. Escapes that are none stay as they are.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		n, _ := escape(raw[i:])
		switch n {
		case 0:
			dst = append(dst, raw[i])
			n = 1
		case 2:
			d := raw[i+1]
			if at := strings.IndexByte("bfnrt", d); at >= 0 {
				d = "\b\f\n\r\t"[at]
			}
			dst = append(dst, d)
		case 6:
			r, _ := hex4(raw[i+2:])
			dst = utf8.AppendRune(dst, r)
		case 12:
			high, _ := hex4(raw[i+2:])
			low, _ := hex4(raw[i+8:])
			dst = utf8.AppendRune(dst, utf16.DecodeRune(high, low))
		}
		i += n
	}
	return dst
}

func (c *scan) integer(k kind, out reflect.Value) *fault {
	start := c.i
	negative := c.next() == '-'
	if negative {
		c.i++
	}
	if d := c.next(); d < '0' || d > '9' {
		return c.syntax("a digit")
	}
	if c.next() == '0' && c.i+1 < len(c.b) && c.b[c.i+1] >= '0' && c.b[c.i+1] <= '9' {
		return c.syntax("a number without leading zeros")
	}
	var v uint64
	for ; c.next() >= '0' && c.next() <= '9'; c.i++ {
		if v <= maxSafeInt {
			v = v*10 + uint64(c.next()-'0')
		}
	}
	switch c.next() {
	case '.', 'e', 'E':
		return &fault{code: "not_an_integer", offset: start, detail: say("Send this number in plain digits, without a fraction or an exponent.")}
	}
	if v > maxSafeInt {
		return &fault{code: "number_out_of_range", offset: start, detail: say("Numbers beyond 2^53-1 lose digits on the way (RFC 7493).")}
	}
	if negative && k == kindUint {
		return &fault{code: "number_out_of_range", offset: start, detail: say("This number cannot be negative.")}
	}
	switch {
	case k == kindUint:
		out.SetUint(v)
	case negative:
		out.SetInt(-int64(v))
	default:
		out.SetInt(int64(v))
	}
	return nil
}

func (c *scan) tooDeep() *fault {
	return &fault{code: "nesting_too_deep", offset: c.i, detail: say("Objects and arrays are nested more than %d deep.", maxDepth)}
}

// wrongType describes a value that is not of the shape's kind: what it is, without saying it.
func (c *scan) wrongType(s *shape) *fault {
	if deep, at := c.deeper(); deep {
		return (&scan{b: c.b, i: at}).tooDeep()
	}
	start := c.i
	if c.word("null") {
		return &fault{code: "null_value", offset: start, detail: say("null says nothing here; leave the field out, or send %s.", s.kind.String())}
	}
	switch d := c.next(); {
	case strings.IndexByte(`{["tf-0123456789`, d) >= 0 && d != 0:
		return &fault{code: "wrong_type", offset: c.i, detail: say("The value is of another type; send %s.", s.kind.String())}
	}
	return c.syntax(s.kind.String())
}

// deeper says whether the value here, of which only the brackets matter, is nested too deep, and where.
func (c *scan) deeper() (bool, int) {
	depth, quoted := c.depth, false
	for i := c.i; i < len(c.b); i++ {
		switch d := c.b[i]; {
		case quoted && d == '\\':
			i++
		case d == '"':
			quoted = !quoted
		case quoted:
		case d == '{' || d == '[':
			if depth++; depth > maxDepth {
				return true, i
			}
		case d == '}' || d == ']':
			depth--
		}
		if depth == c.depth && !quoted {
			break
		}
	}
	return false, 0
}

func hasEscape(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }
