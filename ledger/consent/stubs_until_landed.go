// Whoever lands one of these for real removes its line here. The file must be gone before anything is submitted.
package consent

type AuditFinding struct {
	Index      uint64
	Code, What string
}

func (r *Register) Audit(entries []MemberEntry, destroyed func(uint64) bool) ([]AuditFinding, int) {
	return nil, 0
}
