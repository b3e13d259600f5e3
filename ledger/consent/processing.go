package consent

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A ProcessingRow is one purpose of the register of processing (GDPR 30; PIPA
// 30): who decides, what for, on which basis, with which items of whom, for how
// long and under which law, and who gets them where.
type ProcessingRow struct {
	Controller    string                 `json:"controller"`
	Contact       string                 `json:"contact,omitempty"`
	Officer       *ProcessingOfficer     `json:"officer,omitempty"`
	Jurisdictions []string               `json:"jurisdictions"`
	Policy        string                 `json:"policy"`
	Version       string                 `json:"version"`
	EffectiveAt   time.Time              `json:"effective_at"`
	Purpose       string                 `json:"purpose"`
	Title         Text                   `json:"title"` // by language
	Kind          string                 `json:"kind"`
	Basis         string                 `json:"basis"`
	MemberKinds   []string               `json:"member_kinds"`
	Items         []ProcessingItem       `json:"items"`
	Retention     []ProcessingRetention  `json:"retention"`
	Recipients    []ProcessingRecipient  `json:"recipients"`
	Exemptions    []ProcessingDisclosure `json:"exemptions"` // disclosures that need no consent
}

// A ProcessingOfficer is who answers for the processing.
type ProcessingOfficer struct {
	Name    string `json:"name"`
	Contact string `json:"contact"`
}

// A ProcessingItem is an item of a purpose.
type ProcessingItem struct {
	ID        string `json:"id"`
	Label     Text   `json:"label,omitempty"`
	Mandatory bool   `json:"mandatory"`
	Sensitive bool   `json:"sensitive,omitempty"`
	UniqueID  bool   `json:"unique_id,omitempty"`
	Secret    bool   `json:"secret,omitempty"`
}

// A ProcessingRetention says how long a purpose's records of some kinds of
// members are kept: until an event, or for a time counted from one.
type ProcessingRetention struct {
	MemberKinds []string `json:"member_kinds"`
	Class       string   `json:"class"`
	Until       string   `json:"until,omitempty"`
	Keep        string   `json:"keep,omitempty"`
	From        string   `json:"from,omitempty"`
	Law         string   `json:"law,omitempty"`
}

// A ProcessingRecipient is somebody who gets items of a purpose, and which.
type ProcessingRecipient struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Business string   `json:"business"`
	Kind     string   `json:"kind"`
	Country  string   `json:"country,omitempty"`
	Items    []string `json:"items"`
}

// A ProcessingDisclosure is a ground on which items of a purpose may be
// disclosed without consent.
type ProcessingDisclosure struct {
	ID         string `json:"id"`
	Title      Text   `json:"title"`
	Law        string `json:"law,omitempty"`
	Anonymised bool   `json:"anonymised,omitempty"`
	Authority  bool   `json:"authority,omitempty"` // only to authorities
}

// Processing returns the register of processing at a time: every purpose of
// every policy in force then, in the order of the register and of its files.
func (r *Register) Processing(now time.Time) []ProcessingRow {
	rows := []ProcessingRow{}
	for _, id := range r.ids {
		v, _ := r.posted(id, now)
		if v == nil {
			continue
		}
		for i := range v.purposes {
			rows = append(rows, r.processingRow(v, &v.purposes[i], now))
		}
	}
	return rows
}

func (r *Register) processingRow(v *Posted, pu *Purpose, now time.Time) ProcessingRow {
	row := ProcessingRow{
		Controller: v.controller.Name, Contact: v.controller.Contact, Jurisdictions: append([]string{}, v.jurisdictions...),
		Policy: v.id, Version: v.version, EffectiveAt: v.EffectiveAt,
		Purpose: pu.ID, Title: maps.Clone(pu.Title), Kind: pu.Kind, Basis: pu.Basis,
		MemberKinds: []string{}, Items: []ProcessingItem{}, Retention: []ProcessingRetention{},
		Recipients: []ProcessingRecipient{}, Exemptions: []ProcessingDisclosure{},
	}
	if o := v.controller.Officer; o != (Officer{}) {
		row.Officer = &ProcessingOfficer{o.Name, o.Contact}
	}
	for _, kind := range v.memberKinds {
		if pu.forKind(kind) {
			row.MemberKinds = append(row.MemberKinds, kind)
			row.keep(v.Policy, pu.Class(kind), kind)
		}
	}
	for i, id := range slices.Concat(pu.Mandatory, pu.Optional) {
		it := v.byItem[id]
		row.Items = append(row.Items, ProcessingItem{id, maps.Clone(it.Label), i < len(pu.Mandatory), it.Sensitive, it.UniqueID, it.Secret})
	}
	for _, id := range r.recipientIDs(v) {
		rec := r.recipient(v, id, now)
		if rec == nil || !slices.Contains(rec.Purposes, pu.ID) {
			continue
		}
		items := slices.DeleteFunc(slices.Clone(rec.Items), func(it string) bool { return !pu.has(it) })
		row.Recipients = append(row.Recipients, ProcessingRecipient{id, rec.Name, rec.Business, rec.Kind, rec.Country, items})
	}
	for i := range v.exemptions {
		if e := &v.exemptions[i]; len(e.Purposes) == 0 || slices.Contains(e.Purposes, pu.ID) {
			row.Exemptions = append(row.Exemptions, ProcessingDisclosure{e.ID, maps.Clone(e.Title), e.Basis, e.Anonymised, e.Authority})
		}
	}
	return row
}

// keep adds a kind of member to the row of its class.
func (row *ProcessingRow) keep(p *Policy, class, kind string) {
	for i := range row.Retention {
		if k := &row.Retention[i]; k.Class == class {
			k.MemberKinds = append(k.MemberKinds, kind)
			return
		}
	}
	rule := p.byClass[class]
	k := ProcessingRetention{MemberKinds: []string{kind}, Class: class, Until: rule.Until, Law: rule.Basis}
	if rule.Until == "" {
		k.Keep, k.From = rule.Keep.String(), rule.From
	}
	row.Retention = append(row.Retention, k)
}

// processingColumns are the columns of the CSV and what stands in them.
var processingColumns = []struct {
	name string
	cell func(*ProcessingRow) string
}{
	{"controller", func(r *ProcessingRow) string { return r.Controller }},
	{"contact", func(r *ProcessingRow) string { return r.Contact }},
	{"officer", func(r *ProcessingRow) string {
		if r.Officer == nil {
			return ""
		}
		return r.Officer.Name + ", " + r.Officer.Contact
	}},
	{"jurisdictions", func(r *ProcessingRow) string { return strings.Join(r.Jurisdictions, "; ") }},
	{"policy", func(r *ProcessingRow) string { return r.Policy }},
	{"version", func(r *ProcessingRow) string { return r.Version }},
	{"effective_at", func(r *ProcessingRow) string { return r.EffectiveAt.Format(time.RFC3339) }},
	{"purpose", func(r *ProcessingRow) string { return r.Purpose }},
	{"title", func(r *ProcessingRow) string { return textWords(r.Title) }},
	{"kind", func(r *ProcessingRow) string { return r.Kind }},
	{"basis", func(r *ProcessingRow) string { return r.Basis }},
	{"member_kinds", func(r *ProcessingRow) string { return strings.Join(r.MemberKinds, "; ") }},
	{"items_mandatory", func(r *ProcessingRow) string { return itemWords(r.Items, true) }},
	{"items_optional", func(r *ProcessingRow) string { return itemWords(r.Items, false) }},
	{"retention", func(r *ProcessingRow) string { return each(r.Retention, (*ProcessingRetention).words) }},
	{"retention_law", func(r *ProcessingRow) string {
		return each(r.Retention, func(k *ProcessingRetention) string { return k.Law })
	}},
	{"recipients", func(r *ProcessingRow) string { return each(r.Recipients, (*ProcessingRecipient).words) }},
	{"recipient_countries", func(r *ProcessingRow) string {
		return each(r.Recipients, func(c *ProcessingRecipient) string { return c.Country })
	}},
	{"disclosed_without_consent", func(r *ProcessingRow) string {
		return each(r.Exemptions, func(e *ProcessingDisclosure) string {
			if e.Law == "" {
				return e.ID
			}
			return e.ID + ": " + e.Law
		})
	}},
}

// WriteProcessingCSV writes the register of processing as CSV (RFC 4180) with a
// line of names. Whoever opens it in a spreadsheet must not run what a policy
// says as a formula: a cell that begins like one has an apostrophe before it.
// Some spreadsheets take the wide forms of those signs for them, too.
func WriteProcessingCSV(w io.Writer, rows []ProcessingRow) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	line := make([]string, len(processingColumns))
	for i, col := range processingColumns {
		line[i] = col.name
	}
	if err := c.Write(line); err != nil {
		return fmt.Errorf("write the register of processing: %w", err)
	}
	for i := range rows {
		for j, col := range processingColumns {
			line[j] = unformula(col.cell(&rows[i]))
		}
		if err := c.Write(line); err != nil {
			return fmt.Errorf("write the register of processing: %w", err)
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("write the register of processing: %w", err)
	}
	return nil
}

func unformula(cell string) string {
	if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}

// each joins what is said of each element, once.
func each[T any](list []T, words func(*T) string) string {
	var all []string
	for i := range list {
		if s := words(&list[i]); s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, "; ")
}

func itemWords(items []ProcessingItem, mandatory bool) string {
	return each(items, func(it *ProcessingItem) string {
		switch {
		case it.Mandatory != mandatory:
			return ""
		case it.Sensitive:
			return it.ID + " (sensitive)"
		case it.UniqueID:
			return it.ID + " (unique_id)"
		case it.Secret:
			return it.ID + " (secret)"
		}
		return it.ID
	})
}

func (k *ProcessingRetention) words() string {
	time := "until " + k.Until
	if k.Until == "" {
		time = k.Keep + " from " + k.From
	}
	return k.Class + " (" + strings.Join(k.MemberKinds, ", ") + "): " + time
}

func (c *ProcessingRecipient) words() string {
	words := []string{c.Name, c.Business, c.Kind}
	if c.Country != "" {
		words = append(words, c.Country)
	}
	return c.ID + ": " + strings.Join(words, ", ") + " (" + strings.Join(c.Items, ", ") + ")"
}
