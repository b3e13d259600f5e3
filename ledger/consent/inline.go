package consent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// InlineTexts returns a policy file whose texts stand in it: each text given
// as {file: name} is read with read and put in its place. A file that names no
// files comes back as it is. Names are slash-separated and stay below the
// folder of the policy file (fs.ValidPath).
//
// Only the lines of the top-level key text are written anew; every other byte,
// comments too, stays.
func InlineTexts(src []byte, read func(name string) ([]byte, error)) ([]byte, error) {
	d := &decoder{}
	top := d.mapping(d.parseYAML(src), "")
	var out bytes.Buffer
	for _, f := range top {
		if f.key != "text" {
			continue
		}
		texts, files := d.textsAndFiles(f.value, read)
		if d.fault != nil {
			return nil, d.fault
		}
		if files == 0 {
			return src, nil
		}
		if d.where["text"].Column != 1 {
			d.fail("invalid_value", "text", "must begin its line, for the text to be put in its place")
			return nil, d.fault
		}
		begin, end := topLevelBlock(src, d.where["text"].Line)
		out.Write(src[:begin])
		out.WriteString("text:\n")
		for _, t := range texts {
			quoted, err := quote(t.text)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&out, "  %s: %s\n", t.lang, quoted)
		}
		out.Write(src[end:])
		return out.Bytes(), nil
	}
	if d.fault != nil {
		return nil, d.fault
	}
	return src, nil
}

type langText struct{ lang, text string }

func (d *decoder) textsAndFiles(n ast.Node, read func(string) ([]byte, error)) (texts []langText, files int) {
	for _, f := range d.mapping(n, "text") {
		if !isLanguage(f.key) {
			d.fail("invalid_value", f.path, "must be a language by BCP 47, such as en, ko or zh-Hant")
			return nil, 0
		}
		switch f.value.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
		default:
			texts = append(texts, langText{f.key, d.text(f.value, f.path)})
			continue
		}
		m := d.object(f.value, f.path, "file")
		d.require(m, f.path, "file", "the name of the file with the text")
		name := d.text(m["file"], f.path+".file")
		if d.fault != nil {
			return nil, 0
		}
		if !fs.ValidPath(name) {
			d.fail("invalid_value", f.path+".file", "must be a file in the policy's folder or below it, without .. and with / between folders")
			return nil, 0
		}
		b, err := read(name)
		switch {
		case err != nil:
			d.failf("text_not_readable", f.path+".file", "the file cannot be read: %v", err)
			return nil, 0
		case !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0:
			d.fail("text_not_readable", f.path+".file", "the file must be text in UTF-8")
			return nil, 0
		}
		texts = append(texts, langText{f.key, string(b)})
		files++
	}
	return texts, files
}

// topLevelBlock returns where the block of a top-level key begins and ends: up
// to the next line that begins with anything but a space, less the blank and
// comment lines before that.
func topLevelBlock(src []byte, line int) (begin, end int) {
	n, at := 0, 0
	for l := range bytes.Lines(src) {
		n++
		from := at
		at += len(l)
		blank := len(bytes.TrimSpace(l)) == 0
		switch {
		case n < line:
		case n == line:
			begin, end = from, at
		case blank || l[0] == '#': // belongs to what follows, if nothing more of the block does
		case l[0] == ' ' || l[0] == '\t' || l[0] == '}' || l[0] == ']':
			end = at
		default:
			return begin, end
		}
	}
	return begin, end
}

// quote writes a text as a JSON string, which is also a double-quoted YAML
// scalar: no line folding, no stripping, the digest stays that of the file.
func quote(s string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("quoting a text: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
