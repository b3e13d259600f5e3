package consent_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// restOfTheExamples is what the guide's examples leave out: what their items
// are used for.
const restOfTheExamples = `
purposes:
  identity:
    title: {en: Identity, ko: 본인 확인}
    kind: unique_id
    basis: consent
    items: {mandatory: [passport_number], optional: [password]}
    retention: membership
    refusal: {en: You may refuse., ko: 거부할 수 있습니다.}
    member_kinds: [member]
`

// merge puts what add says into base, maps key by key.
func merge(base, add map[string]any) {
	for k, v := range add {
		if into, ok := base[k].(map[string]any); ok {
			if from, ok := v.(map[string]any); ok {
				merge(into, from)
				continue
			}
		}
		base[k] = v
	}
}

// The guide promises that a policy can be written from it alone, so what it
// shows must be right: each example goes into Haim's file and parses there.
func TestTheExamplesOfTheGuideParse(t *testing.T) {
	page := must(os.ReadFile("GUIDE.md"))
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 12 {
		t.Fatalf("only %d examples were found", len(blocks))
	}
	parse := func(examples ...string) error {
		base := map[string]any{}
		if err := yaml.Unmarshal(policies.Haim(), &base); err != nil {
			t.Fatal(err)
		}
		for _, example := range examples {
			add := map[string]any{}
			if err := yaml.Unmarshal([]byte(example), &add); err != nil {
				t.Fatalf("%v in:\n%s", err, example)
			}
			delete(add, "text") // names files
			merge(base, add)
		}
		_, err := consent.ParsePolicy(must(yaml.Marshal(base)))
		return err
	}
	all := []string{restOfTheExamples}
	for _, b := range blocks {
		all = append(all, string(b[1]))
		if strings.Contains(string(b[1]), "passport_number") {
			b[1] = append(b[1], restOfTheExamples...)
		}
		if err := parse(string(b[1])); err != nil {
			t.Errorf("%v in:\n%s", err, b[1])
		}
	}
	if err := parse(all...); err != nil {
		t.Errorf("all of them in one file: %v", err)
	}
	if parse("minors: perhaps") == nil {
		t.Error("an example that is wrong passes, so the search proves nothing")
	}
}
