package consent_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/piprate/json-gold/ld"

	"consentledger/ledger/consent"
)

// noNetwork is a document loader that loads nothing.
type noNetwork struct{}

func (noNetwork) LoadDocument(string) (*ld.RemoteDocument, error) {
	return nil, errors.New("the document asks for another one")
}

// statements reads JSON-LD with a processor that is not ours, in safe mode:
// a property that it would drop is an error. The answer is a set of N-Quads.
func statements(doc []byte) (map[string]bool, error) {
	var tree any
	if err := json.Unmarshal(doc, &tree); err != nil {
		return nil, err
	}
	opts := ld.NewJsonLdOptions("")
	opts.DocumentLoader, opts.SafeMode = noNetwork{}, true
	opts.Algorithm, opts.Format = ld.AlgorithmURDNA2015, "application/n-quads"
	if _, err := ld.NewJsonLdProcessor().Expand(tree, opts); err != nil {
		return nil, err
	}
	quads, err := ld.NewJsonLdProcessor().Normalize(tree, opts)
	if err != nil {
		return nil, err
	}
	set := map[string]bool{}
	for line := range strings.Lines(quads.(string)) {
		set[strings.TrimSpace(line)] = true
	}
	return set, nil
}

func read(t fataler, x *consent.Export) map[string]bool {
	t.Helper()
	doc, err := x.JSONLD()
	if err != nil {
		t.Fatalf("writing JSON-LD: %v", err)
	}
	set, err := statements(doc)
	if err != nil {
		t.Fatalf("reading JSON-LD: %v", err)
	}
	return set
}

// haimStory is the life of a member of Haim: two yes, a no, a disclosure, an
// item and a purpose taken back.
func haimStory(t *testing.T) *book {
	t.Helper()
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member",
		grant("membership", "user_id", "email", "name", "telephone"), grant("partner_offers", "email", "name"), refusal("marketing"),
		grant("personalisation", "user_id"), grant("health_consultation", "skin_condition"),
	), noon))
	ok(t)(b.disclose(given("partner-brand", "partner_offers", noon.Add(30*time.Second), "email"), noon.Add(time.Minute)))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"telephone"}, Method: "button"}, noon.Add(time.Hour)))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}, OccurredAt: noon.Add(90 * time.Minute)}, noon.Add(2*time.Hour)))
	return b
}

// dermatechStory is a standard member of Dermatech who bought something, said
// yes on paper, and let no offers be sent.
func dermatechStory(t *testing.T) *book {
	t.Helper()
	b := newBook(t, dermatech(t))
	c := &consent.Consent{
		Enrol: true, MemberKind: "standard_member", Policy: "dermatech", PolicyVersion: "2011-12-01", Method: "paper", Locale: "ko",
		OccurredAt: noon.Add(-time.Hour), MinimumAgeConfirmed: true, Reference: "order-1",
		Decisions: []consent.Decision{
			grant("identification"), grant("unique_identification"), grant("skin_advice", "skin_issues"), refusal("marketing"), grant("order"), grant("delivery"),
		},
	}
	ok(t)(b.consent(c, noon))
	d := given("parcel-co", "delivery", noon.Add(time.Hour), "name", "delivery_address")
	d.Reference = "order-1"
	ok(t)(b.disclose(d, noon.Add(time.Hour)))
	return b
}

func stories(t *testing.T) map[string]*consent.Export {
	b, entries := office(t)
	return map[string]*consent.Export{
		"of a member of Haim":              haimStory(t).export(noon.Add(24 * time.Hour)),
		"of a member of Dermatech":         dermatechStory(t).export(noon.Add(24 * time.Hour)),
		"of a member known to the office":  b.r.NewExport(origin, ref, entries, b.f, noon),
		"of a member of whom nothing is":   haim(t).NewExport(origin, ref, nil, nil, noon),
		"of a child":                       guardianStory(t),
		"of a member with copies as proof": evidenceStory(t).export(noon.AddDate(0, 1, 0)),
	}
}

func TestJSONLDIsReadWithoutTheNetworkAndNothingInItIsLost(t *testing.T) {
	for name, x := range stories(t) {
		t.Run(name, func(t *testing.T) {
			doc, err := x.JSONLD()
			if err != nil {
				t.Fatal(err)
			}
			got := read(t, x)
			if diff := cmp.Diff(written(t, doc), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Fatalf("what is written and what is read differ (-written +read):\n%s", diff)
			}
			for line := range got {
				if strings.HasPrefix(line, "_:") || strings.Contains(line, "> _:") {
					t.Errorf("a node has no name: %s", line)
				}
			}
		})
	}
}

func TestALostPropertyAndARemoteContextWouldBeNoticed(t *testing.T) {
	for name, doc := range map[string]string{
		"a name without a prefix": `{"@context": {"dct": "http://purl.org/dc/terms/"}, "@id": "urn:x", "dct:title": "a", "title": "b"}`,
		"a remote context":        `{"@context": "https://w3id.org/dpv/dpv.jsonld", "@id": "urn:x", "dct:title": "a"}`,
	} {
		if _, err := statements([]byte(doc)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// written lists the statements of a document without a JSON-LD processor: it
// knows only what our documents use, prefixes and values in full.
func written(t *testing.T, doc []byte) []string {
	t.Helper()
	var top map[string]any
	if err := json.Unmarshal(doc, &top); err != nil {
		t.Fatal(err)
	}
	prefixes := top["@context"].(map[string]any)
	delete(top, "@context")
	full := func(s string) string {
		if p, name, _ := strings.Cut(s, ":"); prefixes[p] != nil {
			return "<" + prefixes[p].(string) + name + ">"
		}
		return "<" + s + ">"
	}
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
	}
	set := map[string]bool{}
	var node func(n map[string]any) string
	var objects func(v any) []string
	objects = func(v any) (list []string) {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				list = append(list, objects(one)...)
			}
		case string:
			list = append(list, quote(v))
		case map[string]any:
			switch value, ok := v["@value"].(string); {
			case !ok:
				list = append(list, node(v))
			case v["@language"] != nil:
				list = append(list, quote(value)+"@"+v["@language"].(string))
			default:
				list = append(list, quote(value)+"^^"+full(v["@type"].(string)))
			}
		default:
			t.Fatalf("the document holds %v", v)
		}
		return list
	}
	node = func(n map[string]any) string {
		subject := full(n["@id"].(string))
		for key, v := range n {
			switch key {
			case "@id":
			case "@type":
				types, ok := v.([]any)
				if !ok {
					types = []any{v}
				}
				for _, one := range types {
					set[subject+" <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> "+full(one.(string))+" ."] = true
				}
			default:
				for _, o := range objects(v) {
					set[subject+" "+full(key)+" "+o+" ."] = true
				}
			}
		}
		return subject
	}
	node(top)
	return slices.Sorted(maps.Keys(set))
}

// Facts of the stories in N-Quads, put together from the stories, the policy
// files and the ids of EXPORT.md without this code.
func TestJSONLDSaysWhatWasPutTogetherByHand(t *testing.T) {
	for file, b := range map[string]*book{"export-haim.nq": haimStory(t), "export-dermatech.nq": dermatechStory(t)} {
		src, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		got, facts := read(t, b.export(noon.Add(24*time.Hour))), 0
		for line := range strings.Lines(string(src)) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			facts++
			fact, must := strings.CutPrefix(line, "! ")
			if must = !must; got[fact] != must {
				t.Errorf("%s: the export says it: %t, want %t: %s", file, got[fact], must, fact)
			}
		}
		if facts < 20 {
			t.Errorf("%s has only %d facts", file, facts)
		}
	}
}

func TestEveryTermIsOneOfItsVocabulary(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("testdata", "jsonld-terms.txt"))
	if err != nil {
		t.Fatal(err)
	}
	terms, prefixes := map[string]bool{}, map[string]string{} // by IRI; prefix to namespace
	namespace := ""
	for line := range strings.Lines(string(src)) {
		switch f := strings.Fields(line); {
		case len(f) == 0 || f[0] == "#":
		case f[0] == "@prefix":
			namespace = f[2]
			prefixes[f[1]] = namespace
		default:
			for _, name := range f {
				terms[namespace+name] = true
			}
		}
	}
	// What is written.
	iri := regexp.MustCompile(`<(https?://[^>]*)>`)
	for _, x := range stories(t) {
		for line := range read(t, x) {
			for _, m := range iri.FindAllStringSubmatch(line, -1) {
				switch m[1] {
				case "http://www.w3.org/1999/02/22-rdf-syntax-ns#type",
					"https://w3id.org/dpv/schema/dpv-27560#record", "https://w3id.org/dpv/schema/dpv-27560#receipt":
				default:
					if !terms[m[1]] {
						t.Errorf("%s is not in the list", m[1])
					}
				}
			}
		}
	}
	// What could be written.
	files, err := filepath.Glob("exportld*.go")
	if err != nil || len(files) < 3 {
		t.Fatalf("found the files %v: %v", files, err)
	}
	used := map[string]bool{}
	name := regexp.MustCompile(`"(` + strings.Join(slices.Collect(maps.Keys(prefixes)), "|") + `):([A-Za-z][A-Za-z0-9_]*)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(code), -1) {
			used[prefixes[m[1]]+m[2]] = true
			if !terms[prefixes[m[1]]+m[2]] {
				t.Errorf("%s:%s is not in the list", m[1], m[2])
			}
		}
	}
	for term := range terms {
		place := strings.HasPrefix(term, prefixes["loc"])
		if place != consent.IsPlace(strings.TrimPrefix(term, prefixes["loc"])) {
			t.Errorf("%s: the list and the code disagree on whether it is a place", term)
		}
		if !place && !used[term] && !strings.HasPrefix(term, prefixes["xsd"]) {
			t.Errorf("%s is in the list and nothing uses it", term)
		}
	}
	for _, code := range []string{"XX", "kr", "US-XX", "US-", "KR-11", "Korea", "", "A ", " "} {
		if consent.IsPlace(code) {
			t.Errorf("%q is a place", code)
		}
	}
}
