package consent

import "time"

func ParsePolicy(yaml []byte) (*Policy, error) { return nil, nil }
func InlineTexts(yaml []byte, read func(name string) ([]byte, error)) ([]byte, error) {
	return nil, nil
}
func NewRegister() *Register                                              { return &Register{} }
func (r *Register) With(p *Policy, postedAt time.Time) (*Register, error) { return nil, nil }
func (r *Register) InForce(policy string, at time.Time) (*Policy, bool)   { return nil, false }
func (r *Register) Version(policy, version string) (*Policy, bool)        { return nil, false }
func (r *Register) Policies() []Posted                                    { return nil }
func (r *Register) Day(t time.Time) Day                                   { return 0 }
func (r *Register) DayStart(d Day) time.Time                              { return time.Time{} }
func (r *Register) Rule(c ClassID) (Rule, bool)                           { return Rule{}, false }
func (r *Register) DiesOn(rule Rule, d Day) Day                           { return 0 }
func NewFold() *Fold                                                      { return &Fold{} }
func (f *Fold) Apply(index uint64, at time.Time, key KeyName, e Event)    {}
func (f *Fold) SizeBytes() int                                            { return 0 }
func (f *Fold) MarkWithdrawn()                                            {}
func (f *Fold) View(r *Register, now time.Time) MemberView                { return MemberView{} }
func (e Event) View() any                                                 { return nil }
func (r *Register) PlanConsent(f *Fold, keys []KeyState, c *Consent, now time.Time) (*Plan, error) {
	return nil, nil
}
func (r *Register) PlanWithdrawal(f *Fold, keys []KeyState, w *Withdrawal, now time.Time) (*Plan, error) {
	return nil, nil
}
func (r *Register) PlanCorrection(f *Fold, keys []KeyState, c *Correction, id string, now time.Time) (*Plan, error) {
	return nil, nil
}
func (r *Register) PlanOutcome(f *Fold, keys []KeyState, o *CorrectionOutcome, now time.Time) (*Plan, error) {
	return nil, nil
}
func (r *Register) PlanDisclosure(f *Fold, keys []KeyState, d *Disclosure, now time.Time) (*Plan, error) {
	return nil, nil
}
func (r *Register) PlanAccess(f *Fold, keys []KeyState, a *Access, now time.Time) (*Plan, error) {
	return nil, nil
}
func (r *Register) Decide(f *Fold, q *Question, now time.Time) Answer { return Answer{} }
