// Package page writes for people, to read and print, what programs have as
// files: a receipt, in English or Korean, with the file itself to save and the
// digest of it as a QR code, so that paper and file can be told to belong
// together. A page proves nothing; the file does.
package page

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"consentledger/ledger/receipt"
)

// The languages of pages.
const (
	English = "en"
	Korean  = "ko"
)

//go:embed receipt.html
var receiptHTML string

var receiptPage = template.Must(template.New("receipt").Parse(receiptHTML))

// Names says what the names in a policy mean, in a language; a name that it
// does not know it gives back.
type Names interface {
	Purpose(policy, version, purpose, lang string) string
	Item(policy, version, item, lang string) string
	Recipient(policy, version, recipient, lang string) string
}

// A row is a line of a page.
type row struct{ Label, Value string }

type receiptView struct {
	Lang, Title, Intro, Note, Save, Digest, CheckTitle, Check string
	Rows, Content                                             []row
	ContentTitle                                              string
	QR                                                        qrPath
	SHA256                                                    string
	File                                                      template.URL
	Name                                                      string
}

type qrPath struct {
	Side int
	Path string
}

// Receipt returns the page of a receipt: HTML without scripts, that fetches
// nothing. file is what r was read from.
func Receipt(r *receipt.Receipt, file []byte, names Names, lang string) ([]byte, error) {
	sum := receipt.Digest(file)
	v := receiptView{
		Lang: lang, Title: words["title"].in(lang), Intro: words["intro"].in(lang), Note: words["note"].in(lang), Save: words["save"].in(lang),
		Digest: words["digest"].in(lang), ContentTitle: words["content"].in(lang), CheckTitle: words["check_title"].in(lang), Check: words["check"].in(lang),
		SHA256: hex.EncodeToString(sum[:]), Name: "receipt-" + strconv.FormatUint(r.Index, 10) + ".txt",
		// The bytes are ours, and base64 has nothing that could end the attribute.
		File: template.URL("data:text/plain;base64," + base64.StdEncoding.EncodeToString(file)),
	}
	v.Rows = []row{
		{words["ledger"].in(lang), r.Origin},
		{words["index"].in(lang), strconv.FormatUint(r.Index, 10)},
		{words["recorded_at"].in(lang), moment(r.RecordedAt)},
		{words["issued_at"].in(lang), moment(r.IssuedAt)},
		{words["member"].in(lang), r.Member},
		{words["class"].in(lang), r.Class},
		{words["leaf_hash"].in(lang), r.LeafHash},
	}
	var err error
	if v.Content, err = content(r, names, lang); err != nil {
		return nil, err
	}
	if v.QR, err = qrOf("sha256:" + v.SHA256); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := receiptPage.Execute(&b, &v); err != nil {
		return nil, fmt.Errorf("write the page of a receipt: %w", err)
	}
	return b.Bytes(), nil
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999 UTC") }

// content is what the entry says, a row for each field that it has.
func content(r *receipt.Receipt, names Names, lang string) ([]row, error) {
	b, err := json.Marshal(r.Event)
	if err != nil {
		return nil, fmt.Errorf("write the page of a receipt: %w", err)
	}
	// In the order in which the file has them.
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("write the page of a receipt: %w", err)
	}
	var rows []row
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("write the page of a receipt: %w", err)
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("write the page of a receipt: %w", err)
		}
		p := &printer{r, names, lang}
		field := name.(string)
		rows = append(rows, row{label(field, lang), p.text(field, value)})
	}
	return rows, nil
}

// label is the heading of a field of an event.
func label(field, lang string) string {
	if w, ok := fields[field]; ok {
		return w.in(lang)
	}
	return field
}

// A printer writes the values of an event's fields.
type printer struct {
	r     *receipt.Receipt
	names Names
	lang  string
}

func (p *printer) text(field string, value any) string {
	switch v := value.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, one := range v {
			parts[i] = p.text(field, one)
		}
		if len(v) > 0 {
			if _, nested := v[0].(map[string]any); nested {
				return strings.Join(parts, "\n")
			}
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		return p.nested(field, v)
	case bool:
		return words[strconv.FormatBool(v)].in(p.lang)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return turned.Replace(p.name(field, v))
	}
	return ""
}

// turned writes by its number what turns round the order in which letters are
// shown: with it a value reads as another, and so does what stands after it.
var turned = strings.NewReplacer("\u202a", `\u202a`, "\u202b", `\u202b`, "\u202c", `\u202c`, "\u202d", `\u202d`, "\u202e", `\u202e`,
	"\u2066", `\u2066`, "\u2067", `\u2067`, "\u2068", `\u2068`, "\u2069", `\u2069`)

// nested is a decision, a change or what shows a guardian's consent, on one line.
func (p *printer) nested(field string, v map[string]any) string {
	order := []string{"purpose", "decision", "items", "recipients", "item", "old", "new", "reference", "method", "verified_at"}
	var parts []string
	for _, name := range order {
		value, ok := v[name]
		if !ok {
			continue
		}
		text := strings.ReplaceAll(p.text(name, value), "\n", " ↵ ") // a line is one decision or change, and no value makes one
		if field == "decisions" && (name == "purpose" || name == "decision") {
			parts = append(parts, text)
			continue
		}
		parts = append(parts, label(name, p.lang)+": "+text)
	}
	return strings.Join(parts, " · ")
}

func (p *printer) name(field, v string) string {
	e := &p.r.Event
	switch field {
	case "purpose", "purposes":
		return p.names.Purpose(e.Policy, e.PolicyVersion, v, p.lang)
	case "item", "items":
		return p.names.Item(e.Policy, e.PolicyVersion, v, p.lang)
	case "recipient", "recipients":
		return p.names.Recipient(e.Policy, e.PolicyVersion, v, p.lang)
	case "kind", "decision", "scope", "age", "outcome", "form", "basis", "request_type":
		if w, ok := values[field+"="+v]; ok {
			return w.in(p.lang)
		}
	case "occurred_at", "sent_at", "received_at", "due_at", "until", "active_at", "verified_at":
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return moment(t)
		}
	}
	return v
}

// qrOf is a QR code (ISO/IEC 18004) as the path of an SVG, with its quiet zone
// of four modules.
func qrOf(text string) (qrPath, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return qrPath{}, fmt.Errorf("write a QR code: %w", err)
	}
	const quiet = 4
	side := code.Bounds().Dx()
	var b strings.Builder
	for y := range side {
		for x := range side {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	return qrPath{side + 2*quiet, b.String()}, nil
}
