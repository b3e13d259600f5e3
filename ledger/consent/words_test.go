package consent

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
)

func TestEveryMessageOfARefusalIsAlsoInKorean(t *testing.T) {
	all := refusalsInSource(t)
	for _, m := range all {
		if fault := untranslated(m); fault != "" {
			t.Errorf("%s: %s", m.at(), fault)
		}
	}
	for _, name := range []string{"planconsent.go", "plannotice.go", "policyfile.go", "yaml.go", "register.go", "recipientchange.go", "../apikeys.go"} {
		if !slices.ContainsFunc(all, func(m made) bool { return m.file == name }) {
			t.Errorf("the search finds no refusal in %s, so it proves nothing there", name)
		}
	}
	for _, control := range []made{
		{message: "a message that nobody has translated; do so"},
		{message: "%d messages that nobody has translated", format: true},
		{code: "invalid_value"},
	} {
		if untranslated(control) == "" {
			t.Errorf("%q passes, so the search proves nothing", control.message)
		}
	}
}

// untranslated says what is wrong with a message's Korean, or "".
func untranslated(m made) string {
	if m.message == "" {
		return "the message is not a literal; use invalidf, or teach source_test.go how it is made"
	}
	r := invalid("", "", m.message)
	if m.format {
		r = invalidf("", "", m.message, samples(m.message)...)
	}
	switch ko := r.In("ko"); {
	case ko == r.Message || !hangul(ko):
		return fmt.Sprintf("no Korean for %q", m.message)
	case badFormat.MatchString(ko):
		return fmt.Sprintf("the Korean for %q has other verbs: %q", m.message, ko)
	case r.In("en") != r.Message || r.In("fr") != r.Message:
		return fmt.Sprintf("%q is not English in other languages", m.message)
	}
	return ""
}

var (
	verb      = regexp.MustCompile(`%[-+# 0]*[0-9]*[a-z]`)
	badFormat = regexp.MustCompile(`%!|EXTRA|MISSING`)
)

// samples returns a value for each verb of a format.
func samples(format string) []any {
	var args []any
	for i, v := range verb.FindAllString(format, -1) {
		if v[len(v)-1] == 'd' {
			args = append(args, 7001+i)
		} else {
			args = append(args, fmt.Sprintf("word%d", i))
		}
	}
	return args
}

func TestKoreanIsOfMessagesThatAreSent(t *testing.T) {
	sent := map[string]bool{}
	for _, m := range refusalsInSource(t) {
		sent[m.message] = true
	}
	all := map[string]string{}
	for _, part := range korean {
		for _, en := range slices.Sorted(maps.Keys(part)) {
			if !sent[en] {
				t.Errorf("no refusal says %q", en)
			}
			if ko, twice := all[en]; twice && ko != part[en] {
				t.Errorf("%q is said in Korean in two ways", en)
			}
			all[en] = part[en]
		}
	}
}
