package server

import (
	"context"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// A book is the ledger as the server sees it. In production it is a
// *ledger.Ledger; that it can be something else lets the order of the status
// decisions be tested without one.
type book interface {
	Submit(ctx context.Context, who ledger.Caller, call ledger.Call) (pending, error)
	Decide(ctx context.Context, who ledger.Caller, q *consent.Question) (consent.Answer, error)
	Lookup(ctx context.Context, who ledger.Caller, id consent.MemberID) (ledger.Ref, ledger.State, error)
	Member(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look) (consent.MemberView, error)
	History(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look, before uint64, limit int) ([]ledger.HistoryRow, uint64, error)
	Entry(ctx context.Context, who ledger.Caller, index uint64) (ledger.EntryProof, error)
	CompleteExport(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look) (*consent.Export, error)
	Export(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look) (*consent.Export, error)
	Receipt(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look, ground string, index uint64) (*receipt.Receipt, []byte, error)
	EndEvent(ctx context.Context, who ledger.Caller, e *consent.EventEnd) (*ledger.Answer, error)
	RequestOutcome(ctx context.Context, who ledger.Caller, o *consent.RequestOutcome) (*ledger.Answer, error)
	PlaceHold(ctx context.Context, who ledger.Caller, ref ledger.Ref, h *consent.Hold) (*ledger.Answer, error)
	ReleaseHold(ctx context.Context, who ledger.Caller, ref ledger.Ref, id string) (*ledger.Answer, error)
	WithdrawRef(ctx context.Context, who ledger.Caller, ref ledger.Ref, w *consent.Withdrawal) (*ledger.Answer, error)
	Kept(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look, ground string) (ledger.KeptData, error)
	Notices(who ledger.Caller, before uint64, limit int) ([]ledger.HistoryRow, uint64, error)
	Anonymised(who ledger.Caller, before uint64, limit int) ([]ledger.HistoryRow, uint64, error)
	Due(ctx context.Context, who ledger.Caller, look ledger.Look, within time.Duration) ([]ledger.DueRow, bool, error)
	Breach(ctx context.Context, who ledger.Caller, look ledger.Look, q *ledger.BreachAsk, emit func(ledger.BreachRow) error) error
	Rules() *consent.Register
	Processing(who ledger.Caller) ([]consent.ProcessingRow, error)
	AddRecipient(ctx context.Context, who ledger.Caller, c *consent.RecipientChange) (ledger.Written, error)
	AddPolicy(ctx context.Context, who ledger.Caller, yaml []byte) (*consent.Policy, ledger.Written, error)
	Witnesses() *ledger.Witnesses
	WitnessState(id string) ledger.WitnessState
	ChangeWitnesses(ctx context.Context, who ledger.Caller, c ledger.WitnessChange) (string, ledger.Written, error)
	RemoveWitness(ctx context.Context, who ledger.Caller, id string) (ledger.Written, error)
	APIKeys(who ledger.Caller) ([]ledger.APIKey, error)
	CreateAPIKey(ctx context.Context, who ledger.Caller, n ledger.NewAPIKey) (ledger.APIKey, string, ledger.Written, error)
	RevokeAPIKey(ctx context.Context, who ledger.Caller, id string) (ledger.Written, error)
	Operators(ctx context.Context, who ledger.Caller) ([]ledger.OperatorRow, []consent.Handover, error)
	AddOperator(ctx context.Context, who ledger.Caller, n *consent.NewOperator) (string, ledger.Written, error)
	HandOver(ctx context.Context, who ledger.Caller, from, to string, at time.Time) (ledger.Written, error)
	EndOperator(ctx context.Context, who ledger.Caller, id string) (ledger.Written, error)
	InviteOperator(ctx context.Context, who ledger.Caller, id string, record []byte, token string) (ledger.Written, string, error)
	SignInRecord(ctx context.Context, id string) ([]byte, error)
	ChangeSignIn(ctx context.Context, id string, have, next []byte, fresh bool) (ledger.Written, error)
	OperatorCaller(id, from string) (ledger.Caller, error)
	Authenticate(token, from string) (ledger.Caller, error)
	AuthenticateCertificate(names []string, from string) (ledger.Caller, error)
	Lives(who ledger.Caller) bool
	Checkpoint() []byte
	Health() error
	Stats() (ledger.Stats, error)
	Watch(f func(ledger.Commit))
	Origin() string
	PublicKey() string
	Size() uint64
	LogEntries(from uint64, limit int) ([][]byte, error)
	LogTile(level int, n uint64) ([]byte, error)
	Destruction(index uint64) (ledger.Destruction, error)
	CertificateOf(ctx context.Context, a *ledger.Answer) ([]byte, error)
	WaitingCertificate(ctx context.Context, who ledger.Caller, look ledger.Look, index uint64) (ledger.Ref, []byte, error)
	Awaiting(who ledger.Caller, from uint64, limit int) ([]ledger.Awaiting, uint64, error)
	PublishedTile(dst []byte, level int, n uint64, width int) ([]byte, error)
	PublishedEntries(dst []byte, n uint64, width int) ([]byte, error)
	VerifyDeep(ctx context.Context, who ledger.Caller, progress func(done, total uint64)) (ledger.DeepReport, error)
}

// pending is a write that is queued and not yet durable.
type pending interface {
	Wait(ctx context.Context) (*ledger.Answer, error)
}

type ledgerBook struct{ *ledger.Ledger }

func (l ledgerBook) Submit(ctx context.Context, who ledger.Caller, call ledger.Call) (pending, error) {
	p, err := l.Ledger.Submit(ctx, who, call)
	if err != nil {
		return nil, err
	}
	return p, nil
}
