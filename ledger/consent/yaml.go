package consent

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A policy file is YAML without its traps: one document, plain maps, lists and
// scalars. Anchors, aliases, tags and merge keys are refused, so that the file
// says what it seems to say; and it is walked as a syntax tree rather than
// decoded into structs, so that every error has a line and a column and the
// order of purposes is the file's.

// MaxPolicyBytes is the largest policy file, texts included.
const MaxPolicyBytes = 256 << 10

// maxDepth bounds how deep flow collections and "- - -" may nest: the YAML
// library recurses, and a stack that overflows cannot be recovered from.
const maxDepth = 32

// maxColons bounds the keys of a file: the YAML library takes time in their
// square (13 s for 32,000 keys in one mapping). Colons in texts count too,
// because what is a text is only known after parsing.
const maxColons = 4096

// A decoder walks a policy file. It keeps the first fault and goes on with
// zero values, so that its callers need no check at each step.
type decoder struct {
	fault *Refusal
	where map[string]*token.Position // of every path seen
}

// put keeps a fault, with its place in front.
func (d *decoder) put(pos *token.Position, r *Refusal) {
	if d.fault != nil {
		return
	}
	if pos != nil {
		r.Message = fmt.Sprintf("line %d, column %d: %s", pos.Line, pos.Column, r.Message)
	}
	d.fault = r
}

// place returns where a path stands, or what it stands in if it is missing.
func (d *decoder) place(path string) *token.Position {
	for {
		if pos, ok := d.where[path]; ok {
			return pos
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return d.where[""]
		}
		path = path[:i]
	}
}

func (d *decoder) failAt(pos *token.Position, code, path, message string) {
	d.put(pos, invalid(code, path, message))
}

func (d *decoder) failAtf(pos *token.Position, code, path, format string, args ...any) {
	d.put(pos, invalidf(code, path, format, args...))
}

// fail is failAt the place of the path.
func (d *decoder) fail(code, path, message string) { d.failAt(d.place(path), code, path, message) }

func (d *decoder) failf(code, path, format string, args ...any) {
	d.failAtf(d.place(path), code, path, format, args...)
}

func (d *decoder) missing(path, what string) {
	d.fail("missing_field", path, "missing; add "+what)
}

// parseYAML returns the top mapping of the one document in src.
func (d *decoder) parseYAML(src []byte) ast.Node {
	d.where = map[string]*token.Position{"": {Line: 1, Column: 1}}
	switch {
	case len(src) > MaxPolicyBytes:
		d.failf("policy_too_large", "", "a policy file has at most %d bytes", MaxPolicyBytes)
		return nil
	case !utf8.Valid(src):
		d.fail("policy_syntax", "", "the file must be UTF-8")
		return nil
	}
	if n := bytes.Count(src, []byte{':'}); n > maxColons {
		d.failf("policy_too_large", "", "a policy file has at most %d colons, those of its texts included", maxColons)
		return nil
	}
	if line := tooDeep(src); line > 0 {
		d.failAt(&token.Position{Line: line, Column: 1}, "policy_syntax", "",
			"too many brackets or dashes open at once; put a text that has them in quotes or in a block (|)")
		return nil
	}
	file, err := parseBytes(src)
	if err != nil {
		d.syntax(err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.failAt(position(doc.Body), "policy_syntax", "", "a policy file has one document; remove what follows ---")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		d.fail("missing_field", "policy", "the file is empty; begin with policy: <name>")
	}
	return body
}

// parseBytes turns a panic of the YAML library into an error: the file comes
// from outside, the library's scanner works by index, and a policy that cannot
// be read must not stop a server. Our own code runs outside of it.
func parseBytes(src []byte) (f *ast.File, err error) {
	defer func() {
		if recover() != nil {
			f, err = nil, errNotYAML
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey()) // mapping finds duplicates, and names their path
}

var errNotYAML = errors.New("the file is not YAML")

func (d *decoder) syntax(err error) {
	var syn *yaml.SyntaxError
	if errors.As(err, &syn) && syn.Token != nil {
		words, _, _ := strings.Cut(syn.Message, `"`) // what the library quotes is the file's
		d.failAtf(syn.Token.Position, "policy_syntax", "", "not YAML: %s", strings.ToValidUTF8(strings.TrimRight(words[:min(len(words), 120)], ": "), ""))
		return
	}
	d.fail("policy_syntax", "", "the file is not YAML")
}

// tooDeep returns the first line on which more than maxDepth flow collections
// are open or more than maxDepth dashes begin the line ("- - -", each alone), or 0. It
// knows nothing of quotes, and so may refuse a text with that many brackets
// left open, but never lets through more than it should.
func tooDeep(src []byte) int {
	open, n := 0, 0
	for line := range bytes.Lines(src) {
		n++
		for _, c := range line {
			switch c {
			case '[', '{':
				if open++; open > maxDepth {
					return n
				}
			case ']', '}':
				open = max(0, open-1)
			}
		}
		marks := 0
		for _, word := range bytes.Fields(line) {
			if len(word) != 1 || !bytes.Contains([]byte("-?:"), word) {
				break
			}
			if marks++; marks > maxDepth {
				return n
			}
		}
	}
	return 0
}

func position(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

// A field is a key and its value. Its path names it in errors.
type field struct {
	key, path string
	value     ast.Node
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mapping returns the fields of a mapping in the file's order.
func (d *decoder) mapping(n ast.Node, path string) []field {
	if d.fault != nil || n == nil {
		return nil
	}
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.failAt(position(n), "invalid_value", path, "must be a mapping (key: value)")
		return nil
	}
	fields := make([]field, 0, len(values))
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.failAt(v.Key.GetToken().Position, "invalid_value", path,
				"keys are plain text; numbers go in quotes, and merge keys, anchors and tags are not allowed")
			return nil
		}
		p := join(path, key.Value)
		if !printableKey(key.Value) {
			p = path
		}
		if seen[key.Value] {
			d.failAt(key.Token.Position, "duplicate_field", p, "the key is there twice; remove one")
			return nil
		}
		seen[key.Value] = true
		d.where[p] = key.Token.Position
		fields = append(fields, field{key.Value, p, v.Value})
	}
	return fields
}

// printableKey reports whether a key can stand in an error's path.
func printableKey(s string) bool {
	return len(s) > 0 && len(s) <= maxNameBytes && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || c == '.' || c == '['
	})
}

// object returns the fields of a mapping by key and refuses a key not allowed.
func (d *decoder) object(n ast.Node, path string, allowed ...string) map[string]ast.Node {
	m := map[string]ast.Node{}
	for _, f := range d.mapping(n, path) {
		known := false
		for _, a := range allowed {
			known = known || a == f.key
		}
		if !known {
			d.failf("unknown_field", f.path, "unknown key; the keys here are %s", strings.Join(allowed, ", "))
			return m
		}
		m[f.key] = f.value
	}
	return m
}

// text reads a scalar that is text.
func (d *decoder) text(n ast.Node, path string) string {
	if d.fault != nil || n == nil {
		return ""
	}
	s := ""
	switch v := n.(type) {
	case *ast.StringNode:
		s = v.Value
	case *ast.LiteralNode:
		s = v.Value.Value
	default:
		d.failAt(position(n), "invalid_value", path, "must be text; put a number, a date or a word such as true or null in quotes")
		return ""
	}
	if strings.TrimSpace(s) == "" {
		d.failAt(position(n), "missing_field", path, "is empty; fill it in")
	} else if strings.Contains(s, "\x00") || !utf8.ValidString(s) {
		d.failAt(position(n), "invalid_value", path, "must not hold NUL or invalid UTF-8")
	}
	return s
}

// number reads a whole number from 0 to most.
func (d *decoder) number(n ast.Node, path string, most int) int {
	if d.fault != nil || n == nil {
		return 0
	}
	if v, ok := n.(*ast.IntegerNode); ok {
		i, err := strconv.Atoi(v.Token.Value)
		if err == nil && i >= 0 && i <= most {
			return i
		}
	}
	d.failAtf(position(n), "invalid_value", path, "must be a whole number from 0 to %d", most)
	return 0
}

// flag reads true or false.
func (d *decoder) flag(n ast.Node, path string) bool {
	if d.fault != nil || n == nil {
		return false
	}
	if v, ok := n.(*ast.BoolNode); ok {
		return v.Value
	}
	d.failAt(position(n), "invalid_value", path, "must be true or false")
	return false
}

// name reads a name.
func (d *decoder) name(n ast.Node, path string) string {
	s := d.text(n, path)
	if n != nil && d.fault == nil && !isName(s) {
		d.failAt(position(n), "invalid_value", path, "a name has 1 to 64 of a-z, 0-9, _ and -")
	}
	return s
}

// names reads a list of names, each there once.
func (d *decoder) names(n ast.Node, path string) []string {
	var list []string
	seen := map[string]bool{}
	for i, v := range d.list(n, path) {
		p := fmt.Sprintf("%s[%d]", path, i)
		s := d.name(v, p)
		if d.fault == nil && seen[s] {
			d.failAt(position(v), "duplicate_field", p, "the name is there twice; remove one")
		}
		seen[s] = true
		list = append(list, s)
	}
	return list
}

func (d *decoder) list(n ast.Node, path string) []ast.Node {
	if d.fault != nil || n == nil {
		return nil
	}
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.failAt(position(n), "invalid_value", path, "must be a list ([a, b])")
		return nil
	}
	for i, v := range s.Values {
		if v == nil {
			d.failAt(position(n), "invalid_value", path, "holds an empty element; remove it")
			return nil
		}
		d.where[fmt.Sprintf("%s[%d]", path, i)] = position(v)
	}
	return s.Values
}

// oneOf reads a word out of several.
func (d *decoder) oneOf(n ast.Node, path string, words ...string) string {
	s := d.text(n, path)
	if n == nil || d.fault != nil {
		return s
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	d.failAtf(position(n), "invalid_value", path, "must be one of %s", strings.Join(words, ", "))
	return ""
}

// period reads a period such as 5y.
func (d *decoder) period(n ast.Node, path string) Period {
	s := d.text(n, path)
	if n == nil || d.fault != nil {
		return Period{}
	}
	p, err := ParsePeriod(s)
	if err != nil {
		d.failAtf(position(n), "invalid_value", path, "a period is a number and d, mo or y, such as 30d, 12mo or 5y, of at most %d years", maxPeriodYears)
	}
	return p
}

// date reads a date, written YYYY-MM-DD.
func (d *decoder) date(n ast.Node, path string) (string, Day) {
	s := d.text(n, path)
	if n == nil || d.fault != nil {
		return s, 0
	}
	t, err := ParseDate(s)
	if err != nil {
		d.failAt(position(n), "invalid_value", path, "a date is written YYYY-MM-DD and must exist")
		return s, 0
	}
	return s, t.day()
}

// languages reads a text in one or more languages, and their order.
func (d *decoder) languages(n ast.Node, path string) (Text, []string) {
	t := Text{}
	var order []string
	for _, f := range d.mapping(n, path) {
		if !isLanguage(f.key) {
			d.fail("invalid_value", f.path, "must be a language by BCP 47, such as en, ko or zh-Hant")
			return t, order
		}
		t[f.key] = d.text(f.value, f.path)
		order = append(order, f.key)
	}
	if n != nil && len(t) == 0 && d.fault == nil {
		d.missing(path, "the text in at least one language ({en: …})")
	}
	return t, order
}
