// Package storetest holds the promises of package store against an
// implementation.
package storetest

import (
	"testing"

	"consentledger/ledger/store"
)

// The maps that every Subject has.
const (
	One store.Map = "one"
	Two store.Map = "two"
)

// Maps lists them.
func Maps() []store.Map { return []store.Map{One, Two} }

// Subject is one empty store to be tested.
type Subject struct {
	// Open opens it. After Close, Open is called again and must show what
	// was there.
	Open func() (store.Store, error)

	// FailNextCommit makes the next Update or Settle fail after its function
	// has returned nil.
	FailNextCommit func()
}

// check is one promise. It returns an error rather than to fail a test, so
// that the tests of this package can show that a store which breaks the
// promise is found out.
type check struct {
	promise string
	holds   func(Subject) error
}

// Run tests every promise, each on a new Subject.
func Run(t *testing.T, subject func(t *testing.T) Subject) {
	for _, c := range checks() {
		t.Run(c.promise, func(t *testing.T) {
			if err := c.holds(subject(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func checks() []check {
	return []check{
		{"AnUpdateIsSeenByLaterViews", updateIsSeen},
		{"AnUpdateOutlivesTheStoreThatMadeIt", updateOutlives},
		{"AValueOfLengthZeroIsNotAMissingOne", emptyIsNotMissing},
		{"GetOfAMissingKeyIsNil", missingIsNil},
		{"ALaterPutReplacesAnEarlierOne", putReplaces},
		{"DeleteRemovesAKeyAndForgivesAMissingOne", deleteRemoves},
		{"ScanAscendsWithinItsBounds", scanBounds},
		{"ErrStopEndsAScanWithoutAnError", scanStops},
		{"AnErrorInAScanComesBackAsItIs", scanError},
		{"ScansNest", scansNest},
		{"LastIsTheGreatestKey", last},
		{"MapsDoNotMix", mapsDoNotMix},
		{"TheLargestKeyAndValueFit", largestFit},
		{"AnImpossibleSizeIsRefused", sizesRefused},
		{"AnUnknownMapIsNamed", unknownMap},
		{"AWriterSeesItsOwnChanges", writerSeesItself},
		{"AnErrorRollsAnUpdateBack", errorRollsBack},
		{"APanicRollsAnUpdateBackAndGoesOn", panicRollsBack},
		{"ARefusedChangeRefusesTheUpdate", refusalRefusesAll},
		{"AMapCannotChangeUnderItsScan", noChangeUnderScan},
		{"AnErrorOfAViewComesBackAsItIs", viewError},
		{"AReaderEndsWithItsFunction", readerEnds},
		{"AViewIsASnapshot", viewIsSnapshot},
		{"NobodySeesHalfAnUpdate", noHalfUpdate},
		{"UpdatesRunOneAfterTheOther", updatesSerial},
		{"AClosedStoreSaysSo", closedSaysSo},
		{"ASettledAndCheckedStoreIsTheSame", settleAndCheck},
		{"AFailedCommitIsUncertainAndPoisons", failedCommitPoisons},
		{"AFailedCommitIsAllOrNothing", failedCommitIsWhole},
		{"AFailedSettlePoisons", failedSettlePoisons},
		{"RandomOperationsMatchAModel", matchesModel},
	}
}
