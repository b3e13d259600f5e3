// Package policies holds the sample policies: those of two shops, written
// again as policy files with every purpose, item, class and kind of member
// that the shops' own policies name, and that of a pharmacy that is made up.
package policies

import (
	"embed"

	"consentledger/ledger/consent"
)

//go:embed *.yaml *.md
var files embed.FS

// Haim returns the policy file of Haim Aesthetics with its texts inline.
func Haim() []byte { return inline("haim.yaml") }

// Dermatech returns the policy file of Dermatech Korea with its texts inline.
func Dermatech() []byte { return inline("dermatech.yaml") }

// Pharmacy returns the policy file of the Tidewell Online Pharmacy, which is made
// up, with its texts inline.
func Pharmacy() []byte { return inline("pharmacy.yaml") }

// inline panics if a file is not what it was when the package was built and
// tested: the files are part of the binary.
func inline(name string) []byte {
	src, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	src, err = consent.InlineTexts(src, files.ReadFile)
	if err != nil {
		panic(err)
	}
	return src
}
