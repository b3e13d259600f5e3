package consent

import (
	"slices"
	"time"
)

// A RecipientState is one row of the register's history: what a recipient was,
// and from when until when.
type RecipientState struct {
	Policy    string     `json:"policy"`
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Business  string     `json:"business"`
	Kind      string     `json:"kind"`
	Country   string     `json:"country,omitempty"`
	Purposes  []string   `json:"purposes"`
	Items     []string   `json:"items"`
	From      time.Time  `json:"from"`
	Until     *time.Time `json:"until"`             // the first instant at which it no longer holds; nil: none yet
	Ended     bool       `json:"ended,omitempty"`   // from then on it gets nothing; the row says why
	Version   string     `json:"version,omitempty"` // of the policy that says so; empty: a change between versions
	Announced string     `json:"announced,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	PostedAt  time.Time  `json:"posted_at"`
}

// Never reports whether something else took its place before it began.
func (s *RecipientState) Never() bool { return s.Until != nil && !s.From.Before(*s.Until) }

// Recipients returns every state of every recipient, policies in the order of
// first posting, then recipients in the order in which they were first named,
// then their states in the order of posting. What was announced and replaced
// before it began has until equal to from.
func (r *Register) Recipients() []RecipientState {
	var all []RecipientState
	for _, policy := range r.ids {
		all = append(all, r.recipientHistory(policy)...)
	}
	return all
}

func (r *Register) recipientHistory(policy string) []RecipientState {
	var rows []RecipientState
	var order []string
	changes := r.changes[policy]
	named := func(id string) {
		if !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	posted := 0
	upTo := func(versions int) {
		for ; posted < len(changes) && changes[posted].versions <= versions; posted++ {
			named(changes[posted].rec.ID)
			rows = append(rows, r.changeState(policy, posted))
		}
	}
	for i := range r.policies[policy] {
		upTo(i)
		v := &r.policies[policy][i]
		for j := range v.recipients {
			named(v.recipients[j].ID)
			rows = append(rows, r.versionState(v, &v.recipients[j]))
		}
	}
	upTo(len(r.policies[policy]))
	slices.SortStableFunc(rows, func(a, b RecipientState) int {
		return slices.Index(order, a.ID) - slices.Index(order, b.ID)
	})
	return rows
}

func (r *Register) versionState(v *Posted, rec *Recipient) RecipientState {
	s := stateOf(v.id, rec)
	s.Version, s.Announced, s.Reason, s.PostedAt = v.version, v.announced, v.reason, v.PostedAt
	s.From = v.EffectiveAt
	if from := dayStart(rec.from, r.loc); from.After(s.From) {
		s.From = from
	}
	later := slices.IndexFunc(r.changes[v.id], func(c postedChange) bool { return c.versions > v.place })
	r.endAt(&s, v.place+1, later)
	return s
}

func (r *Register) changeState(policy string, i int) RecipientState {
	c := &r.changes[policy][i]
	s := stateOf(policy, &c.rec)
	s.Ended, s.Announced, s.Reason, s.PostedAt, s.From = c.ended, c.announced, c.reason, c.postedAt, c.effectiveAt
	r.endAt(&s, c.versions, i+1)
	return s
}

// endAt ends a state where the version at a place takes effect, or one of the
// changes of the same id from the one numbered on (-1: none).
func (r *Register) endAt(s *RecipientState, place, change int) {
	end := func(t time.Time) {
		if s.Until == nil || t.Before(*s.Until) {
			s.Until = &t
		}
	}
	if vs := r.policies[s.Policy]; place < len(vs) {
		end(vs[place].EffectiveAt)
	}
	for i := change; i >= 0 && i < len(r.changes[s.Policy]); i++ {
		if c := &r.changes[s.Policy][i]; c.rec.ID == s.ID {
			end(c.effectiveAt)
		}
	}
	if s.Until != nil && s.Until.Before(s.From) {
		from := s.From
		s.Until = &from
	}
}

func stateOf(policy string, rec *Recipient) RecipientState {
	return RecipientState{
		Policy: policy, ID: rec.ID, Name: rec.Name, Business: rec.Business, Kind: rec.Kind, Country: rec.Country,
		Purposes: slices.Clone(rec.Purposes), Items: slices.Clone(rec.Items),
	}
}
