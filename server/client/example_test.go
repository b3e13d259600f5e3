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

// A sign-up form was sent: the consent is recorded before the account is made.
func Example() {
	c, err := client.New("https://ledger.example", client.Options{Key: client.NewSecret(os.Getenv("CONSENT_KEY"))})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := c.Consent(ctx, client.Consent{
		MemberID: "u-1001", Enrol: true, MemberKind: "member", Policy: "haim", PolicyVersion: "2025-01-01",
		Decisions: []client.Decision{
			{Purpose: "membership", Decision: client.Granted, Items: []string{"user_id", "email", "name"}},
			{Purpose: "marketing", Decision: client.Refused},
		},
		Method: "checkbox", Locale: "en", OccurredAt: time.Now(), MinimumAgeConfirmed: true,
	})
	var unknown *client.Unknown
	var problem *client.Problem
	switch {
	case err == nil:
		fmt.Println("recorded:", answer.Member)
	case errors.As(err, &unknown):
		// Keep the call with its key, and make it again: client.IdempotencyKey(unknown.IdempotencyKey).
	case errors.As(err, &problem):
		log.Printf("refused: %s of %s, %s", problem.Code, problem.Field, problem.RequestID)
	default:
		log.Print("the ledger cannot be reached: ", err)
	}
}
