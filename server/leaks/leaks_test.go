package leaks

import "testing"

func TestWhatIsPlantedIsFoundAndNothingElse(t *testing.T) {
	const token = "cl_live_abcdefghijklmnop_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for planted, leak := range map[string]bool{
		"level=INFO msg=answered member=kim-the-member":     true,
		`{"code":"x","detail":"kim-the-member is unknown"}`: true,
		`requests_total{member="kim-the-member"} 1`:         true,
		"old@example.org is no address":                     true,
		"the key " + token + " is revoked":                  true,
		"mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa":                    true,
		"lees is a member":                                  false,
		"lees: a word of its own":                           false,
		"an_lees_in a word":                                 false,
		"answered marketing":                                false,
		"level=INFO msg=answered route=/v1/members/:ref":    false,
		"(lees1) is a short secret":                         true,
	} {
		var s Search
		s.Body([]byte(`{"member_id":"kim-the-member","changes":[{"item":"email","old":"old@example.org"}],"reason":"marketing"`)) // cut off, as it may be
		s.Secret("member_id", "lees1")
		s.Secret("member_id", "kim") // too short to search for
		s.Answer([]byte(`{"member":"mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa","key":"` + token + `"}`))
		s.Said("a log", "nothing of anybody\n"+planted)
		if found := s.Found("the purpose marketing"); (len(found) > 0) != leak {
			t.Errorf("%q: found %q", planted, found)
		}
		if secrets, lines := s.Counts(); secrets < 5 || lines != 2 {
			t.Errorf("%d secrets in %d lines", secrets, lines)
		}
	}
}
