package client

// The words of the calls that a shop makes every day, without the names of their types. All others are in models.go;
// a word may also be written as it is sent, such as "granted".
const (
	Granted     = DecisionDecisionGranted
	Refused     = DecisionDecisionRefused
	AskEachTime = DecisionDecisionAsk // for cookies

	WholeMembership = WithdrawalScopeMembership

	Delivered  = EventEndTypeDelivered
	EventEnded = EventEndTypeEventEnded

	Corrected = CorrectionOutcomeOutcomeCorrected
	Rejected  = CorrectionOutcomeOutcomeRejected
)
