package ledger

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestNoVerbPrintsAKey(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer l.Close()
	mustDo(t, l, enrolment(t, "a@shop.example", w))
	m, err := l.acquire(t.Context(), l.pathOf(memberID(t, "a@shop.example")))
	if err != nil {
		t.Fatal(err)
	}
	defer l.release(m)
	secrets := [][]byte{l.pathKey.AppendTo(nil), l.commit.root.AppendTo(nil), m.rec.Keys[0].Key.AppendTo(nil)}
	for _, v := range []any{l, m, m.keys[0], m.rec, *m.rec, &l.commit, l.commit.topics, l.commit.topics[topicRegisters], l.newDeepCheck(false)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			out := fmt.Sprintf(verb, v)
			for _, s := range secrets {
				forms := []string{string(s), hex.EncodeToString(s[:8]), strings.Trim(fmt.Sprint(s[:8]), "[]"), strings.Trim(fmt.Sprintf("%#v", s[:8]), "[]byte{}")}
				for _, f := range forms {
					if strings.Contains(out, f) {
						t.Errorf("%T under %s prints a key", v, verb)
					}
				}
			}
		}
	}
}
