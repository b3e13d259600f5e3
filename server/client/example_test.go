package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"consentledger/server/client"
)

// A sign-up form was sent: the consent is recorded before the account is made. The key and the time were stored with
// the form, before the call: after a crash in the middle the same call is made again, and recorded once.
func Example() {
	c, err := client.New("https://ledger.example", client.Options{
		Key: client.NewSecret(os.Getenv("CONSENT_KEY")), AttemptTimeout: 5 * time.Second, // so that a call that hangs is sent again
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	form := struct {
		key string
		at  time.Time
	}{"form-4711-signup", time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)} // as it was stored
	answer, err := c.Consent(ctx, client.Consent{
		MemberID: "u-1001", Enrol: true, MemberKind: "member", Policy: "haim", PolicyVersion: "2025-01-01",
		Decisions: []client.Decision{
			{Purpose: "membership", Decision: client.Granted, Items: []string{"user_id", "email", "name"}},
			{Purpose: "marketing", Decision: client.Refused},
		},
		Method: "checkbox", Locale: "en", OccurredAt: form.at, MinimumAgeConfirmed: true,
	}, client.IdempotencyKey(form.key))
	var unknown *client.Unknown
	var problem *client.Problem
	switch {
	case err == nil:
		fmt.Println("recorded:", answer.Member)
	case errors.As(err, &unknown):
		// It stays in the store, and is made again as it is.
	case errors.As(err, &problem):
		log.Printf("refused: %s of %s, %s", problem.Code, problem.Field, problem.RequestID)
	default:
		log.Print("the call is not one that can be sent: ", err)
	}
}
